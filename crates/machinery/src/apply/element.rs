//! Steps of a path as field sets write them: `f:spec`, `k:{"name":"c"}`, `v:"x"`, `i:0`.

use smol_str::SmolStr;

use crate::Value;
use crate::json;
use crate::schema::{FieldRef, TypeRef};

/// The step to a field or to an entry of a map.
pub(super) fn field(name: &str) -> SmolStr {
    let mut text = smol_str::SmolStrBuilder::new();
    text.push_str("f:");
    text.push_str(name);
    text.finish()
}

/// The step to an item of a list that is told apart by these keys; or why there is none.
pub(super) fn keyed(item: &Value, keys: &[SmolStr], ty: Option<TypeRef<'_>>) -> Result<SmolStr, String> {
    let Value::Object(map) = item else {
        let what = if item.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {what}"));
    };
    let mut found: Vec<(&SmolStr, Value)> = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || ty.and_then(|ty| ty.field(key)).and_then(FieldRef::key_default);
        if let Some(value) = map.get(key).cloned().or_else(default) {
            found.push((key, value));
        }
    }
    if found.is_empty() {
        let names = keys.iter().map(|key| crate::field::go_quote(key)).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{names}] (and doesn't have \
             default values for any key fields)"
        ));
    }
    found.sort_by_key(|(name, _)| *name);
    let mut text = b"k:{".to_vec();
    for (position, (name, value)) in found.into_iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        json::encode_string(name, &mut text);
        text.push(b':');
        json::encode(&value, &mut text);
    }
    text.push(b'}');
    Ok(SmolStr::from(String::from_utf8_lossy(&text)))
}

/// The step to an item of a list of scalars; or why there is none.
pub(super) fn valued(item: &Value) -> Result<SmolStr, String> {
    match item {
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        Value::Array(_) => Err("associative list without keys has an element that's a list type".to_owned()),
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        scalar => Ok(SmolStr::from(format!("v:{}", json::to_string(scalar)))),
    }
}

/// Steps in upstream's order: fields, keys, values, positions.
pub(super) fn rank(step: &str) -> u8 {
    match step.as_bytes().first() {
        Some(b'f') => 0,
        Some(b'k') => 1,
        Some(b'v') => 2,
        _ => 3,
    }
}

/// A step as conflicts show it: `.spec`, `[name="c"]`, `[="x"]`, `[0]`.
pub(super) fn show(step: &str) -> String {
    let rest = step.get(2..).unwrap_or_default();
    match step.as_bytes().first() {
        Some(b'f') => format!(".{rest}"),
        Some(b'k') => {
            let keys = json::parse(rest.as_bytes()).unwrap_or_default();
            let shown: Vec<String> =
                keys.members().map(|(name, value)| format!("{name}={}", plain(value))).collect();
            format!("[{}]", shown.join(","))
        }
        Some(b'v') => {
            format!("[={}]", json::parse(rest.as_bytes()).map(|value| plain(&value)).unwrap_or_default())
        }
        _ => format!("[{rest}]"),
    }
}

/// A scalar as Go shows it: text quoted.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => crate::field::go_quote(text),
        other => json::to_string(other),
    }
}
