//! What variables are declared to be: the types of documents, with what the checker, the estimate of costs and the
//! evaluation each need to know about them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use smol_str::SmolStr;

use super::types::Type;
use crate::schema::{Shape, TypeId, TypeRef};

/// The type of a document or of a part of one.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub(super) form: Form,
    /// How many items, entries or letters there can be; `None` if nobody knows.
    pub(super) max: Option<u64>,
}

/// How a document looks.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Anything that is no list, map or object.
    Scalar(Type),
    List(Arc<Declaration>, Sameness),
    Map(Arc<Declaration>),
    Object(Arc<ObjectType>),
}

/// When two lists of a document are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// The same items in the same order.
    Ordered,
    /// The same items.
    Set,
    /// The same items, told apart by these members.
    Keyed(Vec<SmolStr>),
}

/// A structure with named fields.
#[derive(Debug)]
pub struct ObjectType {
    name: SmolStr,
    /// By the name that expressions use.
    fields: BTreeMap<SmolStr, ObjectField>,
    /// Any field is there, and can be anything.
    is_open: bool,
}

/// A field of a structure.
#[derive(Clone, Debug)]
pub(super) struct ObjectField {
    /// As documents name it.
    pub name: SmolStr,
    pub declaration: Declaration,
}

static DYNAMIC: LazyLock<Arc<Declaration>> = LazyLock::new(|| Arc::new(Declaration::of(Type::Dyn)));

impl Declaration {
    /// A value of this type that is no list, map or object of a document.
    pub fn of(ty: Type) -> Declaration {
        Declaration { form: Form::Scalar(ty), max: None }
    }

    /// Anything.
    pub fn dynamic() -> Declaration {
        Declaration::of(Type::Dyn)
    }

    /// A list.
    pub fn list(item: Declaration, sameness: Sameness) -> Declaration {
        Declaration { form: Form::List(Arc::new(item), sameness), max: None }
    }

    /// Values by name.
    pub fn map(value: Declaration) -> Declaration {
        Declaration { form: Form::Map(Arc::new(value)), max: None }
    }

    /// A structure with these fields, which expressions select by the names that documents use, whatever they are.
    pub fn plain_object(name: impl Into<SmolStr>, fields: Vec<(SmolStr, Declaration)>) -> Declaration {
        let fields =
            fields.into_iter().map(|(name, declaration)| (name.clone(), ObjectField { name, declaration }));
        let object = ObjectType { name: name.into(), fields: fields.collect(), is_open: false };
        Declaration { form: Form::Object(Arc::new(object)), max: None }
    }

    /// A structure with these fields, under the names that documents use. Expressions select them by escaped names.
    pub fn object(name: impl Into<SmolStr>, fields: Vec<(SmolStr, Declaration)>) -> Declaration {
        let fields = fields.into_iter().map(|(name, declaration)| {
            let escaped = escape(&name).unwrap_or_else(|| name.clone());
            (escaped, ObjectField { name, declaration })
        });
        let object = ObjectType { name: name.into(), fields: fields.collect(), is_open: false };
        Declaration { form: Form::Object(Arc::new(object)), max: None }
    }

    /// The same, with so many items, entries or letters at most.
    pub fn at_most(self, max: u64) -> Declaration {
        Declaration { max: Some(max), ..self }
    }

    /// What a schema says. What contains itself is dynamic inside.
    pub fn from_schema(schema: TypeRef<'_>) -> Declaration {
        from_schema(schema, &mut Vec::new())
    }

    /// The type that the checker knows it by.
    pub fn ty(&self) -> Type {
        match &self.form {
            Form::Scalar(ty) => ty.clone(),
            Form::List(item, _) => Type::list(item.ty()),
            Form::Map(value) => Type::map(Type::String, value.ty()),
            Form::Object(object) => Type::Object(object.clone()),
        }
    }

    /// What the items of a list, or the values of a map, are.
    pub(super) fn element(&self) -> &Arc<Declaration> {
        match &self.form {
            Form::List(item, _) => item,
            Form::Map(value) => value,
            _ => &DYNAMIC,
        }
    }
}

