//! The columns of custom resources: paths into their documents.

use machinery::jsonpath::Template;
use machinery::patch::go_format;
use machinery::time::{Timestamp, human_duration};
use machinery::{Value, json};

/// What the age of an object is said to be about.
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It \
    is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
    is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    /// `None` where the path cannot be read: such a column stays empty.
    path: Option<Template>,
}

impl Column {
    /// The columns of a version, from its `additionalPrinterColumns`; the age, if it has none.
    pub fn all(definitions: &Value) -> Vec<Column> {
        let read: Vec<Column> = definitions.items().iter().map(Column::read).collect();
        if !read.is_empty() {
            return read;
        }
        vec![Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: CREATED.to_owned(),
            priority: 0,
            path: template(".metadata.creationTimestamp"),
        }]
    }

    fn read(definition: &Value) -> Column {
        let text = |name: &str| definition.get(name).str_or_empty().to_owned();
        let path = text("jsonPath");
        let description = match text("description") {
            none if none.is_empty() => {
                format!("Custom resource definition column (in JSONPath format): {path}")
            }
            description => description,
        };
        Column {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            description,
            priority: definition.get("priority").as_int().unwrap_or(0),
            path: template(&path),
        }
    }

    /// Writes its definition.
    pub fn write(&self, out: &mut Vec<u8>) {
        let texts = [
            ("{\"name\":", &self.name),
            (",\"type\":", &self.kind),
            (",\"format\":", &self.format),
            (",\"description\":", &self.description),
        ];
        for (name, text) in texts {
            out.extend_from_slice(name.as_bytes());
            json::encode_string(text, out);
        }
        out.extend_from_slice(format!(",\"priority\":{}}}", self.priority).as_bytes());
    }

    /// What it shows of an object.
    pub fn cell(&self, document: &Value, now_secs: i64) -> Value {
        let found = self.path.as_ref().map(|path| path.find(document)).unwrap_or_default();
        let Some(value) = found.first() else { return Value::Null };
        match (self.kind.as_str(), *value) {
            ("string", Value::String(text)) => Value::String(text.clone()),
            ("string", other) => Value::from(go_format(other)),
            ("integer", Value::Int(number)) => Value::Int(*number),
            ("integer", Value::Float(number)) => Value::Int(*number as i64),
            ("number", Value::Int(_) | Value::Float(_)) | ("boolean", Value::Bool(_)) => (*value).clone(),
            ("date", Value::String(text)) => Value::from(match Timestamp::parse(text) {
                Some(time) => human_duration(now_secs - time.secs),
                None => "<invalid>".to_owned(),
            }),
            _ => Value::Null,
        }
    }
}

fn template(path: &str) -> Option<Template> {
    Template::parse(&format!("{{{path}}}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn cells_show_what_fits_their_type() {
        let document = parse(
            r#"{"spec":{"a":1,"s":"x","b":true,"n":1.5,"t":"1970-01-01T00:00:00Z","m":{"k":"v"},
                "l":[{"x":"a","y":"1"},{"x":"b","y":"2"}]}}"#,
        );
        let cases = [
            ("integer", ".spec.a", "1"),
            ("integer", ".spec.n", "1"),
            ("integer", ".spec.s", "null"),
            ("number", ".spec.n", "1.5"),
            ("boolean", ".spec.b", "true"),
            ("boolean", ".spec.a", "null"),
            ("string", ".spec.a", "\"1\""),
            ("string", ".spec.m", "\"map[k:v]\""),
            ("string", ".spec.l[*].x", "\"a\""),
            ("string", ".spec.l[?(@.x==\"b\")].y", "\"2\""),
            ("string", ".spec.none", "null"),
            ("string", ".spec.l[", "null"),
            ("date", ".spec.t", "\"60s\""),
            ("date", ".spec.s", "\"\\u003cinvalid\\u003e\""),
        ];
        for (kind, path, expected) in cases {
            let definition = Value::from([
                ("name", Value::from("C")),
                ("type", Value::from(kind)),
                ("jsonPath", Value::from(path)),
            ]);
            let column = &Column::all(&Value::from(vec![definition]))[0];
            assert_eq!(column.cell(&document, 60), parse(expected), "{kind} {path}");
        }
    }

    #[test]
    fn without_columns_there_is_the_age() {
        let columns = Column::all(&Value::Null);
        assert_eq!((columns.len(), columns[0].name.as_str()), (1, "Age"));
    }
}
