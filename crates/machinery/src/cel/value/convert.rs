//! From values back to documents.

use super::{Key, List, Map, Opaque, Val};
use crate::Value;
use crate::time::format_duration;

impl Val<'_> {
    /// The document that a value is; the reason if it is none.
    pub fn to_document(&self) -> Result<Value, String> {
        Ok(match self {
            Val::Null => Value::Null,
            Val::Bool(value) => Value::Bool(*value),
            Val::Int(value) => Value::Int(*value),
            Val::Uint(value) => i64::try_from(*value).map_or(Value::Float(*value as f64), Value::Int),
            Val::Double(value) => Value::Float(*value),
            Val::String(text) => Value::String(text.clone()),
            Val::Bytes(bytes) => {
                use base64::Engine as _;
                Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Val::Timestamp(time) => Value::from(time.to_rfc3339()),
            Val::Duration(nanos) => Value::from(format_duration(*nanos)),
            Val::List(List::Document(items, _)) => Value::from(items.to_vec()),
            Val::List(List::Items(items)) => {
                Value::Array(items.iter().map(Val::to_document).collect::<Result<_, _>>()?)
            }
            Val::Map(Map::Document(members, _)) => Value::Object((*members).clone()),
            Val::Map(Map::Entries(entries)) => {
                let mut document = Vec::with_capacity(entries.len());
                for (key, value) in &**entries {
                    let Key::String(name) = key else {
                        return Err("a map with keys other than text is no object".to_owned());
                    };
                    document.push((name.clone(), value.to_document()?));
                }
                Value::Object(crate::Map::from_entries(document))
            }
            Val::Struct(inner) => {
                let mut document = crate::Map::new();
                for (name, value) in &inner.fields {
                    document.insert(unescape(name), value.to_document()?);
                }
                Value::Object(document)
            }
            Val::Optional(Some(value)) => value.to_document()?,
            Val::Opaque(Opaque::Quantity(amount)) => Value::from(amount.to_string()),
            other => return Err(format!("a {} is no document", other.ty())),
        })
    }
}

/// The name of a field in documents, from the name that expressions use.
fn unescape(name: &str) -> String {
    const ESCAPES: [(&str, &str); 4] =
        [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        if let Some((escape, letter)) = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape)) {
            plain.push_str(letter);
            rest = &rest[escape.len()..];
            continue;
        }
        let next = rest.chars().next().map_or(1, char::len_utf8);
        plain.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    match plain.strip_prefix("__").and_then(|inner| inner.strip_suffix("__")) {
        Some(word) if super::super::declaration::escape(word).as_deref() == Some(&plain) => word.to_owned(),
        _ => plain,
    }
}
