//! Values: what expressions work on. Documents stay where they are; a part of one becomes a value when it is looked at.

mod compare;
mod containers;
mod convert;

use std::net::IpAddr;
use std::sync::Arc;

use smol_str::SmolStr;

pub use self::containers::{Entries, Key, List, Map, Struct};
use super::authorizer::Check;
use super::declaration::{Declaration, Form};
use super::failure::{Failure, Outcome};
use super::library::{cidr::Cidr, format::Format, semver::Version, url::Url};
use super::types::Type;
use crate::Value;
use crate::quantity::Quantity;
use crate::time::Timestamp;

/// A value.
#[derive(Clone, Debug)]
pub enum Val<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without sign.
    Uint(u64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    String(SmolStr),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A point in time.
    Timestamp(Timestamp),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// Values by keys.
    Map(Map<'a>),
    /// An object with the fields that it was made with.
    Struct(Arc<Struct<'a>>),
    /// A value that may be missing.
    Optional(Option<Arc<Val<'a>>>),
    /// A type.
    Type(Type),
    /// What only functions look into.
    Opaque(Opaque),
}

/// A value that only functions look into.
#[derive(Clone, Debug)]
pub enum Opaque {
    /// An amount.
    Quantity(Quantity),
    /// An address of the web.
    Url(Arc<Url>),
    /// An IP address.
    Ip(IpAddr),
    /// A range of IP addresses.
    Cidr(Cidr),
    /// A format by name.
    Format(&'static Format),
    /// A semantic version.
    Version(Arc<Version>),
    /// A question to the authorizer, or its answer.
    Authorizer(Arc<Check>),
}

impl Opaque {
    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Opaque::Quantity(_) => "kubernetes.Quantity",
            Opaque::Url(_) => "kubernetes.URL",
            Opaque::Ip(_) => "net.IP",
            Opaque::Cidr(_) => "net.CIDR",
            Opaque::Format(_) => "kubernetes.NamedFormat",
            Opaque::Version(_) => "kubernetes.Semver",
            Opaque::Authorizer(check) => check.type_name(),
        }
    }
}

impl<'a> Val<'a> {
    /// Text.
    pub fn string(text: impl AsRef<str>) -> Val<'a> {
        Val::String(SmolStr::new(text))
    }

    /// Bytes.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Val<'a> {
        Val::Bytes(Arc::from(bytes.as_ref()))
    }

    /// A list of values.
    pub fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(List::Items(Arc::new(items)))
    }

    /// A value that is there.
    pub(super) fn some(value: Val<'a>) -> Val<'a> {
        Val::Optional(Some(Arc::new(value)))
    }

    /// A part of a document.
    pub fn of(document: &'a Value, declaration: &Declaration) -> Outcome<'a> {
        match (&declaration.form, document) {
            (Form::Scalar(ty), document) => scalar(document, ty),
            (_, Value::Null) => Ok(Val::Null),
            (Form::List(..), Value::Array(items)) => {
                Ok(Val::List(List::Document(items, Arc::new(declaration.clone()))))
            }
            (Form::Map(_) | Form::Object(_), Value::Object(members)) => {
                Ok(Val::Map(Map::Document(members, Arc::new(declaration.clone()))))
            }
            // The document is not as it was declared: it is taken as it is.
            (_, document) => scalar(document, &Type::Dyn),
        }
    }

    /// A part of a document of which nothing is declared.
    pub fn dynamic(document: &'a Value) -> Val<'a> {
        scalar(document, &Type::Dyn).unwrap_or(Val::Null)
    }

    /// Its type, as far as it shows.
    pub fn ty(&self) -> Type {
        match self {
            Val::Null => Type::Null,
            Val::Bool(_) => Type::Bool,
            Val::Int(_) => Type::Int,
            Val::Uint(_) => Type::Uint,
            Val::Double(_) => Type::Double,
            Val::String(_) => Type::String,
            Val::Bytes(_) => Type::Bytes,
            Val::Timestamp(_) => Type::Timestamp,
            Val::Duration(_) => Type::Duration,
            Val::List(_) => Type::list(Type::Dyn),
            Val::Map(map) => map.ty(),
            Val::Struct(inner) => Type::Object(inner.ty.clone()),
            Val::Optional(_) => Type::optional(Type::Dyn),
            Val::Type(ty) => Type::Type(Arc::new(ty.clone())),
            Val::Opaque(opaque) => Type::Opaque(opaque.type_name()),
        }
    }

    /// How large it is for the estimate of costs: letters, bytes, items, entries; anything else is 1.
    pub(super) fn size(&self) -> u64 {
        let size = match self {
            Val::String(text) => text.chars().count(),
            Val::Bytes(bytes) => bytes.len(),
            Val::List(list) => list.len(),
            Val::Map(map) => map.len(),
            Val::Opaque(Opaque::Ip(IpAddr::V4(_))) => 4,
            Val::Opaque(Opaque::Ip(IpAddr::V6(_))) => 16,
            Val::Opaque(Opaque::Cidr(cidr)) => cidr.size(),
            _ => 1,
        };
        size as u64
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Val::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        matches!(self, Val::Bool(true))
    }
}

fn scalar<'a>(document: &'a Value, ty: &Type) -> Outcome<'a> {
    Ok(match (document, ty) {
        (Value::Null, _) => Val::Null,
        (Value::Bool(value), _) => Val::Bool(*value),
        (Value::Int(value), Type::Double) => Val::Double(*value as f64),
        (Value::Int(value), Type::Uint) => {
            Val::Uint(u64::try_from(*value).map_err(|_| Failure::new("unsigned integer overflow"))?)
        }
        (Value::Int(value), _) => Val::Int(*value),
        (Value::Float(value), _) => Val::Double(*value),
        (Value::String(text), Type::Timestamp) => Val::Timestamp(timestamp(text)?),
        (Value::String(text), Type::Duration) => {
            let nanos = crate::time::parse_duration(text);
            Val::Duration(nanos.ok_or_else(|| invalid("duration", text))?)
        }
        (Value::String(text), Type::Bytes) => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
            Val::bytes(bytes.map_err(|_| invalid("byte", text))?)
        }
        (Value::String(text), _) => Val::String(text.clone()),
        (Value::Array(items), _) => Val::List(List::Document(items, Arc::new(Declaration::dynamic()))),
        (Value::Object(members), _) => Val::Map(Map::Document(members, Arc::new(Declaration::dynamic()))),
    })
}

/// A point in time, or a day, as formats `date-time` and `date` write it.
fn timestamp(text: &str) -> Result<Timestamp, Failure> {
    let parsed = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")));
    parsed.ok_or_else(|| invalid("date-time", text))
}

fn invalid(format: &str, text: &str) -> Failure {
    Failure::new(format!("invalid data, expected format {format}, got {text}"))
}
