//! What sets and maps in the shape of lists must be like: no item twice.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{Additional, List, Structural};
use crate::field::{Error, Errors, Path};
use crate::{Map, Value, json};

impl Structural {
    /// What stands twice where it may stand once.
    pub fn check_lists(&self, value: &Value) -> Errors {
        let mut errors = Errors::new();
        walk(&Path::root(), self, value, &mut errors);
        errors
    }
}

fn walk(path: &Path, schema: &Structural, value: &Value, errors: &mut Errors) {
    match value {
        Value::Object(map) => {
            for (name, member) in map.iter().filter(|(_, member)| is_nested(member)) {
                if let Some(property) = schema.property(name) {
                    walk(&path.child(name), property, member, errors);
                } else if let Additional::Each(each) = &schema.additional {
                    walk(&path.key(name), each, member, errors);
                }
            }
        }
        Value::Array(items) => {
            match &schema.list {
                Some(List::Set) => {
                    for position in twice(items.iter().map(json::to_string)) {
                        errors.push(Error::duplicate(&path.index(position), &items[position]));
                    }
                }
                Some(List::Map(keys)) => check_keys(path, keys, items, errors),
                Some(List::Atomic) | None => {}
            }
            let Some(of_item) = schema.items.as_deref() else { return };
            for (position, item) in items.iter().enumerate().filter(|(_, item)| is_nested(item)) {
                walk(&path.index(position), of_item, item, errors);
            }
        }
        _ => {}
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

fn check_keys(path: &Path, keys: &[SmolStr], items: &[Value], errors: &mut Errors) {
    let other = items.iter().position(|item| !matches!(item, Value::Object(_) | Value::Null));
    if let Some(position) = other {
        let why = "must be an object for an array of list-type map";
        errors.push(Error::invalid(&path.index(position), &items[position], why));
        return;
    }
    let key_of = |item: &Value| {
        let named = keys.iter().filter_map(|key| {
            let value = item.as_object()?.get(key)?;
            Some((key.clone(), value.clone()))
        });
        let mut key = Map::from_entries(named);
        key.sort();
        Value::Object(key)
    };
    let found: Vec<Value> = items.iter().map(key_of).collect();
    for position in twice(found.iter().map(json::to_string)) {
        errors.push(Error::duplicate(&path.index(position), &found[position]));
    }
}

/// Where each of those that come more than once comes for the second time.
fn twice(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (position, text) in texts.enumerate() {
        let times = times.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            found.push(position);
        }
    }
    found
}
