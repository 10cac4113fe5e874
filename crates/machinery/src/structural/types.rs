//! From a structural schema to the types that codecs, patches and apply work on.

use std::sync::Arc;

use smol_str::SmolStr;

use super::{Additional, Kind, List, Structural, is_meta};
use crate::schema::{
    Field, Free, ListKind, ListType, MapType, Omission, Schema, Shape, Struct, Type, TypeId, TypeRef, Types,
};

/// Named members of one structure.
const FIELDS_MAX: usize = 60_000;

impl Structural {
    /// The type of whole objects with this schema; `metadata` is the type of their metadata.
    pub fn schema(&self, metadata: TypeRef<'_>) -> Schema {
        let mut types = Types::new();
        let metadata = types.import(metadata);
        let mut building = Building { types, metadata };
        let root = building.structure(self, true);
        let root = building.types.add_shape(root);
        Schema::new(Arc::new(building.types), root)
    }
}

struct Building {
    types: Types,
    metadata: TypeId,
}

impl Building {
    fn add(&mut self, schema: &Structural) -> TypeId {
        let shape = self.shape(schema);
        self.types.add(Type {
            name: SmolStr::default(),
            go_name: SmolStr::default(),
            shape,
            enumeration: Box::default(),
        })
    }

    fn anything(&mut self) -> TypeId {
        self.types.add_shape(Shape::Any(Free::Interface))
    }

    fn shape(&mut self, schema: &Structural) -> Shape {
        if schema.int_or_string {
            return Shape::IntOrString;
        }
        match schema.kind {
            Some(Kind::Boolean) => Shape::Bool,
            Some(Kind::Integer) => Shape::Int64,
            Some(Kind::Number) => Shape::Float,
            Some(Kind::String) => Shape::String,
            Some(Kind::Array) => Shape::List(self.list(schema)),
            Some(Kind::Object) => self.object(schema),
            None => Shape::Any(Free::Interface),
        }
    }

    fn object(&mut self, schema: &Structural) -> Shape {
        let value = match &schema.additional {
            Additional::Each(each) if schema.properties.is_empty() => self.add(each),
            Additional::Anything if schema.properties.is_empty() => self.anything(),
            _ => return self.structure(schema, schema.embedded),
        };
        Shape::Map(MapType { value, nullable: true, atomic: schema.atomic_map })
    }

    fn structure(&mut self, schema: &Structural, whole: bool) -> Shape {
        let mut fields = Vec::new();
        if whole {
            for name in ["kind", "apiVersion"] {
                let text = self.types.add_shape(Shape::String);
                fields.push(field(name, text));
            }
            fields.push(field("metadata", self.metadata));
        }
        // More than these no schema of an acceptable size has; the positions of fields are small numbers.
        let own = schema.properties.iter().filter(|(name, _)| !(whole && is_meta(name)));
        for (name, property) in own.take(FIELDS_MAX) {
            let type_id = self.add(property);
            fields.push(Field { default: property.default.clone(), ..field(name, type_id) });
        }
        let mut structure = Struct::new(fields);
        structure.open = schema.preserve;
        structure.atomic = schema.atomic_map;
        Shape::Struct(structure)
    }

    fn list(&mut self, schema: &Structural) -> ListType {
        let item = match schema.items.as_deref() {
            Some(items) => self.add(items),
            None => self.anything(),
        };
        let kind = match &schema.list {
            None => ListKind::Plain,
            Some(List::Atomic) => ListKind::Atomic,
            Some(List::Set) => ListKind::Set,
            Some(List::Map(keys)) => ListKind::Map(keys.clone()),
        };
        ListType { item, nullable: true, kind, wrapped: false }
    }
}

/// What stands in a custom resource stays, null or not.
fn field(name: &str, type_id: TypeId) -> Field {
    Field { omission: Omission::Absent, ..Field::new(name, type_id) }
}
