//! The metadata of converted objects: a webhook may change labels and annotations, and nothing else.

use kinds::metadata::{check_annotations, check_labels};
use kinds::place::{self, Place};
use machinery::Value;

/// Why metadata cannot be accepted, in upstream's words.
type Refused = String;

/// Refuses an object that is another one than the original.
pub fn check_same(original: &Value, found: &Value) -> Result<(), Refused> {
    for (what, field) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        let of = |object: &Value| object.at(&["metadata", field]).str_or_empty().to_owned();
        let (expected, given) = (of(original), of(found));
        if expected != given {
            return Err(format!("must have the same {what}: {expected} != {given}"));
        }
    }
    Ok(())
}

/// Gives an object the metadata of the original, but for labels and annotations.
pub fn restore(original: &Value, found: &mut Value) -> Result<(), Refused> {
    let given = match found.as_object_mut().and_then(|members| members.remove("metadata")) {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(given @ Value::Object(_)) => given,
        Some(other) => {
            return Err(format!("invalid metadata of type {} in converted object", go_type(&other)));
        }
    };
    let mut metadata = match original.get("metadata") {
        Value::Null => Value::object(),
        metadata => metadata.clone(),
    };
    for field in ["labels", "annotations"] {
        match given.get(field) {
            Value::Null => {
                metadata.remove(field);
            }
            texts @ Value::Object(_) => {
                check_texts(field, metadata.get(field), texts)?;
                metadata.set(field, texts.clone());
            }
            other => {
                return Err(format!(
                    "invalid metadata.{field} of type {} in converted object",
                    go_type(other)
                ));
            }
        }
    }
    found.set("metadata", metadata);
    Ok(())
}

/// What a webhook changed must be valid; what was there before is none of its doing.
fn check_texts(field: &str, before: &Value, texts: &Value) -> Result<(), Refused> {
    for (key, text) in texts.members() {
        if text.as_str().is_none() {
            let kind = go_type(text);
            return Err(format!(
                "metadata.{field}[{key}] must be a string, but is {kind} in converted object"
            ));
        }
    }
    if before == texts {
        return Ok(());
    }
    let (path, check): (&str, fn(Place<'_>)) =
        if field == "labels" { ("labels", check_labels) } else { ("annotation", check_annotations) };
    let mut errors = Vec::new();
    place::inspect(texts, &mut errors, |texts| check(texts.at("metadata").at(path)));
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match told.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

/// What Go calls a value of JSON.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_labels_and_annotations_are_taken_over() {
        let original = parse(
            r#"{"metadata":{"name":"a","namespace":"n","uid":"u","finalizers":["f"],"labels":{"x":"1"},
                "annotations":{"gone":"1"}}}"#,
        );
        let mut found = parse(
            r#"{"metadata":{"name":"a","namespace":"n","uid":"u","finalizers":["other"],"labels":{"x":"2","y":"3"},
                "annotations":null,"creationTimestamp":"2001-01-01T00:00:00Z"},"spec":1}"#,
        );
        check_same(&original, &found).unwrap();
        restore(&original, &mut found).unwrap();
        let expected =
            parse(r#"{"name":"a","namespace":"n","uid":"u","finalizers":["f"],"labels":{"x":"2","y":"3"}}"#);
        assert_eq!(*found.get("metadata"), expected);
        assert_eq!(found.get("spec").as_int(), Some(1));
    }

    #[test]
    fn another_object_is_refused() {
        let original = parse(r#"{"metadata":{"name":"a","namespace":"n","uid":"u"}}"#);
        for (found, expected) in [
            (r#"{"metadata":{"name":"b","namespace":"n","uid":"u"}}"#, "must have the same name: a != b"),
            (r#"{"metadata":{"name":"a","uid":"u"}}"#, "must have the same namespace: n != "),
            (r#"{"metadata":{"name":"a","namespace":"n","uid":"v"}}"#, "must have the same UID: u != v"),
        ] {
            assert_eq!(check_same(&original, &parse(found)).unwrap_err(), expected);
        }
    }

    #[test]
    fn labels_and_annotations_must_be_texts_that_are_allowed() {
        let original = parse(r#"{"metadata":{"name":"a","labels":{"odd key":"old"}}}"#);
        for (metadata, expected) in [
            (r#"{"labels":{"odd key":"old"}}"#, None),
            (r#"{"labels":[]}"#, Some("invalid metadata.labels of type []interface {} in converted object")),
            (
                r#"{"annotations":{"a":1}}"#,
                Some("metadata.annotations[a] must be a string, but is int64 in converted object"),
            ),
            (
                r#"{"labels":{"bad key":"x"}}"#,
                Some("metadata.labels: Invalid value: \"bad key\": name part must"),
            ),
            (r#"{"annotations":{"bad key":"x"}}"#, Some("metadata.annotation: Invalid value: \"bad key\"")),
        ] {
            let mut found = parse(&format!(r#"{{"metadata":{metadata}}}"#));
            let outcome = restore(&original, &mut found);
            match expected {
                None => assert_eq!(outcome, Ok(()), "{metadata}"),
                Some(expected) => {
                    let why = outcome.unwrap_err();
                    assert!(why.starts_with(expected), "{metadata}: {why}");
                }
            }
        }
        assert_eq!(restore(&original, &mut parse("{}")).unwrap_err(), "missing metadata in converted object");
        let text = restore(&original, &mut parse(r#"{"metadata":"x"}"#)).unwrap_err();
        assert_eq!(text, "invalid metadata of type string in converted object");
    }
}
