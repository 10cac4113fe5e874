//! Canonical order: what rules and admission added at the end of their objects is brought to its place, and what is
//! always printed is there.

use machinery::Value;
use machinery::schema::{Shape, TypeRef};

/// Brings a document into the order of its schema.
pub fn canonical(value: &mut Value, ty: TypeRef<'_>) {
    match ty.shape() {
        Shape::Struct(structure) => {
            let Some(members) = value.as_object_mut() else { return };
            for position in structure.always() {
                if let Some(field) = ty.field_at(usize::from(*position))
                    && !members.contains_key(&field.get().name)
                {
                    members.insert(field.get().name.clone(), field.get().zero(ty.types()));
                }
            }
            let place = |name: &str| structure.position(name).unwrap_or(usize::MAX);
            let mut last = 0;
            let mut sorted = true;
            for (name, member) in members.iter_mut() {
                let at = place(name);
                sorted = sorted && last <= at;
                last = at;
                if let Some(field) = ty.field_at(at) {
                    canonical(member, field.ty());
                }
            }
            if !sorted {
                members.sort_by_key(place);
            }
        }
        Shape::Map(_) => {
            let Some(item) = ty.item() else { return };
            let Some(members) = value.as_object_mut() else { return };
            for (_, member) in members.iter_mut() {
                canonical(member, item);
            }
            if !members.keys().is_sorted() {
                let mut entries = std::mem::take(members).into_entries();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                *members = machinery::Map::from_entries(entries);
            }
        }
        Shape::List(_) => {
            let Some(item) = ty.item() else { return };
            for member in value.items_mut() {
                canonical(member, item);
            }
        }
        _ => {}
    }
}
