//! Patches that make one document of another, so that it can be seen whether they do.

use machinery::schema::TypeRef;
use machinery::{Map, Value};

/// The merge patch that makes `to` of `from`. Neither may hold nulls, which such patches cannot write.
pub fn merge(from: &Value, to: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in after.iter() {
        match before.get(name) {
            Some(old) if old == new => {}
            Some(old) => drop(patch.insert(name.clone(), merge(old, new))),
            None => drop(patch.insert(name.clone(), new.clone())),
        }
    }
    Value::Object(patch)
}

/// The strategic merge patch that makes `to` of `from`; `None` where items of a list cannot be told apart.
pub fn strategic(from: &Value, to: &Value, ty: Option<TypeRef<'_>>) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in after.iter() {
        let Some(old) = before.get(name) else {
            patch.insert(name.clone(), new.clone());
            continue;
        };
        if old == new {
            continue;
        }
        let field = ty.and_then(|ty| ty.field(name));
        let inner = ty.and_then(|ty| ty.member(name));
        let strategy = field.map(|field| field.get().patch.clone()).unwrap_or_default();
        match (old, new) {
            (Value::Array(old), Value::Array(new)) if strategy.merge && strategy.key.is_empty() => {
                scalars(name, old, new, &mut patch)?;
            }
            (Value::Array(old), Value::Array(new)) if strategy.merge => {
                let item = inner.and_then(TypeRef::item);
                let changes = items((old, new), &strategy.key, item)?;
                let order = new.iter().map(|item| key_of(item, &strategy.key)).collect::<Option<Vec<_>>>()?;
                let order = order.into_iter().map(|key| Value::from([(&*strategy.key, key)]));
                patch.insert(format!("$setElementOrder/{name}"), order.collect::<Value>());
                patch.insert(name.clone(), Value::from(changes));
            }
            (Value::Object(_), Value::Object(kept)) if !strategy.replace => {
                let mut change = strategic(old, new, inner)?;
                if strategy.retain_keys {
                    change.set(
                        "$retainKeys",
                        kept.keys().map(|name| Value::from(name.as_str())).collect::<Value>(),
                    );
                }
                patch.insert(name.clone(), change);
            }
            _ => drop(patch.insert(name.clone(), new.clone())),
        }
    }
    Some(Value::Object(patch))
}

fn key_of(item: &Value, key: &str) -> Option<Value> {
    Some(item.get(key).clone()).filter(|value| !value.is_null())
}

/// What makes one list of items with a key of another.
fn items((old, new): (&[Value], &[Value]), key: &str, ty: Option<TypeRef<'_>>) -> Option<Vec<Value>> {
    let keys = |items: &[Value]| items.iter().map(|item| key_of(item, key)).collect::<Option<Vec<_>>>();
    let (before, after) = (keys(old)?, keys(new)?);
    if !(all_differ(&before) && all_differ(&after)) {
        return None;
    }
    let mut changes = Vec::new();
    for (own, item) in after.iter().zip(new) {
        match before.iter().position(|other| other == own) {
            Some(at) if old[at] == *item => {}
            Some(at) => {
                let mut change = strategic(&old[at], item, ty)?;
                change.set(key, own.clone());
                changes.push(change);
            }
            None => changes.push(item.clone()),
        }
    }
    for gone in before.iter().filter(|own| !after.contains(own)) {
        changes.push(Value::from([(key, gone.clone()), ("$patch", Value::from("delete"))]));
    }
    Some(changes)
}

/// What makes one list of scalars of another.
fn scalars(name: &str, old: &[Value], new: &[Value], patch: &mut Map) -> Option<()> {
    if !(all_differ(old) && all_differ(new)) {
        return None;
    }
    let without = |from: &[Value], others: &[Value]| -> Vec<Value> {
        from.iter().filter(|item| !others.contains(item)).cloned().collect()
    };
    let (gone, come) = (without(old, new), without(new, old));
    patch.insert(format!("$setElementOrder/{name}"), Value::from(new.to_vec()));
    if !gone.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), Value::from(gone));
    }
    if !come.is_empty() {
        patch.insert(name, Value::from(come));
    }
    Some(())
}

fn all_differ(items: &[Value]) -> bool {
    items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))
}

/// Takes nulls away, which patches cannot write.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.iter_mut().for_each(|(_, member)| without_nulls(member));
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

/// Takes nulls away, and structures and lists that hold nothing.
pub fn without_empties(value: &mut Value) {
    let holds_something = |value: &mut Value| {
        without_empties(value);
        match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        }
    };
    match value {
        Value::Object(map) => map.retain(|_, member| holds_something(member)),
        Value::Array(items) => items.retain_mut(|item| holds_something(item)),
        _ => {}
    }
}

/// Whether two patches change different things, so that it does not matter which comes first.
pub fn are_apart(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(name, change)| other.get(name).is_none_or(|same| are_apart(change, same)))
        }
        _ => false,
    }
}
