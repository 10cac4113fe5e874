//! Schemas: what a document of a kind looks like. One arena of types serves built-in kinds (`api` loads the table of
//! them) and custom resources (compiled from their definitions) alike; every codec and engine here is driven by it.
//!
//! [`Types`] owns the types; [`TypeRef`] is a cheap handle to one of them; [`Schema`] is a handle that owns its arena.
//! To walk a document, ask the type for its [`Shape`]: `type_ref.field("spec")`, `type_ref.item()`.

mod refs;

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::Value;
use crate::value::Name;

/// Which type of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u32);

/// An arena of types that refer to each other.
#[derive(Debug, Default)]
pub struct Types {
    types: Vec<Type>,
    names: HashMap<SmolStr, TypeId>,
}

/// A type.
#[derive(Clone, Debug)]
pub struct Type {
    /// As OpenAPI names it (`io.k8s.api.core.v1.PodSpec`); empty if it has no name.
    pub name: SmolStr,
    /// As Go's errors name it (`v1.PodSpec`); empty if it has no name.
    pub go_name: SmolStr,
    /// How its values look.
    pub shape: Shape,
    /// The values it may have, as far as the schema says; empty means any.
    pub enumeration: Box<[SmolStr]>,
}

/// How the values of a type look.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// Any number.
    Float,
    /// Text.
    String,
    /// Bytes; base64 in JSON.
    Bytes,
    /// A time in whole seconds (RFC 3339); `null` if unset.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// A span of time in Go's notation (`1m30s`).
    Duration,
    /// A quantity such as `100m`.
    Quantity,
    /// A whole number or text.
    IntOrString,
    /// Any JSON.
    Any(Free),
    /// Named fields.
    Struct(Struct),
    /// Values by name.
    Map(MapType),
    /// Items in order.
    List(ListType),
    /// A JSON schema (the type given), or what stands in its place in `CustomResourceDefinition`s.
    SchemaOr(Alternative, TypeId),
}

/// Where free-form JSON stands, which decides about its `null` and its form in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// An object of some kind (`RawExtension`).
    Raw,
    /// A JSON value in a `CustomResourceDefinition`.
    Json,
    /// A set of fields in `managedFields`.
    Fields,
    /// A cell of a table, or a part of a custom resource that no schema describes.
    Interface,
}

/// What may stand in the place of a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// A list of schemas.
    Schemas,
    /// `true` or `false`.
    Bool,
    /// A list of texts.
    Strings,
}

/// A structure: fields in the order they are printed.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    fields: Box<[Field]>,
    /// Positions in `fields`, by name.
    by_name: Box<[u16]>,
    /// Positions of the fields that are printed even if they are not set.
    always: Box<[u16]>,
    /// The protobuf messages that hold inlined fields; `Field::inline - 1` points here.
    inlines: Box<[Inline]>,
    /// What each protobuf message holds, by number: first the structure itself, then its inlines.
    messages: Box<[Box<[Slot]>]>,
    /// Server-side apply owns and replaces it as a whole.
    pub atomic: bool,
    /// Members that no field describes are kept (custom resources); else they are dropped.
    pub open: bool,
    /// `x-kubernetes-unions` as OpenAPI shows it; empty if there is none.
    pub unions: SmolStr,
}

/// What a number stands for in a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number.
    pub number: u32,
    /// What stands there.
    pub content: Content,
}

/// What stands in a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The field at this position.
    Field(u16),
    /// The message of inlined fields with this number among [`Struct::message`]s.
    Inline(u16),
}

/// A protobuf message whose fields JSON shows among those of the message around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// The name of its type, which Go's errors put among those of fields.
    pub name: SmolStr,
    /// Its number in the message around it.
    pub number: u32,
    /// The inline that message is in turn, as in [`Field::inline`]; 0 means it is the structure itself.
    pub parent: u16,
}

/// A field of a structure.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: Name,
    /// Its type.
    pub type_id: TypeId,
    /// Its number in protobuf; 0 if it is not there.
    pub number: u32,
    /// In which inlined message it stands in protobuf (position in [`Struct::inlines`] plus one); 0 for none.
    pub inline: u16,
    /// When it is left out.
    pub omission: Omission,
    /// Whether unset and zero are different.
    pub pointer: bool,
    /// Whether OpenAPI calls it required.
    pub required: bool,
    /// Whether server-side apply owns its value as a whole, if that is said here; else its type says.
    pub atomic: Option<bool>,
    /// How a strategic merge patch merges it.
    pub patch: Patch,
    /// The default that the schema itself declares.
    pub default: Option<Value>,
}

