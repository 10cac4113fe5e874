//! Cells that the tables of many kinds share.

use machinery::Value;
use machinery::selector::LabelSelector;
use machinery::time::{Timestamp, human_duration};

/// The cells of a kind without columns of its own: name and time of creation.
pub fn default_row(object: &Value) -> Vec<Value> {
    let created = object.at(&["metadata", "creationTimestamp"]);
    vec![name(object), if created.is_null() { Value::from("<unknown>") } else { created.clone() }]
}

/// The object's name.
pub fn name(object: &Value) -> Value {
    text(object.at(&["metadata", "name"]))
}

/// Text, empty where there is none.
pub fn text(value: &Value) -> Value {
    Value::from(value.str_or_empty())
}

/// A number, zero where there is none.
pub fn int(value: &Value) -> Value {
    Value::from(value.as_int().unwrap_or(0))
}

/// Text, or `placeholder` where there is none.
pub fn text_or(value: &Value, placeholder: &str) -> Value {
    let text = value.str_or_empty();
    Value::from(if text.is_empty() { placeholder } else { text })
}

/// How long ago a time was, or `<unknown>`.
pub fn since(time: &Value, now_secs: i64) -> String {
    match Timestamp::parse(time.str_or_empty()) {
        Some(then) => human_duration(now_secs - then.secs),
        None => "<unknown>".to_owned(),
    }
}

/// How old the object is.
pub fn age(object: &Value, now_secs: i64) -> Value {
    Value::from(since(object.at(&["metadata", "creationTimestamp"]), now_secs))
}

/// The names and the images of the containers of a pod's specification.
pub fn containers(spec: &Value) -> (Value, Value) {
    let list = |member: &str| {
        let texts: Vec<&str> = spec
            .get("containers")
            .items()
            .iter()
            .map(|container| container.get(member).str_or_empty())
            .collect();
        Value::from(texts.join(","))
    };
    (list("name"), list("image"))
}

/// A `LabelSelector` document as a query string.
pub fn selector(document: &Value) -> Value {
    if document.is_null() {
        return Value::from("<none>");
    }
    match LabelSelector::from_document(document) {
        Ok(selector) if selector.is_everything() => Value::from("<none>"),
        Ok(selector) => Value::from(selector.to_string()),
        Err(_) => Value::from("<error>"),
    }
}

/// A map of labels as a query string, or `<none>`.
pub fn labels(map: &Value) -> Value {
    let mut pairs: Vec<String> =
        map.members().map(|(key, value)| format!("{key}={}", value.str_or_empty())).collect();
    pairs.sort_unstable();
    Value::from(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") })
}

/// A number or text such as `1` or `50%`, or `placeholder`.
pub fn int_or_text(value: &Value, placeholder: &str) -> Value {
    match value {
        Value::Int(number) => Value::from(number.to_string()),
        Value::String(text) => Value::from(text.as_str()),
        _ => Value::from(placeholder),
    }
}
