//! Where in a document something is wrong, and what: field paths and the errors that name them.

use std::fmt;

use smol_str::SmolStr;

use crate::Value;

/// A path such as `spec.containers[0].name` or `metadata.labels[app]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    text: String,
}

impl Path {
    /// The path that begins with `name`.
    pub fn new(name: &str) -> Path {
        Path { text: name.to_owned() }
    }

    /// The document itself.
    pub fn root() -> Path {
        Path::default()
    }

    /// A member of what this path names.
    pub fn child(&self, name: &str) -> Path {
        let separator = if self.text.is_empty() { "" } else { "." };
        Path { text: format!("{}{separator}{name}", self.text) }
    }

    /// An item of the list that this path names.
    pub fn index(&self, index: usize) -> Path {
        Path { text: format!("{}[{index}]", self.text) }
    }

    /// An entry of the map that this path names.
    pub fn key(&self, key: &str) -> Path {
        Path { text: format!("{}[{key}]", self.text) }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.text.is_empty() { "<nil>" } else { &self.text })
    }
}

/// What kind of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What the field names does not exist.
    NotFound,
    /// The field must be set.
    Required,
    /// The value may stand here only once.
    Duplicate,
    /// The value is malformed.
    Invalid,
    /// The value is none of those allowed.
    NotSupported,
    /// The field must not be set here.
    Forbidden,
    /// Too many bytes.
    TooLong,
    /// Too many items.
    TooMany,
    /// The checking itself failed.
    Internal,
    /// The value has the wrong type.
    TypeInvalid,
}

impl Kind {
    /// The machine-readable reason in the causes of a `Status`.
    pub fn reason(self) -> &'static str {
        match self {
            Kind::NotFound => "FieldValueNotFound",
            Kind::Required => "FieldValueRequired",
            Kind::Duplicate => "FieldValueDuplicate",
            Kind::Invalid => "FieldValueInvalid",
            Kind::NotSupported => "FieldValueNotSupported",
            Kind::Forbidden => "FieldValueForbidden",
            Kind::TooLong => "FieldValueTooLong",
            Kind::TooMany => "FieldValueTooMany",
            Kind::Internal => "InternalError",
            Kind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::NotFound => "Not found",
            Kind::Required => "Required value",
            Kind::Duplicate => "Duplicate value",
            Kind::Invalid | Kind::TypeInvalid => "Invalid value",
            Kind::NotSupported => "Unsupported value",
            Kind::Forbidden => "Forbidden",
            Kind::TooLong => "Too long",
            Kind::TooMany => "Too many",
            Kind::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of wrong.
    pub kind: Kind,
    /// Where.
    pub path: Path,
    /// The offending value as it is shown, quoted if it is text; `None` where none is shown.
    pub shown: Option<String>,
    /// What would be right.
    pub detail: String,
}

impl Error {
    fn new(kind: Kind, path: &Path, shown: Option<String>, detail: impl Into<String>) -> Error {
        Error { kind, path: path.clone(), shown, detail: detail.into() }
    }

    /// The field must be set.
    pub fn required(path: &Path, detail: impl Into<String>) -> Error {
        Error::new(Kind::Required, path, None, detail)
    }

    /// The value is malformed.
    pub fn invalid(path: &Path, value: impl Shown, detail: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, path, Some(value.shown()), detail)
    }

    /// The value has the wrong type.
    pub fn type_invalid(path: &Path, value: impl Shown, detail: impl Into<String>) -> Error {
        Error::new(Kind::TypeInvalid, path, Some(value.shown()), detail)
    }

    /// The value is none of those allowed, which are listed in the order given.
    pub fn not_supported(path: &Path, value: impl Shown, supported: &[&str]) -> Error {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|value| go_quote(value)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Error::new(Kind::NotSupported, path, Some(value.shown()), detail)
    }

    /// The value stands here already.
    pub fn duplicate(path: &Path, value: impl Shown) -> Error {
        Error::new(Kind::Duplicate, path, Some(value.shown()), "")
    }

    /// What the value names does not exist.
    pub fn not_found(path: &Path, value: impl Shown) -> Error {
        Error::new(Kind::NotFound, path, Some(value.shown()), "")
    }

    /// The field must not be set here.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Error {
        Error::new(Kind::Forbidden, path, None, detail)
    }

    /// More than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Error {
        Error::new(Kind::TooLong, path, None, format!("may not be more than {max} bytes"))
    }

    /// More than `max` items.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Error {
        let items = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {items}");
        Error::new(Kind::TooMany, path, Some(actual.to_string()), detail)
    }

    /// The checking itself failed.
    pub fn internal(path: &Path, detail: impl Into<String>) -> Error {
        Error::new(Kind::Internal, path, None, detail)
    }

    /// The error without its path, as it stands in the causes of a `Status`.
    pub fn body(&self) -> String {
        let mut body = self.kind.words().to_owned();
        if let Some(shown) = &self.shown {
            body.push_str(": ");
            body.push_str(shown);
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.body())
    }
}

/// All that is wrong, in the order it was found.
pub type Errors = Vec<Error>;

/// A value as an error shows it: text quoted, the rest as JSON.
pub trait Shown {
    /// The value's form in an error.
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        go_quote(self)
    }
}

impl Shown for &String {
    fn shown(&self) -> String {
        go_quote(self)
    }
}

impl Shown for &SmolStr {
    fn shown(&self) -> String {
        go_quote(self)
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &Value {
    fn shown(&self) -> String {
        match self {
            Value::String(text) => go_quote(text),
            Value::Null => "null".to_owned(),
            other => crate::value::to_display_json(other),
        }
    }
}

/// Several errors in one text, each once.
pub fn listed(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in errors.iter().map(Error::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => "<nil>".to_owned(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Text in double quotes with Go's escapes (`%q`).
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            control if (control as u32) < 0x20 || control as u32 == 0x7f => {
                quoted.push_str(&format!("\\x{:02x}", control as u32));
            }
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_upstreams_do() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        assert_eq!(Error::required(&path, "").to_string(), "spec.containers[0].name: Required value");
        assert_eq!(
            Error::invalid(&path, "A", "must be lower case").to_string(),
            "spec.containers[0].name: Invalid value: \"A\": must be lower case"
        );
        assert_eq!(
            Error::not_supported(&Path::new("type"), "x", &["A", "B"]).to_string(),
            "type: Unsupported value: \"x\": supported values: \"A\", \"B\""
        );
        assert_eq!(
            Error::too_many(&Path::new("l"), 3, 1).to_string(),
            "l: Too many: 3: must have at most 1 item"
        );
        assert_eq!(
            Error::invalid(&Path::new("data").key("..a"), &Value::Int(3), "").to_string(),
            "data[..a]: Invalid value: 3"
        );
    }

    #[test]
    fn quoting_escapes_what_go_escapes() {
        assert_eq!(go_quote("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
    }
}
