//! What upstream says about a strategically patched document that is none of its kind, and how Go prints values.

use std::fmt::Write;

use crate::Value;
use crate::json;
use crate::schema::{Free, Shape, TypeRef};

/// A value as Go's `%v` prints it: `map[a:1 b:[x y]]`.
pub fn go_format(value: &Value) -> String {
    let mut text = String::new();
    write_go(value, &mut text);
    text
}

fn write_go(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("<nil>"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}");
        }
        Value::Float(number) => text.push_str(&json::to_string(&Value::Float(*number))),
        Value::String(value) => text.push_str(value),
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(' ');
                }
                write_go(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            text.push_str("map[");
            for (position, (name, member)) in members.into_iter().enumerate() {
                if position > 0 {
                    text.push(' ');
                }
                text.push_str(name);
                text.push(':');
                write_go(member, text);
            }
            text.push(']');
        }
    }
}

/// The first thing in a document that does not fit its type, in the words of upstream's converter of unstructured
/// objects.
pub(super) fn restore_error(value: &Value, ty: TypeRef<'_>) -> Option<String> {
    if value.is_null() {
        return None;
    }
    match (ty.shape(), value) {
        (Shape::Struct(_), Value::Object(_)) => {
            ty.fields().find_map(|field| restore_error(value.get(&field.name), field.ty()))
        }
        (Shape::Struct(_), other) => Some(format!("cannot restore struct from: {}", go_kind(other))),
        (Shape::Map(_), Value::Object(map)) => {
            let value_type = ty.item()?;
            map.iter().find_map(|(_, member)| restore_error(member, value_type))
        }
        (Shape::Map(_), other) => Some(format!("cannot restore map from {}", go_kind(other))),
        (Shape::List(_), Value::Array(items)) => {
            let item_type = ty.item()?;
            items.iter().find_map(|item| restore_error(item, item_type))
        }
        (Shape::List(_), other) => Some(format!("cannot restore slice from {}", go_kind(other))),
        (Shape::Bytes, Value::String(_)) => None,
        (Shape::Bytes, other) => Some(format!("cannot restore slice from {}", go_kind(other))),
        (Shape::Bool, Value::Bool(_))
        | (Shape::String, Value::String(_))
        | (Shape::Any(Free::Interface), _) => None,
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Int(_)) | (Shape::Float, Value::Float(_)) => None,
        (Shape::Int32 | Shape::Int64, Value::Float(_)) => {
            Some(format!("cannot convert float64 to {}", ty.go_type()))
        }
        (Shape::String, Value::Int(_)) => Some(format!("cannot convert int64 to {}", ty.go_type())),
        (Shape::Bool | Shape::String | Shape::Int32 | Shape::Int64 | Shape::Float, _) => {
            Some(format!("unrecognized type: {}", go_scalar(ty)))
        }
        // What has its own way from JSON says what it says there.
        _ => None,
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

fn go_scalar(ty: TypeRef<'_>) -> &'static str {
    match ty.shape() {
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        Shape::Float => "float64",
        _ => "string",
    }
}
