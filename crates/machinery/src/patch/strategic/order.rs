//! The order of merged lists: that of the patch for the items it names, that of the server for all others.

use super::{
    DIRECTIVE, SET_ORDER, Strategy, are_objects, failure, key_of, list_name, merge_lists, without_directives,
};
use crate::patch::go_format;
use crate::schema::TypeRef;
use crate::value::Map;
use crate::{Status, Value};

/// Follows `$setElementOrder/LIST`: merges the list right away and puts it in that order.
pub(super) fn set_element_order(
    document: &mut Map,
    patch: &mut Map,
    directive: &str,
    ty: Option<TypeRef<'_>>,
) -> Result<(), Status> {
    let order = list(patch.remove(directive).unwrap_or_default())?;
    let name = list_name(directive, SET_ORDER)?;
    let strategy = Strategy::of(ty, &name);
    if strategy.ty.is_none() {
        let owner = ty.map(TypeRef::go_type).unwrap_or_default();
        let owner = owner.rsplit('.').next().unwrap_or_default();
        let message = format!("unable to find api field in struct {owner} for the json field \"{name}\"");
        return Err(failure(message));
    }
    let change = patch.remove(&name).map(list).transpose()?;
    if let Some(change) = &change {
        check_order(change, &order, strategy.key)?;
    } else if !document.contains_key(&name) {
        return Ok(());
    }
    let before = document.get_mut(&name).map(std::mem::take).map(list).transpose()?;
    let server_order = before.clone().unwrap_or_default();
    let merged = match (before, change) {
        (Some(before), Some(change)) => merge_lists(before, change, strategy, false)?,
        (Some(before), None) => before,
        (None, change) => {
            let change = Value::from(change.unwrap_or_default());
            list(without_directives(change).unwrap_or_default())?
        }
    };
    let arranged = arrange(merged, &order, &server_order, strategy.key)?;
    document.insert(name, Value::from(arranged));
    Ok(())
}

fn list(value: Value) -> Result<Vec<Value>, Status> {
    match value {
        Value::Array(items) => Ok(items.into_vec()),
        Value::Null => Ok(Vec::new()),
        other => Err(failure(format!(
            "expected a []interface {{}}, but received a {}",
            match other {
                Value::Object(_) => "map[string]interface {}",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Float(_) => "float64",
                _ => "int64",
            }
        ))),
    }
}

/// The items of the patch must come in the order that it asks for itself.
fn check_order(change: &[Value], order: &[Value], key: &str) -> Result<(), Status> {
    if order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in change.iter().filter(|item| item.get(DIRECTIVE).is_null()) {
        let found = if key.is_empty() {
            wanted.any(|other| other == item)
        } else {
            let value = key_of(item, key)?;
            wanted.any(|other| other.get(key) == value)
        };
        if !found {
            let [change, order] = [change, order].map(|list| go_format(&Value::from(list.to_vec())));
            return Err(failure(format!(
                "The order in patch list:\n{change}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

/// Puts a merged list in order: items that `patch_order` names in its order, the others in the server's, and the two
/// woven together so that no item overtakes one that stood before it on the server.
pub(super) fn arrange(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
) -> Result<Vec<Value>, Status> {
    if merged.is_empty() {
        return Ok(merged);
    }
    if are_objects(&merged, patch_order)? {
        for item in merged.iter().chain(patch_order) {
            key_of(item, key)?;
        }
    }
    let same = |a: &Value, b: &Value| if key.is_empty() { a == b } else { a.get(key) == b.get(key) };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch_order, item).is_some());
    named.sort_by_key(|item| place(patch_order, item));
    // Items that the server does not know yet stay behind those it knows.
    others.sort_by_key(|item| place(server_order, item).unwrap_or(usize::MAX));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let mut named = named.into_iter().peekable();
    for other in others {
        let before = place(server_order, &other);
        while let Some(next) = named.peek() {
            let first = match (before, place(server_order, next)) {
                (Some(other), Some(named)) => other < named,
                _ => false,
            };
            if first {
                break;
            }
            arranged.extend(named.next());
        }
        arranged.push(other);
    }
    arranged.extend(named);
    Ok(arranged)
}