impl ObjectType {
    /// A structure that has any field.
    pub(super) fn open(name: &str) -> ObjectType {
        ObjectType { name: SmolStr::new(name), fields: BTreeMap::new(), is_open: true }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of a field, by the name that expressions use.
    pub(super) fn field_type(&self, name: &str) -> Option<Type> {
        match self.fields.get(name) {
            Some(field) => Some(field.declaration.ty()),
            None => self.is_open.then_some(Type::Dyn),
        }
    }

    /// A field, by the name that expressions use.
    pub(super) fn field(&self, name: &str) -> Option<&ObjectField> {
        self.fields.get(name)
    }

    /// A field, by the name that documents use.
    pub(super) fn field_named(&self, name: &str) -> Option<&ObjectField> {
        self.fields.get(name).filter(|field| field.name == name).or_else(|| {
            let escaped = escape(name)?;
            self.fields.get(&escaped)
        })
    }
}

/// Words that cannot be selected as they are.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name under which an expression selects a field; `None` if it cannot be selected.
pub fn escape(name: &str) -> Option<SmolStr> {
    if RESERVED.contains(&name) {
        return Some(SmolStr::from(format!("__{name}__")));
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.chars().all(is_plain) && !name.contains("__") {
        return Some(SmolStr::new(name));
    }
    let mut escaped = String::with_capacity(name.len() + 8);
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            escaped.push_str("__underscores__");
            rest = after;
            continue;
        }
        match letter {
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            letter if is_plain(letter) => escaped.push(letter),
            _ => return None,
        }
        rest = &rest[letter.len_utf8()..];
    }
    Some(SmolStr::from(escaped))
}

fn from_schema(schema: TypeRef<'_>, open: &mut Vec<TypeId>) -> Declaration {
    if open.contains(&schema.id()) {
        return Declaration::dynamic();
    }
    open.push(schema.id());
    let declaration = match schema.shape() {
        Shape::Bool => Declaration::of(Type::Bool),
        Shape::Int32 | Shape::Int64 => Declaration::of(Type::Int),
        Shape::Float => Declaration::of(Type::Double),
        Shape::String | Shape::Duration => Declaration::of(Type::String),
        Shape::Bytes => Declaration::of(Type::Bytes),
        Shape::Time | Shape::MicroTime => Declaration::of(Type::Timestamp),
        Shape::Quantity | Shape::IntOrString | Shape::Any(_) | Shape::SchemaOr(..) => Declaration::dynamic(),
        Shape::List(_) => {
            let item = schema.item().map_or_else(Declaration::dynamic, |item| from_schema(item, open));
            Declaration::list(item, Sameness::Ordered)
        }
        Shape::Map(_) => {
            let value = schema.member("").map_or_else(Declaration::dynamic, |value| from_schema(value, open));
            Declaration::map(value)
        }
        Shape::Struct(_) => {
            let fields = schema.fields();
            let fields =
                fields.map(|field| (SmolStr::from(&field.get().name), from_schema(field.ty(), open)));
            let fields = fields.collect();
            Declaration::object(schema.full_name(), fields)
        }
    };
    open.pop();
    declaration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_so_that_they_can_be_selected() {
        for (name, expected) in [
            ("plain", Some("plain")),
            ("_x1", Some("_x1")),
            ("namespace", Some("__namespace__")),
            ("int", Some("int")),
            ("a.b", Some("a__dot__b")),
            ("a-b/c", Some("a__dash__b__slash__c")),
            ("a__b", Some("a__underscores__b")),
            ("x___", Some("x__underscores___")),
            ("1a", None),
            ("a b", None),
            ("é", None),
        ] {
            assert_eq!(escape(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_a_schema_says_is_declared() {
        use crate::schema::{Field, ListKind, ListType, MapType, Struct, Types};
        let mut types = Types::new();
        let text = types.add_shape(Shape::String);
        let map = types.add_shape(Shape::Map(MapType { value: text, nullable: false, atomic: false }));
        let time = types.add_shape(Shape::Time);
        let node = types.add_shape(Shape::Bool);
        let list = ListType { item: node, nullable: false, kind: ListKind::Plain, wrapped: false };
        let list = types.add_shape(Shape::List(list));
        let fields = vec![Field::new("labels", map), Field::new("time", time), Field::new("inner", list)];
        types.define(node, Shape::Struct(Struct::new(fields)), Box::default());
        let Type::Object(object) = Declaration::from_schema(types.get(node)).ty() else { panic!() };
        for (field, expected) in
            [("labels", "map(string, string)"), ("time", "google.protobuf.Timestamp"), ("inner", "list(dyn)")]
        {
            assert_eq!(object.field_type(field).unwrap().to_string(), expected);
        }
        assert!(object.field_type("other").is_none());
    }
}
