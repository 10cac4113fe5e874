//! How apply treats a value: as one thing, or as parts that can have managers of their own.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::element;
use crate::Value;
use crate::schema::{FieldRef, Free, ListKind, Shape, TypeRef};

/// How apply treats a value.
#[derive(Clone, Copy)]
pub(super) enum Form<'t> {
    /// As one thing.
    Leaf,
    /// As a structure or map: members have managers.
    Members(Place<'t>),
    /// As a list whose items have managers.
    Items(Items<'t>),
}

/// What is known of the type of a value where it stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'t> {
    /// Its type; `None` where the schema says nothing.
    pub ty: Option<TypeRef<'t>>,
    /// Whether it is one thing, if that is said where it stands.
    pub atomic: Option<bool>,
}

/// A list whose items are told apart.
#[derive(Clone, Copy)]
pub(super) struct Items<'t> {
    pub item: Place<'t>,
    /// By these members; by themselves if there are none.
    pub keys: &'t [SmolStr],
}

impl<'t> Place<'t> {
    pub(super) fn of(ty: TypeRef<'t>) -> Place<'t> {
        Place { ty: Some(ty), atomic: None }
    }

    /// How this value is treated here.
    pub(super) fn form(self, value: &Value) -> Form<'t> {
        let Some(ty) = self.ty else { return self.deduced(value) };
        let atomic = |own: bool| self.atomic.unwrap_or(own);
        match ty.shape() {
            Shape::Struct(inner) if inner.fields().is_empty() && !inner.open => Form::Leaf,
            Shape::Struct(inner) if !atomic(inner.atomic) => Form::Members(self),
            Shape::Map(map) if !atomic(map.atomic) => Form::Members(self),
            Shape::List(list) => {
                let item = Place::of(ty.types().get(list.item));
                match &list.kind {
                    ListKind::Set => Form::Items(Items { item, keys: &[] }),
                    ListKind::Map(keys) => Form::Items(Items { item, keys }),
                    ListKind::Plain | ListKind::Atomic => Form::Leaf,
                }
            }
            Shape::Any(Free::Interface) if self.atomic != Some(true) => self.deduced(value),
            _ => Form::Leaf,
        }
    }

    fn deduced(self, value: &Value) -> Form<'t> {
        match value {
            Value::Object(_) => Form::Members(Place::default()),
            _ => Form::Leaf,
        }
    }

    /// The place of a member of a structure or map.
    pub(super) fn member(self, name: &str) -> Place<'t> {
        let Some(ty) = self.ty else { return Place::default() };
        match ty.field(name) {
            Some(field) => Place { ty: Some(field.ty()), atomic: field.atomic },
            None => Place { ty: if ty.as_map().is_some() { ty.item() } else { None }, atomic: None },
        }
    }

    /// The same, of members that come in the schema's order: where the one before stood, the search begins.
    pub(super) fn next_member(self, name: &str, expected: &mut usize) -> Place<'t> {
        let Some(Shape::Struct(inner)) = self.ty.map(TypeRef::shape) else { return self.member(name) };
        let Some(position) = inner.position_from(name, *expected) else { return self.member(name) };
        *expected = position + 1;
        let field = self.ty.and_then(|ty| ty.field_at(position));
        field.map_or_else(Place::default, |field| Place { ty: Some(field.ty()), atomic: field.atomic })
    }

    /// Whether the structure declares a field of this name.
    pub(super) fn declares(self, name: &str) -> bool {
        self.ty.and_then(|ty| ty.field(name)).map(FieldRef::get).is_some()
    }
}

impl Items<'_> {
    /// The step to an item; or why there is none.
    pub(super) fn element(&self, item: &Value) -> Result<SmolStr, String> {
        if self.keys.is_empty() {
            element::valued(item)
        } else {
            element::keyed(item, self.keys, self.item.ty)
        }
    }
}

/// Members by name, for maps of any size.
pub(super) enum Lookup<'v> {
    Few(Option<&'v crate::Map>),
    Many(HashMap<&'v str, &'v Value>),
}

impl<'v> Lookup<'v> {
    pub(super) fn new(map: Option<&'v crate::Map>) -> Lookup<'v> {
        match map {
            Some(map) if map.len() > 64 => {
                Lookup::Many(map.iter().map(|(name, value)| (name.as_str(), value)).collect())
            }
            few => Lookup::Few(few),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'v Value> {
        match self {
            Lookup::Few(map) => map.and_then(|map| map.get(name)),
            Lookup::Many(map) => map.get(name).copied(),
        }
    }
}

/// The members, if there are any.
pub(super) fn members(value: Option<&Value>) -> Option<&crate::Map> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}

/// The items; none if it is no list.
pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value.map(Value::items).unwrap_or_default()
}
