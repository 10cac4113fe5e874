//! Merging a configuration that nobody comes to own: what a policy wants of an object.

use super::form::{Form, Items, Place};
use super::{merge, validate};
use crate::Value;
use crate::schema::{Shape, TypeRef};

/// The object with a configuration in it. Lists and structures that are one thing cannot be changed this way: whoever
/// names a part of one would take the rest away.
pub fn merge_unowned(live: &Value, config: &Value, ty: TypeRef<'_>) -> Result<Value, String> {
    validate::validate(config, ty, true)
        .map_err(|misfits| format!("failed to convert patch object to typed object: {misfits}"))?;
    let mut atomic = Vec::new();
    find_atomic(config, Place::of(ty), String::new(), &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    Ok(merge::merge(live, config, ty))
}

/// Adds the paths of everything in a configuration that is one thing.
fn find_atomic(value: &Value, place: Place<'_>, path: String, found: &mut Vec<String>) {
    match (place.form(value), value) {
        (Form::Leaf, Value::Object(_) | Value::Array(_)) if is_container(place) => found.push(path),
        (Form::Members(inner), Value::Object(members)) => {
            for (name, member) in members.iter() {
                find_atomic(member, inner.member(name), format!("{path}.{name}"), found);
            }
        }
        (Form::Items(Items { item, .. }), Value::Array(items)) => {
            for (position, inner) in items.iter().enumerate() {
                find_atomic(inner, item, format!("{path}[{position}]"), found);
            }
        }
        _ => {}
    }
}

fn is_container(place: Place<'_>) -> bool {
    place.ty.is_some_and(|ty| matches!(ty.shape(), Shape::Struct(_) | Shape::Map(_) | Shape::List(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, ListKind, ListType, MapType, Struct, Types};

    fn parse(json: &str) -> Value {
        crate::json::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_atomic_ones_are_refused() {
        let mut types = Types::new();
        let text = types.add_shape(Shape::String);
        let labels = types.add_shape(Shape::Map(MapType { value: text, nullable: false, atomic: false }));
        let item = types
            .add_shape(Shape::Struct(Struct::new(vec![Field::new("name", text), Field::new("image", text)])));
        let list = |kind, item| Shape::List(ListType { item, nullable: false, kind, wrapped: false });
        let keyed = types.add_shape(list(ListKind::Map(Box::new(["name".into()])), item));
        let atomic = types.add_shape(list(ListKind::Atomic, text));
        let root = types.add_shape(Shape::Struct(Struct::new(vec![
            Field::new("labels", labels),
            Field::new("items", keyed),
            Field::new("args", atomic),
        ])));
        let live =
            parse(r#"{"labels":{"a":"1"},"items":[{"name":"x","image":"i"},{"name":"y"}],"args":["a"]}"#);
        for (config, expected) in [
            (
                r#"{"labels":{"b":"2"}}"#,
                Ok(
                    r#"{"labels":{"a":"1","b":"2"},"items":[{"name":"x","image":"i"},{"name":"y"}],"args":["a"]}"#,
                ),
            ),
            (
                r#"{"items":[{"name":"x","image":"new"},{"name":"z"}]}"#,
                Ok(
                    r#"{"labels":{"a":"1"},"items":[{"name":"x","image":"new"},{"name":"z"},{"name":"y"}],"args":["a"]}"#,
                ),
            ),
            (
                r#"{"args":["b"]}"#,
                Err("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .args"),
            ),
            (
                r#"{"nothing":1}"#,
                Err("failed to convert patch object to typed object: .nothing: field not declared in schema"),
            ),
        ] {
            let merged = merge_unowned(&live, &parse(config), types.get(root));
            match (merged, expected) {
                (Ok(merged), Ok(expected)) => {
                    for part in ["labels", "args"] {
                        assert_eq!(merged.get(part), parse(expected).get(part), "{config}");
                    }
                    let names = |document: &Value| {
                        let mut items: Vec<String> =
                            document.get("items").items().iter().map(crate::json::to_string).collect();
                        items.sort();
                        items
                    };
                    assert_eq!(names(&merged), names(&parse(expected)), "{config}");
                }
                (merged, expected) => {
                    assert_eq!(merged.map(|_| ""), expected.map_err(str::to_owned), "{config}");
                }
            }
        }
    }
}
