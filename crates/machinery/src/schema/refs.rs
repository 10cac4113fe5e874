//! Walking a schema: what can be asked of a type and of a field.

use std::fmt;
use std::ops::Deref;

use smol_str::SmolStr;

use super::{
    Alternative, Field, FieldRef, Free, ListType, MapType, Omission, Shape, Struct, Type, TypeId, TypeRef,
    Types,
};
use crate::Value;
use crate::value::Map;

impl Deref for TypeRef<'_> {
    type Target = Type;

    fn deref(&self) -> &Type {
        &self.types.types[self.id.0 as usize]
    }
}

impl<'a> TypeRef<'a> {
    /// Its id in its arena.
    pub fn id(self) -> TypeId {
        self.id
    }

    /// The arena it is in.
    pub fn types(self) -> &'a Types {
        self.types
    }

    /// How its values look.
    pub fn shape(self) -> &'a Shape {
        &self.types.types[self.id.0 as usize].shape
    }

    /// Its name as OpenAPI has it, for as long as its arena; empty if it has none.
    pub fn full_name(self) -> &'a str {
        &self.types.types[self.id.0 as usize].name
    }

    /// The structure, if it is one.
    pub fn as_struct(self) -> Option<&'a Struct> {
        match self.shape() {
            Shape::Struct(inner) => Some(inner),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(self) -> Option<&'a ListType> {
        match self.shape() {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map, if it is one.
    pub fn as_map(self) -> Option<&'a MapType> {
        match self.shape() {
            Shape::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A field by name, if it is a structure that has it.
    pub fn field(self, name: &str) -> Option<FieldRef<'a>> {
        let position = self.as_struct()?.position(name)?;
        self.field_at(position)
    }

    /// A field by position.
    pub fn field_at(self, position: usize) -> Option<FieldRef<'a>> {
        let field = self.as_struct()?.fields.get(position)?;
        Some(FieldRef { types: self.types, field, position })
    }

    /// The fields in order; none if it is no structure.
    pub fn fields(self) -> impl Iterator<Item = FieldRef<'a>> {
        let types = self.types;
        let fields = self.as_struct().map_or(&[][..], |inner| &inner.fields);
        fields.iter().enumerate().map(move |(position, field)| FieldRef { types, field, position })
    }

    /// The type of a list's items or a map's values.
    pub fn item(self) -> Option<TypeRef<'a>> {
        match self.shape() {
            Shape::List(list) => Some(self.types.get(list.item)),
            Shape::Map(map) => Some(self.types.get(map.value)),
            _ => None,
        }
    }

    /// The type of what a member or item of a value of this type is: a field's, a map's value's, or nothing known.
    pub fn member(self, name: &str) -> Option<TypeRef<'a>> {
        match self.shape() {
            Shape::Struct(_) => self.field(name).map(FieldRef::ty),
            Shape::Map(map) => Some(self.types.get(map.value)),
            _ => None,
        }
    }

    /// Whether unset differs from zero in Go although it is no pointer: lists, maps, bytes.
    pub fn is_collection(self) -> bool {
        matches!(self.shape(), Shape::List(_) | Shape::Map(_) | Shape::Bytes)
    }

    /// What canonical JSON shows where a value of this type is not set and cannot be left out.
    pub fn zero(self) -> Value {
        match self.shape() {
            Shape::Bool => Value::Bool(false),
            Shape::Int32 | Shape::Int64 | Shape::IntOrString | Shape::Float => Value::Int(0),
            Shape::String => Value::String(SmolStr::default()),
            Shape::Duration => Value::String(SmolStr::new_static("0s")),
            Shape::Quantity => Value::String(SmolStr::new_static("0")),
            Shape::Struct(inner) => {
                let zero = |position: &u16| {
                    let field = &inner.fields[*position as usize];
                    (field.name.clone(), field.zero(self.types))
                };
                Value::Object(Map::from_entries(inner.always.iter().map(zero)))
            }
            _ => Value::Null,
        }
    }

    /// The type as Go's errors write it.
    pub fn go_type(self) -> String {
        if !self.go_name.is_empty() {
            return self.go_name.to_string();
        }
        let star = |nullable: bool| if nullable { "*" } else { "" };
        match self.shape() {
            Shape::Bool => "bool".to_owned(),
            Shape::Int32 => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Float => "float64".to_owned(),
            Shape::String => "string".to_owned(),
            Shape::Bytes => "[]uint8".to_owned(),
            Shape::Time => "v1.Time".to_owned(),
            Shape::MicroTime => "v1.MicroTime".to_owned(),
            Shape::Duration => "v1.Duration".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::Any(Free::Raw) => "runtime.RawExtension".to_owned(),
            Shape::Any(Free::Json) => "v1.JSON".to_owned(),
            Shape::Any(Free::Fields) => "v1.FieldsV1".to_owned(),
            Shape::Any(Free::Interface) => "interface {}".to_owned(),
            Shape::Struct(_) => "struct {}".to_owned(),
            Shape::Map(map) => {
                format!("map[string]{}{}", star(map.nullable), self.types.get(map.value).go_type())
            }
            Shape::List(list) => format!("[]{}{}", star(list.nullable), self.types.get(list.item).go_type()),
            Shape::SchemaOr(Alternative::Schemas, _) => "v1.JSONSchemaPropsOrArray".to_owned(),
            Shape::SchemaOr(Alternative::Bool, _) => "v1.JSONSchemaPropsOrBool".to_owned(),
            Shape::SchemaOr(Alternative::Strings, _) => "v1.JSONSchemaPropsOrStringArray".to_owned(),
        }
    }
}

impl Deref for FieldRef<'_> {
    type Target = Field;

    fn deref(&self) -> &Field {
        self.field
    }
}

impl<'a> FieldRef<'a> {
    /// Its type.
    pub fn ty(self) -> TypeRef<'a> {
        self.types.get(self.field.type_id)
    }

    /// The field itself, for as long as its arena.
    pub fn get(self) -> &'a Field {
        self.field
    }

    /// Its position among the fields of its structure.
    pub fn position(self) -> usize {
        self.position
    }

    /// What the field is taken for where it is not set but needed, as a key of a list's items: the declared default,
    /// or the zero value where unset cannot be told from it.
    pub fn key_default(self) -> Option<Value> {
        let zero = || (!self.pointer && self.omission == Omission::Never).then(|| self.ty().zero());
        self.default.clone().or_else(zero)
    }
}

impl fmt::Debug for TypeRef<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TypeRef({})", self.go_type())
    }
}

impl fmt::Debug for FieldRef<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FieldRef({})", self.name)
    }
}
