//! Whether a configuration fits its schema, in upstream's words.

use std::collections::BTreeSet;
use std::fmt;

use smol_str::SmolStr;

use super::element;
use super::form::{Form, Place};
use crate::schema::{Shape, TypeRef};
use crate::{Value, json};

/// All that does not fit.
#[derive(Debug)]
pub(super) struct Misfits(Vec<String>);

impl fmt::Display for Misfits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => out.write_str(only),
            many => {
                out.write_str("errors:")?;
                many.iter().try_for_each(|misfit| write!(out, "\n  {misfit}"))
            }
        }
    }
}

/// Checks a configuration: known fields, right types, items that can be told apart (`unique`: and come once).
pub(super) fn validate(config: &Value, ty: TypeRef<'_>, unique: bool) -> Result<(), Misfits> {
    let mut walk = Walk { path: String::new(), misfits: Vec::new(), unique };
    walk.value(config, Place::of(ty));
    if walk.misfits.is_empty() { Ok(()) } else { Err(Misfits(walk.misfits)) }
}

struct Walk {
    path: String,
    misfits: Vec<String>,
    unique: bool,
}

impl Walk {
    fn misfit(&mut self, what: String) {
        let path = &self.path;
        self.misfits.push(if path.is_empty() { what } else { format!("{path}: {what}") });
    }

    fn below(&mut self, step: &str, walk: impl FnOnce(&mut Walk)) {
        let len = self.path.len();
        self.path.push_str(&element::show(step));
        walk(self);
        self.path.truncate(len);
    }

    fn value(&mut self, value: &Value, place: Place<'_>) {
        let Some(ty) = place.ty else { return };
        if value.is_null() {
            return;
        }
        let fits = match ty.shape() {
            Shape::Bool => self.expect(value, matches!(value, Value::Bool(_)), "boolean"),
            Shape::Int32 | Shape::Int64 | Shape::Float => {
                self.expect(value, matches!(value, Value::Int(_) | Value::Float(_)), "numeric (int or float)")
            }
            Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration => {
                self.expect(value, matches!(value, Value::String(_)), "string")
            }
            Shape::Struct(_) | Shape::Map(_) => self.expect(value, matches!(value, Value::Object(_)), "map"),
            Shape::List(_) => self.expect(value, matches!(value, Value::Array(_)), "list"),
            Shape::Quantity | Shape::IntOrString | Shape::Any(_) | Shape::SchemaOr(..) => return,
        };
        if !fits {
            return;
        }
        match (ty.shape(), value) {
            (Shape::Struct(inner), Value::Object(map)) => {
                for (name, member) in map.iter() {
                    let known = place.declares(name) || inner.open || inner.fields().is_empty();
                    self.below(&element::field(name), |walk| {
                        if known {
                            walk.value(member, place.member(name));
                        } else {
                            walk.misfit("field not declared in schema".to_owned());
                        }
                    });
                }
            }
            (Shape::Map(_), Value::Object(map)) => {
                for (name, member) in map.iter() {
                    self.below(&element::field(name), |walk| walk.value(member, place.member(name)));
                }
            }
            (Shape::List(_), Value::Array(items)) => self.items(items, value, place),
            _ => {}
        }
    }

    fn items(&mut self, items: &[Value], list: &Value, place: Place<'_>) {
        let Form::Items(inner) = place.form(list) else {
            let item = Place { ty: place.ty.and_then(TypeRef::item), atomic: None };
            for (position, member) in items.iter().enumerate() {
                self.below(&format!("i:{position}"), |walk| walk.value(member, item));
            }
            return;
        };
        let mut seen: BTreeSet<SmolStr> = BTreeSet::new();
        for (position, item) in items.iter().enumerate() {
            match inner.element(item) {
                Ok(step) => {
                    self.below(&step, |walk| walk.value(item, inner.item));
                    if self.unique && !seen.insert(step.clone()) {
                        self.misfit(format!("duplicate entries for key {}", element::show(&step)));
                    }
                }
                Err(why) => self.misfit(format!("element {position}: {why}")),
            }
        }
    }

    fn expect(&mut self, value: &Value, fits: bool, what: &str) -> bool {
        if !fits {
            self.misfit(format!(
                "expected {what}, got &value.valueUnstructured{{Value:{}}}",
                go_syntax(value)
            ));
        }
        fits
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => crate::field::go_quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let mut members: Vec<String> = map
                .iter()
                .map(|(name, member)| format!("{}:{}", crate::field::go_quote(name), go_syntax(member)))
                .collect();
            members.sort();
            format!("map[string]interface {{}}{{{}}}", members.join(", "))
        }
        scalar => json::to_string(scalar),
    }
}
