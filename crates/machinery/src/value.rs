//! A document: the tree that every codec reads into and every rule works on.

mod exact;
mod map;
mod name;

use smol_str::SmolStr;

pub use exact::Exact;
pub use map::Map;
pub use name::Name;
pub(crate) use name::Names;

/// A node of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(SmolStr),
    /// A list.
    Array(Exact<Value>),
    /// Named values, in the order they are printed.
    Object(Map),
}

static NULL: Value = Value::Null;

impl Value {
    /// An empty object.
    pub fn object() -> Value {
        Value::Object(Map::new())
    }

    /// Text.
    pub fn string(text: impl AsRef<str>) -> Value {
        Value::String(SmolStr::new(text))
    }

    /// The member `name`, or `Null` where there is none (or this is no object).
    pub fn get(&self, name: &str) -> &Value {
        match self {
            Value::Object(map) => map.get(name).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    /// The node at the end of a path of member names, or `Null`.
    pub fn at(&self, path: &[&str]) -> &Value {
        path.iter().fold(self, |node, name| node.get(name))
    }

    /// The member `name`, made `Null` if it is missing. Anything that is no object becomes one.
    pub fn entry(&mut self, name: &str) -> &mut Value {
        self.make_object().entry(name)
    }

    /// The node at the end of a path, with all objects on the way made.
    pub fn at_mut(&mut self, path: &[&str]) -> &mut Value {
        path.iter().fold(self, |node, name| node.entry(name))
    }

    /// The member `name` if it is there and not null.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        match self {
            Value::Object(map) => map.get_mut(name).filter(|value| !value.is_null()),
            _ => None,
        }
    }

    /// Sets the member `name`. Anything that is no object becomes one.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        *self.entry(name) = value.into();
    }

    /// Takes the member `name` away.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        match self {
            Value::Object(map) => map.remove(name),
            _ => None,
        }
    }

    /// Whether this is `null` (or was not there).
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether a Go client would call this empty: null, false, zero, or without content.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Float(value) => *value == 0.0,
            Value::String(value) => value.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text, or the empty text.
    pub fn str_or_empty(&self) -> &str {
        self.as_str().unwrap_or_default()
    }

    /// The whole number, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether this is `true`.
    pub fn is_true(&self) -> bool {
        self.as_bool() == Some(true)
    }

    /// The items, or none.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The items, if this is a list.
    pub fn items_mut(&mut self) -> &mut [Value] {
        match self {
            Value::Array(items) => items,
            _ => &mut [],
        }
    }

    /// The list, made empty if this is none.
    pub fn make_array(&mut self) -> &mut Exact<Value> {
        if !matches!(self, Value::Array(_)) {
            *self = Value::Array(Exact::new());
        }
        match self {
            Value::Array(items) => items,
            _ => unreachable!("made an array just now"),
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The members, made empty if this is no object.
    pub fn make_object(&mut self) -> &mut Map {
        if !matches!(self, Value::Object(_)) {
            *self = Value::object();
        }
        match self {
            Value::Object(map) => map,
            _ => unreachable!("made an object just now"),
        }
    }

    /// The members in order; none if this is no object.
    pub fn members(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.as_object().into_iter().flat_map(Map::iter)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(SmolStr::new(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(SmolStr::from(text))
    }
}

impl From<SmolStr> for Value {
    fn from(text: SmolStr) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(i64::from(value))
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::Array(Exact::from(items))
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Value {
        Value::Array(items.into_iter().collect())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Object(map)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(members: [(&str, Value); N]) -> Value {
        Value::Object(Map::from_entries(Vec::from(members)))
    }
}

/// A document as one line of plain JSON for error texts. Wire forms come from the codecs.
pub(crate) fn to_display_json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => quote_json(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(to_display_json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let members: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{}:{}", quote_json(name), to_display_json(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn quote_json(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_nodes_read_as_null_and_are_made_on_write() {
        let mut document = Value::object();
        assert!(document.at(&["spec", "replicas"]).is_null());
        *document.at_mut(&["spec", "replicas"]) = Value::Int(3);
        assert_eq!(document.at(&["spec", "replicas"]).as_int(), Some(3));
        assert_eq!(document.remove("spec").map(|spec| spec.get("replicas").clone()), Some(Value::Int(3)));
    }

    #[test]
    fn order_does_not_matter_for_equality_but_content_does() {
        let ab = Value::from([("a", Value::Int(1)), ("b", Value::Int(2))]);
        let ba = Value::from([("b", Value::Int(2)), ("a", Value::Int(1))]);
        let other = Value::from([("b", Value::Int(2)), ("a", Value::Int(3))]);
        assert_eq!(ab, ba);
        assert_ne!(ab, other);
    }
}
