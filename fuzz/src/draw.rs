//! Documents of any type, drawn by its schema: what they hold is right in form, though rarely in meaning.

use machinery::schema::{Alternative, Free, ListKind, Shape, TypeRef};
use machinery::{Map, Value};

use crate::choices::Choices;

/// Deeper than any type that does not hold itself.
const DEEPEST: usize = 12;

/// What clients may want of metadata; the rest is the server's.
const WANTED: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

/// Draws a document of a kind, with what every object has. Its lists and maps are never empty, which a message cannot
/// tell from unset.
pub fn object(ty: TypeRef<'_>, (api_version, kind): (&str, &str), choices: &mut Choices<'_>) -> Value {
    let mut document = node(ty, choices, 0);
    for (name, value) in [("apiVersion", api_version), ("kind", kind)] {
        if ty.field(name).is_some() {
            document.set(name, value);
        }
    }
    if ty.field("metadata").is_some_and(|metadata| metadata.ty().field("managedFields").is_some()) {
        let metadata = document.entry("metadata");
        if let Some(members) = metadata.as_object_mut() {
            members.retain(|name, _| WANTED.contains(&name));
        }
        metadata.set("name", "x");
    }
    document
}

fn node(ty: TypeRef<'_>, choices: &mut Choices<'_>, depth: usize) -> Value {
    match ty.shape() {
        Shape::Bool => Value::Bool(choices.below(2) == 1),
        Shape::Int32 => Value::Int(choices.pick(&[0, 1, 80, -1, i64::from(i32::MAX), i64::from(i32::MIN)])),
        Shape::Int64 => Value::Int(choices.pick(&[0, 7, 1 << 53, i64::MIN, i64::MAX])),
        Shape::Float => Value::Float(choices.pick(&[0.5, -1e300, 1e-7, 2.25])),
        Shape::String => text(ty, choices),
        Shape::Bytes => Value::from(choices.pick(&["", "aGk=", "AA==", "////"])),
        Shape::Time => Value::from(choices.pick(&["2024-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])),
        Shape::MicroTime => Value::from("2024-01-01T00:00:00.000001Z"),
        Shape::Duration => Value::from(choices.pick(&["0s", "1m30s", "1.5ms"])),
        Shape::Quantity => {
            Value::from(choices.pick(&["0", "100m", "1536Mi", "12e6", "-1", "9223372036854775807"]))
        }
        Shape::IntOrString => choices.pick(&[Value::Int(80), Value::from("http"), Value::from("25%")]),
        Shape::Any(Free::Interface) => Value::Null,
        Shape::Any(_) => Value::from([("b", Value::from("x")), ("a", Value::from(vec![Value::Int(1)]))]),
        Shape::Struct(_) => structure(ty, choices, depth),
        Shape::Map(_) => map(ty, choices, depth),
        Shape::List(_) => list(ty, choices, depth),
        Shape::SchemaOr(Alternative::Bool, _) => Value::Bool(choices.below(2) == 1),
        Shape::SchemaOr(Alternative::Schemas, _) => Value::Null,
        Shape::SchemaOr(Alternative::Strings, _) => Value::from(vec![Value::from("s")]),
    }
}

fn text(ty: TypeRef<'_>, choices: &mut Choices<'_>) -> Value {
    let known: Vec<&str> = ty.enumeration.iter().map(|word| word.as_str()).collect();
    if !known.is_empty() && choices.below(4) > 0 {
        return Value::from(choices.pick(&known));
    }
    Value::from(choices.pick(&[
        "a",
        "b",
        "x.example.com",
        "",
        "é<>",
        "a longer text than fits in place",
        "A_b",
        "1.2.3.4",
        "/a",
    ]))
}

fn structure(ty: TypeRef<'_>, choices: &mut Choices<'_>, depth: usize) -> Value {
    let mut map = Map::new();
    if depth > DEEPEST {
        return Value::Object(map);
    }
    let rare = if depth < 3 { 2 } else { 4 };
    for field in ty.fields().filter(|field| field.number != 0) {
        if choices.once_in(rare) {
            map.insert(field.name.clone(), node(field.ty(), choices, depth + 1));
        }
    }
    Value::Object(map)
}

fn map(ty: TypeRef<'_>, choices: &mut Choices<'_>, depth: usize) -> Value {
    let mut map = Map::new();
    let Some(value) = ty.item() else { return Value::Object(map) };
    for name in ["z", "a", "k8s.io/b"].into_iter().take(1 + choices.below(3)) {
        map.insert(name, node(value, choices, depth + 1));
    }
    Value::Object(map)
}

fn list(ty: TypeRef<'_>, choices: &mut Choices<'_>, depth: usize) -> Value {
    let (Some(item), Some(list)) = (ty.item(), ty.as_list()) else { return Value::from(Vec::new()) };
    let mut items: Vec<Value> = Vec::new();
    for _ in 0..1 + choices.below(3) {
        let mut drawn = node(item, choices, depth + 1);
        if let ListKind::Map(keys) = &list.kind {
            for key in keys {
                let of_key = item.field(key).map(|field| node(field.ty(), choices, depth + 2));
                drawn.set(key, of_key.unwrap_or_default());
            }
        }
        items.push(drawn);
    }
    if !matches!(list.kind, ListKind::Atomic) {
        let keys: Vec<String> = items.iter().map(|drawn| identity(drawn, &list.kind)).collect();
        let mut position = 0;
        items.retain(|_| {
            position += 1;
            !keys[..position - 1].contains(&keys[position - 1])
        });
    }
    Value::from(items)
}

/// What tells an item from others in its list.
fn identity(item: &Value, kind: &ListKind) -> String {
    match kind {
        ListKind::Map(keys) => {
            keys.iter().map(|key| machinery::json::to_string(item.get(key)) + ",").collect()
        }
        _ => machinery::json::to_string(item),
    }
}
