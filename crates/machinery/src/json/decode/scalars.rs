//! Scalars: numbers in range, and the texts that have a canonical notation.

use smol_str::SmolStr;

use super::Decoder;
use crate::Value;
use crate::json::{Error, scalar};
use crate::schema::{Shape, TypeRef};

impl<'t> Decoder<'_, 't, '_> {
    /// Scalars that Go reads with code of their own, and everything that does not fit.
    pub(super) fn other_scalar(&mut self, ty: TypeRef<'t>, first: u8, depth: usize) -> Result<Value, Error> {
        let convert: fn(&str) -> Result<SmolStr, String> = match ty.shape() {
            Shape::Time => scalar::time,
            Shape::MicroTime => scalar::micro_time,
            Shape::Duration => scalar::duration,
            Shape::Quantity => scalar::quantity,
            Shape::Bytes => scalar::base64,
            Shape::IntOrString => |text| Ok(SmolStr::new(text)),
            _ => return self.wrong_type(&ty.go_type(), depth),
        };
        match (ty.shape(), first) {
            (_, b'"') => {
                let text = self.scanner.string()?;
                Ok(self.converted(convert(&text)))
            }
            (Shape::IntOrString, b'-' | b'0'..=b'9') => {
                self.whole_number("int32", i64::from(i32::MIN), i64::from(i32::MAX))
            }
            (Shape::IntOrString, _) => self.wrong_type("int32", depth),
            (Shape::Quantity, b'-' | b'0'..=b'9') => {
                let text = self.scanner.number()?;
                Ok(self.converted(convert(text)))
            }
            (Shape::Quantity, _) => {
                self.scanner.skip_value(depth)?;
                Ok(self.converted(convert("?")))
            }
            (Shape::Bytes, _) => self.wrong_type("[]uint8", depth),
            _ => self.wrong_type("string", depth),
        }
    }

    fn converted(&mut self, result: Result<SmolStr, String>) -> Value {
        match result {
            Ok(text) => Value::String(text),
            Err(text) => {
                self.fail(Error { text, syntax: false });
                Value::Null
            }
        }
    }

    pub(super) fn number(&mut self, ty: TypeRef<'t>) -> Result<Value, Error> {
        match ty.shape() {
            Shape::Int32 => self.whole_number(&ty.go_type(), i64::from(i32::MIN), i64::from(i32::MAX)),
            Shape::Int64 => self.whole_number(&ty.go_type(), i64::MIN, i64::MAX),
            _ => {
                let text = self.scanner.number()?;
                match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok(canonical_float(number)),
                    _ => {
                        self.fail_type(&format!("number {text}"), &ty.go_type());
                        Ok(Value::Null)
                    }
                }
            }
        }
    }

    fn whole_number(&mut self, go_type: &str, min: i64, max: i64) -> Result<Value, Error> {
        let text = self.scanner.number()?;
        match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Int(number)),
            _ => {
                self.fail_type(&format!("number {text}"), go_type);
                Ok(Value::Null)
            }
        }
    }

    pub(super) fn free_number(&mut self) -> Result<Value, Error> {
        let text = self.scanner.number()?;
        if !text.contains(['.', 'e', 'E'])
            && let Ok(number) = text.parse()
        {
            return Ok(Value::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => {
                self.fail_type(&format!("number {text}"), "float64");
                Ok(Value::Null)
            }
        }
    }
}

/// Whole numbers are whole numbers, wherever they come from.
pub(crate) fn canonical_float(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT && !(number == 0.0 && number.is_sign_negative()) {
        Value::Int(number as i64)
    } else {
        Value::Float(number)
    }
}
