//! Putting a document that rules have worked on back into canonical form.

use crate::Value;
use crate::schema::{Field, Omission, Shape, Struct, TypeRef};
use crate::value::Map;

/// Puts fields in the schema's order, sorts maps, leaves out what is unset and shows what may not be left out, as
/// [`super::decode`] does. To be called after defaults and other rules have set members of a decoded document.
/// Members that the schema does not know are dropped; values are not checked.
pub fn canonicalize(value: &mut Value, ty: TypeRef<'_>) {
    match (ty.shape(), &mut *value) {
        (Shape::Struct(inner), Value::Object(map)) => structure(map, inner, ty),
        (Shape::Map(map_type), Value::Object(map)) => {
            let value_type = ty.types().get(map_type.value);
            for (_, member) in map.iter_mut() {
                replace_null(member, value_type, map_type.nullable);
                canonicalize(member, value_type);
            }
            map.sort();
        }
        (Shape::List(list), Value::Array(items)) => {
            let item_type = ty.types().get(list.item);
            for item in items {
                replace_null(item, item_type, list.nullable);
                canonicalize(item, item_type);
            }
        }
        (Shape::SchemaOr(_, schema), Value::Object(_)) => canonicalize(value, ty.types().get(*schema)),
        (Shape::SchemaOr(_, schema), Value::Array(items)) => {
            for item in items {
                canonicalize(item, ty.types().get(*schema));
            }
        }
        _ => {}
    }
}

fn replace_null(value: &mut Value, ty: TypeRef<'_>, nullable: bool) {
    if value.is_null() && matches!(ty.shape(), Shape::Bytes) {
        // Storage does not tell them from those that are empty.
        *value = Value::from("");
    } else if value.is_null() && !nullable {
        *value = ty.zero();
    }
}

fn structure(map: &mut Map, inner: &Struct, ty: TypeRef<'_>) {
    let mut last = None;
    let mut in_order = true;
    map.retain(|name, value| {
        let expected = last.map_or(0, |last| last + 1);
        let Some(position) = inner.position_from(name, expected) else { return inner.open };
        let field = &inner.fields()[position];
        canonicalize(value, ty.types().get(field.type_id));
        if field.omission == Omission::Never && (value.is_null() || is_unset(field, value)) {
            *value = field.zero(ty.types());
        } else if !keeps(field, value) {
            return false;
        }
        in_order &= last.is_none_or(|last| last < position);
        last = Some(position);
        true
    });
    for position in inner.always() {
        let field = &inner.fields()[usize::from(*position)];
        if !map.contains_key(&field.name) {
            map.insert(field.name.clone(), field.zero(ty.types()));
            in_order = false;
        }
    }
    if inner.open {
        // What the schema knows comes first, then the rest by name.
        map.sort();
        map.sort_by_key(|name| inner.position(name).unwrap_or(usize::MAX));
    } else if !in_order {
        map.sort_by_key(|name| inner.position(name));
    }
}

/// Whether a value says no more than nothing would: storage does not tell an empty list from none.
fn is_unset(field: &Field, value: &Value) -> bool {
    !field.pointer && matches!(value, Value::Array(items) if items.is_empty())
}

/// Whether a field with this value is printed.
pub(crate) fn keeps(field: &Field, value: &Value) -> bool {
    match field.omission {
        Omission::Absent => true,
        _ if value.is_null() => false,
        Omission::Never | Omission::Zero => true,
        Omission::Empty => field.pointer || !value.is_empty(),
    }
}