/// When a field is left out of canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omission {
    /// Never: unset shows as a zero value or `null`.
    Never,
    /// When it is unset, or (where that is the same) empty or zero.
    Empty,
    /// When all of it is unset.
    Zero,
    /// When it is not there; null is a value (custom resources).
    Absent,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists are merged, not replaced.
    pub merge: bool,
    /// The patch's value replaces, even a structure.
    pub replace: bool,
    /// Members that the patch does not name may be cleared by `$retainKeys`.
    pub retain_keys: bool,
    /// The member by which items of a list are told apart; empty for lists of scalars.
    pub key: SmolStr,
}

/// Values by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapType {
    /// Type of the values.
    pub value: TypeId,
    /// Values may be null.
    pub nullable: bool,
    /// Server-side apply owns and replaces it as a whole.
    pub atomic: bool,
}

/// Items in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListType {
    /// Type of the items.
    pub item: TypeId,
    /// Items may be null.
    pub nullable: bool,
    /// What the list means to server-side apply.
    pub kind: ListKind,
    /// In protobuf it is a message that holds the list as its field 1.
    pub wrapped: bool,
}

/// What a list means to server-side apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Nothing is declared; it is treated as atomic.
    Plain,
    /// Owned and replaced as a whole.
    Atomic,
    /// Scalars that come once each.
    Set,
    /// Structures told apart by these members.
    Map(Box<[SmolStr]>),
}

/// A handle to a type in an arena.
#[derive(Clone, Copy)]
pub struct TypeRef<'a> {
    types: &'a Types,
    id: TypeId,
}

/// A handle to a field of a structure.
#[derive(Clone, Copy)]
pub struct FieldRef<'a> {
    types: &'a Types,
    field: &'a Field,
    position: usize,
}

/// A type together with the arena it is in.
#[derive(Clone, Debug)]
pub struct Schema {
    types: Arc<Types>,
    root: TypeId,
}

impl Schema {
    /// The type `root` of this arena.
    pub fn new(types: Arc<Types>, root: TypeId) -> Schema {
        Schema { types, root }
    }

    /// The type.
    pub fn root(&self) -> TypeRef<'_> {
        TypeRef { types: &self.types, id: self.root }
    }
}

impl Types {
    /// Without types.
    pub fn new() -> Types {
        Types::default()
    }

    /// Adds a type. If it has a name it can be found by it.
    pub fn add(&mut self, item: Type) -> TypeId {
        let id = TypeId(u32::try_from(self.types.len()).expect("a schema has less than 2^32 types"));
        if !item.name.is_empty() {
            self.names.insert(item.name.clone(), id);
        }
        self.types.push(item);
        id
    }

    /// Adds a type without a name.
    pub fn add_shape(&mut self, shape: Shape) -> TypeId {
        self.add(Type {
            name: SmolStr::default(),
            go_name: SmolStr::default(),
            shape,
            enumeration: Box::default(),
        })
    }

    /// Replaces the shape of a type that was added before what it is made of was known.
    pub fn define(&mut self, id: TypeId, shape: Shape, enumeration: Box<[SmolStr]>) {
        let item = &mut self.types[id.0 as usize];
        item.shape = shape;
        item.enumeration = enumeration;
    }

    /// The type with this id, which this arena gave out.
    #[inline]
    pub fn get(&self, id: TypeId) -> TypeRef<'_> {
        TypeRef { types: self, id }
    }

    /// The type with this name.
    pub fn named(&self, name: &str) -> Option<TypeRef<'_>> {
        self.names.get(name).map(|id| self.get(*id))
    }

    /// All types in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = TypeRef<'_>> {
        (0..self.types.len()).map(|position| self.get(TypeId(position as u32)))
    }

    /// Copies a type of another arena, with all that it is made of, and returns it here. Types that are here already
    /// under the same name are used, not copied.
    pub fn import(&mut self, foreign: TypeRef<'_>) -> TypeId {
        self.import_all(foreign, &mut HashMap::new())
    }

    fn import_all(&mut self, foreign: TypeRef<'_>, done: &mut HashMap<TypeId, TypeId>) -> TypeId {
        if let Some(id) = done.get(&foreign.id) {
            return *id;
        }
        let original: &Type = &foreign;
        if let Some(id) = self.names.get(&original.name) {
            return *id;
        }
        let id = self.add(original.clone());
        done.insert(foreign.id, id);
        let mut import = |id: TypeId| self.import_all(foreign.types.get(id), done);
        let shape = match original.shape.clone() {
            Shape::Struct(mut inner) => {
                for field in &mut inner.fields {
                    field.type_id = import(field.type_id);
                }
                Shape::Struct(inner)
            }
            Shape::Map(inner) => Shape::Map(MapType { value: import(inner.value), ..inner }),
            Shape::List(inner) => Shape::List(ListType { item: import(inner.item), ..inner }),
            Shape::SchemaOr(alternative, schema) => Shape::SchemaOr(alternative, import(schema)),
            scalar => scalar,
        };
        self.define(id, shape, original.enumeration.clone());
        id
    }
}

