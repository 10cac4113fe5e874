//! Types of expressions, and how they are named in messages.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use super::declaration::ObjectType;

/// The type of an expression.
#[derive(Clone, Debug)]
pub enum Type {
    /// What has no type because something is wrong with it.
    Error,
    /// Known only when it is evaluated.
    Dyn,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A whole number.
    Int,
    /// A whole number without sign.
    Uint,
    /// A number with a fraction.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
    /// A list of items of one type.
    List(Arc<Type>),
    /// Values by keys.
    Map(Arc<(Type, Type)>),
    /// A value that may be missing.
    Optional(Arc<Type>),
    /// A type as a value.
    Type(Arc<Type>),
    /// A structure with fields.
    Object(Arc<ObjectType>),
    /// A value that only functions can look into, by its name.
    Opaque(&'static str),
    /// Stands for any type in the signature of a function.
    Parameter(SmolStr),
    /// Stands for a type that is still to be found.
    Variable(u32),
}

impl Type {
    /// A list of these.
    pub fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    /// A map of these.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// A value of this type that may be missing.
    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    /// Whether nothing is known about it.
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// As the messages of the type checker name it.
    pub(super) fn in_messages(&self) -> InMessages<'_> {
        InMessages(self)
    }

    /// The name that `type(…)` yields.
    pub(super) fn name(&self) -> &str {
        match self {
            Type::Error => "!error!",
            Type::Dyn => "dyn",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Optional(_) => "optional_type",
            Type::Type(_) => "type",
            Type::Object(object) => object.name(),
            Type::Opaque(name) => name,
            Type::Parameter(name) => name,
            Type::Variable(_) => "_var",
        }
    }
}

/// Two types are the same if they are built the same way; objects if they have the same name.
impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => a == b,
            (Type::Type(a), Type::Type(b)) => a == b,
            (Type::Map(a), Type::Map(b)) => a == b,
            (Type::Object(a), Type::Object(b)) => Arc::ptr_eq(a, b) || a.name() == b.name(),
            (Type::Opaque(a), Type::Opaque(b)) => a == b,
            (Type::Parameter(a), Type::Parameter(b)) => a == b,
            (Type::Variable(a), Type::Variable(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::List(item) => write!(out, "list({item})"),
            Type::Map(inner) => write!(out, "map({}, {})", inner.0, inner.1),
            Type::Optional(inner) => write!(out, "optional_type({inner})"),
            Type::Type(inner) => write!(out, "type({inner})"),
            Type::Variable(number) => write!(out, "_var{number}"),
            other => out.write_str(other.name()),
        }
    }
}

/// A type as the messages of the type checker name it.
pub(super) struct InMessages<'a>(&'a Type);

impl fmt::Display for InMessages<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Null => out.write_str("null"),
            Type::Timestamp => out.write_str("timestamp"),
            Type::Duration => out.write_str("duration"),
            Type::List(item) => write!(out, "list({})", item.in_messages()),
            Type::Map(inner) => write!(out, "map({}, {})", inner.0.in_messages(), inner.1.in_messages()),
            Type::Optional(inner) => write!(out, "optional_type({})", inner.in_messages()),
            Type::Type(inner) => write!(out, "type({})", inner.in_messages()),
            other => write!(out, "{other}"),
        }
    }
}

/// The types of arguments as messages show them: `(int, string)`, or `string.(int)` for a method.
pub(super) fn signature(arguments: &[Type], is_method: bool) -> String {
    let shown: Vec<String> = arguments.iter().map(|ty| ty.in_messages().to_string()).collect();
    match shown.split_first() {
        Some((target, rest)) if is_method => format!("{target}.({})", rest.join(", ")),
        _ => format!("({})", shown.join(", ")),
    }
}
