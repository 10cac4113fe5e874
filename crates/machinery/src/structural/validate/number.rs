//! Numbers: their range, and what they are a multiple of.

use super::{Walk, What, show_number};
use crate::Value;
use crate::structural::{Kind, Structural};

/// Whether a choice of a schema and a value are the same; whole numbers are what they are however they are written.
pub(super) fn same(choice: &Value, value: &Value) -> bool {
    match (choice, value) {
        (Value::Int(choice), Value::Float(value)) => *choice as f64 == *value,
        (Value::Float(choice), Value::Int(value)) => *choice == *value as f64,
        (choice, value) => choice == value,
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    }
}

impl Walk {
    pub(super) fn number(&mut self, schema: &Structural, value: &Value) {
        let rules = &schema.rules;
        self.range(schema, value, "Checked");
        if let Some(factor) = rules.multiple_of
            && {
                self.range(schema, &Value::Float(factor), "MultipleOf");
                !is_multiple(value, factor)
            }
        {
            let text = format!("should be a multiple of {}", show_number(factor));
            self.say(|_| What::Other(value.clone()), &text);
        }
        if let Some((most, exclusive)) = rules.maximum {
            self.range(schema, &Value::Float(most), "Maximum boundary");
            let exceeds =
                compare(value, most).is_some_and(|order| order.is_gt() || (exclusive && order.is_eq()));
            if exceeds {
                let word = if exclusive { "less than" } else { "less than or equal to" };
                let text = format!("should be {word} {}", show_number(most));
                self.say(|_| What::Other(value.clone()), &text);
            }
        }
        if let Some((least, exclusive)) = rules.minimum {
            self.range(schema, &Value::Float(least), "Minimum boundary");
            let falls =
                compare(value, least).is_some_and(|order| order.is_lt() || (exclusive && order.is_eq()));
            if falls {
                let word = if exclusive { "greater than" } else { "greater than or equal to" };
                let text = format!("should be {word} {}", show_number(least));
                self.say(|_| What::Other(value.clone()), &text);
            }
        }
    }

    /// Whether a number can be held by the type and format; `what` says which number it is.
    fn range(&mut self, schema: &Structural, value: &Value, what: &str) {
        let format = schema.rules.format.as_ref();
        let number = as_float(value);
        let (kind, fits) = match schema.kind {
            Some(Kind::Integer) => {
                let whole = match value {
                    Value::Int(whole) => Some(*whole),
                    // Every whole number that a float can hold up to 2^63.
                    _ if number.fract() == 0.0 && number.abs() < 9.3e18 => Some(number as i64),
                    _ => None,
                };
                let narrow = format.is_some_and(|format| format.is_int32());
                ("integer", whole.is_some_and(|whole| !narrow || i32::try_from(whole).is_ok()))
            }
            kind => {
                let narrow = format.is_some_and(|format| format.is_float32());
                (kind.map_or("", Kind::name), !narrow || number.abs() <= f64::from(f32::MAX))
            }
        };
        if fits {
            return;
        }
        let path = &self.path;
        let text = match format {
            Some(format) => {
                format!("{what} value must be of type {kind} with format {} in {path}", format.name)
            }
            None => format!("{what} value must be of type {kind} (default format) in {path}"),
        };
        self.find_nowhere(text);
    }
}

/// A whole number is compared as such, with the bound cut to one, as upstream does.
fn compare(value: &Value, bound: f64) -> Option<std::cmp::Ordering> {
    match value {
        Value::Int(number) => Some(number.cmp(&(bound as i64))),
        other => as_float(other).partial_cmp(&bound),
    }
}

fn is_multiple(value: &Value, factor: f64) -> bool {
    if factor < 0.0 {
        return false;
    }
    match value {
        Value::Int(number) if factor.fract() == 0.0 => {
            let factor = factor as i64;
            factor != 0 && number % factor == 0
        }
        other => {
            let number = as_float(other);
            let times = if factor < 1.0 { 1.0 / factor * number } else { number / factor };
            // As close to a whole number as floats let us tell.
            (times - times.round()).abs() <= f64::EPSILON * times.abs().max(1.0)
        }
    }
}
