//! A document: the tree that every codec reads into and every rule works on.

use smol_str::SmolStr;

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
    Array(Vec<Value>),
    /// Named values, in the order they are printed.
    Object(Map),
}

/// Named values in a fixed order: that of the schema for structures, sorted for maps, as written for free forms.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(SmolStr, Value)>,
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
    pub fn make_array(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Value::Array(_)) {
            *self = Value::Array(Vec::new());
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
    pub fn members(&self) -> impl Iterator<Item = (&SmolStr, &Value)> {
        self.as_object().into_iter().flat_map(Map::iter)
    }
}

impl Map {
    /// Without members.
    pub fn new() -> Map {
        Map::default()
    }

    /// Without members, with room for some.
    pub fn with_capacity(capacity: usize) -> Map {
        Map { entries: Vec::with_capacity(capacity) }
    }

    /// From members in order. The caller sees to it that no name comes twice.
    pub fn from_entries(entries: Vec<(SmolStr, Value)>) -> Map {
        Map { entries }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The member `name`.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether there is such a member, null or not.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The member `name`, added at the end as `Null` if missing.
    pub fn entry(&mut self, name: &str) -> &mut Value {
        let position = self.entries.iter().position(|(key, _)| key == name).unwrap_or_else(|| {
            self.entries.push((SmolStr::new(name), Value::Null));
            self.entries.len() - 1
        });
        &mut self.entries[position].1
    }

    /// Sets a member: in its place if it was there, else at the end. Returns what it held.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.get_mut(&name) {
            Some(slot) => Some(std::mem::replace(slot, value)),
            None => {
                self.entries.push((name, value));
                None
            }
        }
    }

    /// Adds a member at the end. The caller sees to it that no name comes twice.
    pub fn push(&mut self, name: SmolStr, value: Value) {
        self.entries.push((name, value));
    }

    /// Takes a member away; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let position = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.remove(position).1)
    }

    /// Keeps the members that `keep` answers true for.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(name, value)| keep(name, value));
    }

    /// The members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&SmolStr, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// The members in order.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&SmolStr, &mut Value)> {
        self.entries.iter_mut().map(|(name, value)| (&*name, value))
    }

    /// The names in order.
    pub fn keys(&self) -> impl Iterator<Item = &SmolStr> {
        self.entries.iter().map(|(name, _)| name)
    }

    /// Orders the members by name, as maps are printed.
    pub fn sort(&mut self) {
        if !self.entries.is_sorted_by(|(a, _), (b, _)| a <= b) {
            self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
    }

    /// Orders the members: by name for maps, by the schema's order for structures.
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&str) -> K) {
        self.entries.sort_by_key(|(name, _)| key(name));
    }

    /// The members, by value.
    pub fn into_entries(self) -> Vec<(SmolStr, Value)> {
        self.entries
    }
}

/// Two maps are equal when they hold the same, in whatever order.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let same_order = self.entries.iter().zip(&other.entries).all(|((a, _), (b, _))| a == b);
        if same_order {
            return self.entries.iter().zip(&other.entries).all(|((_, a), (_, b))| a == b);
        }
        let sorted = |map: &'_ Map| -> Vec<usize> {
            let mut order: Vec<usize> = (0..map.entries.len()).collect();
            order.sort_unstable_by(|a, b| map.entries[*a].0.cmp(&map.entries[*b].0));
            order
        };
        sorted(self).into_iter().zip(sorted(other)).all(|(a, b)| self.entries[a] == other.entries[b])
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
        Value::Array(items)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Object(map)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(members: [(&str, Value); N]) -> Value {
        Value::Object(Map::from_entries(
            members.into_iter().map(|(name, value)| (SmolStr::new(name), value)).collect(),
        ))
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
