//! RFC 6902 patches, with the liberties that upstream's implementation takes.

use smol_str::SmolStr;

use super::{undecodable, unprocessable};
use crate::json::{Report, decode};
use crate::schema::{Field, Free, ListKind, ListType, Shape, Struct, Type, Types};
use crate::value::Map;
use crate::{Reason, Status, Value};

/// How many operations a patch may have: as many as upstream allows.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch. Unknown and duplicate members of its operations are told to `report`.
pub fn json(mut document: Value, patch: &[u8], report: &mut Report) -> Result<Value, Status> {
    let operations = read(patch, report)?;
    let operations = operations.items();
    if operations.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(Status::new(413, Reason::RequestEntityTooLarge, message));
    }
    for operation in operations {
        apply(&mut document, operation).ok_or_else(unprocessable)?;
    }
    Ok(document)
}

fn read(patch: &[u8], report: &mut Report) -> Result<Value, Status> {
    let mut types = Types::new();
    let string = types.add_shape(Shape::String);
    let any = types.add_shape(Shape::Any(Free::Json));
    let item = types.add(Type {
        name: SmolStr::default(),
        go_name: SmolStr::new_static("handlers.jsonPatchOp"),
        shape: Shape::Struct(Struct::new(vec![
            Field::new("op", string),
            Field::new("path", string),
            Field::new("from", string),
            Field::new("value", any),
        ])),
        enumeration: Box::default(),
    });
    let list = ListType { item, nullable: false, kind: ListKind::Plain, wrapped: false };
    let root = types.add_shape(Shape::List(list));
    let mut inner = if report.is_collecting() { Report::new() } else { Report::ignoring() };
    let operations = decode(patch, types.get(root), &mut inner).map_err(|error| undecodable(&error))?;
    for finding in inner.strict_errors() {
        report.push(format!("json patch {finding}"));
    }
    Ok(operations)
}

/// Applies one operation. `None` means that it does not apply; nobody is told why.
fn apply(document: &mut Value, operation: &Value) -> Option<()> {
    let path = operation.get("path").as_str()?;
    let value = || operation.get("value").clone();
    match operation.get("op").as_str()? {
        "add" => {
            let (parent, key) = find(document, path)?;
            add(parent, &key, value())
        }
        "replace" => {
            let (parent, key) = find(document, path)?;
            get(parent, &key)?;
            set(parent, &key, value())
        }
        "remove" => {
            let (parent, key) = find(document, path)?;
            remove(parent, &key).map(drop)
        }
        "move" => {
            let (parent, key) = find(document, operation.get("from").as_str()?)?;
            let moved = remove(parent, &key)?;
            let (parent, key) = find(document, path)?;
            add(parent, &key, moved)
        }
        "copy" => {
            let (parent, key) = find(document, operation.get("from").as_str()?)?;
            let copied = get(parent, &key)?.clone();
            let (parent, key) = find(document, path)?;
            add(parent, &key, copied)
        }
        "test" => {
            let (parent, key) = find(document, path)?;
            (get(parent, &key)? == operation.get("value")).then_some(())
        }
        _ => None,
    }
}

/// The list or object that a path leads into, and the last part of the path. What stands before the first slash is
/// passed over, whatever it is.
fn find<'v>(document: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    let key = unescape(parts.pop()?);
    let mut parent = document;
    for part in parts {
        let name = unescape(part);
        parent = match parent {
            Value::Object(map) => {
                // What Go has unpacked it writes sorted.
                map.sort();
                map.get_mut(&name)?
            }
            Value::Array(items) => {
                let position = index(&name, items.len())?;
                items.get_mut(position)?
            }
            _ => return None,
        };
    }
    if let Value::Object(map) = parent {
        map.sort();
    }
    matches!(parent, Value::Object(_) | Value::Array(_)).then_some((parent, key))
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// A position in a list; negative ones count from its end.
fn index(text: &str, len: usize) -> Option<usize> {
    let position: i64 = text.parse().ok()?;
    let len = i64::try_from(len).ok()?;
    let position = if position < 0 { position + len } else { position };
    usize::try_from(position).ok().filter(|_| position < len)
}

/// A member (missing ones are null) or an item (missing ones are a failure).
fn get<'v>(parent: &'v Value, key: &str) -> Option<&'v Value> {
    match parent {
        Value::Array(items) => items.get(index(key, items.len())?),
        object => Some(object.get(key)),
    }
}

fn add(parent: &mut Value, key: &str, value: Value) -> Option<()> {
    match parent {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let position = index(key, items.len() + 1)?;
            items.insert(position, value);
        }
        Value::Object(map) => put(map, key, value),
        _ => return None,
    }
    Some(())
}

fn set(parent: &mut Value, key: &str, value: Value) -> Option<()> {
    match parent {
        Value::Array(items) => {
            let position = index(key, items.len())?;
            items[position] = value;
        }
        Value::Object(map) => put(map, key, value),
        _ => return None,
    }
    Some(())
}

fn put(map: &mut Map, key: &str, value: Value) {
    map.insert(key, value);
    map.sort();
}

fn remove(parent: &mut Value, key: &str) -> Option<Value> {
    match parent {
        Value::Array(items) => {
            let position = index(key, items.len())?;
            Some(items.remove(position))
        }
        Value::Object(map) => map.remove(key),
        _ => None,
    }
}