impl Struct {
    /// With these fields, in the order they are printed.
    pub fn new(fields: Vec<Field>) -> Struct {
        Struct::with_inlines(fields, Vec::new())
    }

    /// With these fields, some of them in protobuf messages of their own, as [`Field::inline`] says.
    pub fn with_inlines(fields: Vec<Field>, inlines: Vec<Inline>) -> Struct {
        let mut by_name: Vec<u16> = (0..fields.len() as u16).collect();
        by_name.sort_by(|a, b| name_order(&fields[*a as usize].name, &fields[*b as usize].name));
        let always = (0..fields.len() as u16)
            .filter(|position| fields[*position as usize].omission == Omission::Never)
            .collect();
        let mut messages: Vec<Vec<Slot>> = vec![Vec::new(); inlines.len() + 1];
        for (position, inline) in inlines.iter().enumerate() {
            let content = Content::Inline(position as u16 + 1);
            messages[usize::from(inline.parent)].push(Slot { number: inline.number, content });
        }
        for (position, field) in fields.iter().enumerate().filter(|(_, field)| field.number > 0) {
            let content = Content::Field(position as u16);
            messages[usize::from(field.inline)].push(Slot { number: field.number, content });
        }
        for slots in &mut messages {
            slots.sort_by_key(|slot| slot.number);
        }
        Struct {
            fields: fields.into(),
            by_name: by_name.into(),
            always,
            inlines: inlines.into(),
            messages: messages.into_iter().map(Vec::into_boxed_slice).collect(),
            ..Struct::default()
        }
    }

    /// The protobuf messages that hold inlined fields; `Field::inline - 1` points here.
    pub fn inlines(&self) -> &[Inline] {
        &self.inlines
    }

    /// What a protobuf message holds, by number: 0 is the structure itself, others are its inlines.
    #[inline]
    pub fn message(&self, number: u16) -> &[Slot] {
        self.messages.get(usize::from(number)).map_or(&[], |slots| slots)
    }

    /// The fields in order.
    #[inline]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Positions of the fields that canonical JSON never leaves out.
    pub fn always(&self) -> &[u16] {
        &self.always
    }

    /// The position of a field.
    pub fn position(&self, name: &str) -> Option<usize> {
        let found = self
            .by_name
            .binary_search_by(|position| name_order(&self.fields[*position as usize].name, name))
            .ok()?;
        Some(self.by_name[found] as usize)
    }

    /// The position of a field that probably stands at `expected` or shortly behind it, as in a document that is in order.
    pub fn position_from(&self, name: &str, expected: usize) -> Option<usize> {
        /// Beyond so many fields that are left out a search is faster.
        const NEAR: usize = 8;
        let near = self.fields.get(expected..).unwrap_or_default().iter().take(NEAR);
        match near.into_iter().position(|field| field.name == name) {
            Some(offset) => Some(expected + offset),
            None => self.position(name),
        }
    }
}

/// Short names first: most comparisons end with the length.
fn name_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl Field {
    /// An optional field of this name and type, with nothing else said about it.
    pub fn new(name: impl Into<Name>, type_id: TypeId) -> Field {
        Field {
            name: name.into(),
            type_id,
            number: 0,
            inline: 0,
            omission: Omission::Empty,
            pointer: true,
            required: false,
            atomic: None,
            patch: Patch::default(),
            default: None,
        }
    }

    /// What canonical JSON shows for the field where it is not set but cannot be left out.
    pub fn zero(&self, types: &Types) -> Value {
        if self.pointer { Value::Null } else { types.get(self.type_id).zero() }
    }
}
