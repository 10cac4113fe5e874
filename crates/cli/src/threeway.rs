//! The patch of a client-side apply: from what was applied last, what is to be applied now, and what is there.
//!
//! What the last application had and this one has not is removed; what this one has and the object has not (or has
//! differently) is set; what others added stays. Lists that the schema merges by a key are patched item by item.

use machinery::Value;
use machinery::schema::TypeRef;

/// The merge patch for documents without a known schema: lists are replaced whole.
pub fn merge_patch(last: &Value, wanted: &Value, current: &Value) -> Value {
    patch(None, last, wanted, current)
}

/// The strategic merge patch for a document of this type.
pub fn strategic_patch(schema: TypeRef<'_>, last: &Value, wanted: &Value, current: &Value) -> Value {
    patch(Some(schema), last, wanted, current)
}

fn patch(schema: Option<TypeRef<'_>>, last: &Value, wanted: &Value, current: &Value) -> Value {
    let mut patch = Value::object();
    for (name, value) in wanted.members() {
        let below = schema.and_then(|schema| schema.member(name));
        let is = current.get(name);
        if value.is_null() {
            if !is.is_null() {
                patch.set(name, Value::Null);
            }
            continue;
        }
        let key = merge_key(schema, name);
        let difference = match (value, is) {
            (Value::Object(_), Value::Object(_)) => {
                let difference = self::patch(below, last.get(name), value, is);
                (!difference.is_empty()).then_some(difference)
            }
            (Value::Array(_), Value::Array(_)) if key == Some("") => {
                plain_list_patch(&mut patch, name, [last.get(name), value, is]);
                None
            }
            (Value::Array(_), Value::Array(_)) if key.is_some() => {
                let item = below.and_then(TypeRef::item);
                let items = list_patch(item, key.unwrap_or_default(), [last.get(name), value, is]);
                (!items.is_empty()).then(|| Value::from(items))
            }
            _ => (value != is).then(|| value.clone()),
        };
        if let Some(difference) = difference {
            patch.set(name, difference);
        }
    }
    for (name, _) in last.members() {
        let is_wanted = wanted.as_object().is_some_and(|map| map.contains_key(name));
        if !is_wanted && !current.get(name).is_null() {
            patch.set(name, Value::Null);
        }
    }
    patch
}

/// The key that the items of a list are merged by, if they are; empty for lists of plain values.
fn merge_key<'a>(schema: Option<TypeRef<'a>>, name: &str) -> Option<&'a str> {
    let patch = &schema?.field(name)?.get().patch;
    patch.merge.then_some(patch.key.as_str())
}

/// For a list of plain values that is merged: what is new, and what is to be taken out of it.
fn plain_list_patch(patch: &mut Value, name: &str, [last, wanted, current]: [&Value; 3]) {
    let without = |list: &Value, other: &Value| -> Vec<Value> {
        list.items().iter().filter(|item| !other.items().contains(item)).cloned().collect()
    };
    let added = without(wanted, current);
    if !added.is_empty() {
        patch.set(name, added);
    }
    let dropped: Vec<Value> =
        without(last, wanted).into_iter().filter(|item| current.items().contains(item)).collect();
    if !dropped.is_empty() {
        patch.set(&format!("$deleteFromPrimitiveList/{name}"), dropped);
    }
}

/// Items to change or add, then items to delete.
fn list_patch(item: Option<TypeRef<'_>>, key: &str, [last, wanted, current]: [&Value; 3]) -> Vec<Value> {
    let find = |list: &Value, wanted: &Value| -> Value {
        list.items().iter().find(|item| item.get(key) == wanted.get(key)).cloned().unwrap_or_default()
    };
    let mut items = Vec::new();
    for value in wanted.items() {
        let is = find(current, value);
        if is.is_null() {
            items.push(value.clone());
            continue;
        }
        let mut difference = patch(item, &find(last, value), value, &is);
        if !difference.is_empty() {
            difference.set(key, value.get(key).clone());
            items.push(difference);
        }
    }
    for before in last.items() {
        let is_wanted = wanted.items().iter().any(|value| value.get(key) == before.get(key));
        if !is_wanted && !find(current, before).is_null() {
            items.push(Value::from([("$patch", Value::from("delete")), (key, before.get(key).clone())]));
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        machinery::yaml::decode(text.as_bytes()).expect("YAML")
    }

    #[test]
    fn what_was_applied_and_is_no_more_is_removed_and_what_others_added_stays() {
        let last = read("{data: {a: '1', b: '2'}}");
        let wanted = read("{data: {a: '1', c: '3'}}");
        let current = read("{data: {a: '1', b: '2', others: x}}");
        assert_eq!(merge_patch(&last, &wanted, &current), read("{data: {c: '3', b: null}}"));
        let applied = read("{data: {a: '1', c: '3', others: x}}");
        assert!(merge_patch(&wanted, &wanted, &applied).is_empty());
    }

    #[test]
    fn plain_lists_that_are_merged_gain_and_lose_single_values() {
        let table = api::Table::load();
        let schema = table.type_of(table.kind("", "v1", "ConfigMap").expect("known"));
        let of = |finalizers: &str| read(&format!("{{metadata: {{finalizers: {finalizers}}}}}"));
        let patch = strategic_patch(schema, &of("[a, b]"), &of("[a, c]"), &of("[a, b, others]"));
        let expected = "{metadata: {finalizers: [c], $deleteFromPrimitiveList/finalizers: [b]}}";
        assert_eq!(patch, read(expected));
    }

    #[test]
    fn lists_with_keys_are_patched_item_by_item() {
        let table = api::Table::load();
        let schema = table.type_of(table.kind("apps", "v1", "Deployment").expect("a Deployment is known"));
        let spec = |containers: &str| {
            read(&format!("{{spec: {{template: {{spec: {{containers: {containers}}}}}}}}}"))
        };
        let last = spec("[{name: a, image: x}, {name: b, image: x}]");
        let wanted = spec("[{name: a, image: y}]");
        let current =
            spec("[{name: a, image: x, imagePullPolicy: Always}, {name: b, image: x}, {name: mesh}]");
        assert_eq!(
            strategic_patch(schema, &last, &wanted, &current),
            spec("[{image: y, name: a}, {$patch: delete, name: b}]")
        );
    }
}
