//! Documents as messages.

use super::wire;
use crate::Value;
use crate::json::{self, scalar};
use crate::schema::{Alternative, Content, Field, Free, Shape, Struct, TypeRef};
use crate::time::{Timestamp, parse_duration};

/// Appends a document of this type as a message. Members need not be in order.
pub fn encode(document: &Value, ty: TypeRef<'_>, out: &mut Vec<u8>) {
    if let Shape::Struct(inner) = ty.shape() {
        Encoder::default().structure(document, inner, ty, out);
    }
}

/// Appends a list: its metadata and items that are messages already. All kinds of lists are alike in this.
pub fn encode_list<'m>(metadata: &[u8], items: impl IntoIterator<Item = &'m [u8]>, out: &mut Vec<u8>) {
    wire::bytes(1, metadata, out);
    for item in items {
        wire::bytes(2, item, out);
    }
}

/// Appends one item of a list, for lists that are sent piece by piece after their metadata.
pub fn encode_item(item: &[u8], out: &mut Vec<u8>) {
    wire::bytes(2, item, out);
}

/// The length of what [`encode_item`] appends for an item of `length` bytes.
pub fn item_len(length: usize) -> usize {
    let mut head = Vec::new();
    wire::head(2, length, &mut head);
    head.len() + length
}

/// Appends the frame of a watch: its length and an event about an object, which is a body in its envelope.
pub fn encode_event(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    wire::bytes(1, kind.as_bytes(), out);
    wire::message(2, out, |out| wire::bytes(1, object, out));
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

#[derive(Default)]
struct Encoder<'v> {
    /// The members of the structures that are being written, by position of their field, innermost last.
    members: Vec<Option<&'v Value>>,
}

impl<'v> Encoder<'v> {
    fn structure(&mut self, document: &'v Value, inner: &Struct, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        let base = self.members.len();
        self.members.resize(base + inner.fields().len(), None);
        let mut expected = 0;
        for (name, value) in document.members() {
            let found = match inner.fields().get(expected) {
                Some(field) if field.name == *name => Some(expected),
                _ => inner.position(name),
            };
            if let Some(position) = found {
                expected = position + 1;
                self.members[base + position] = (!value.is_null()).then_some(value);
            }
        }
        self.message(0, base, (inner, ty), out);
        self.members.truncate(base);
    }

    /// A message of the structure's fields: the structure itself or one of its inlines.
    fn message(&mut self, message: u16, base: usize, (inner, ty): (&Struct, TypeRef<'_>), out: &mut Vec<u8>) {
        for slot in inner.message(message) {
            match slot.content {
                Content::Inline(nested) => {
                    wire::message(slot.number, out, |out| self.message(nested, base, (inner, ty), out));
                }
                Content::Field(position) => {
                    let field = &inner.fields()[usize::from(position)];
                    let value = self.members[base + usize::from(position)];
                    self.field(field, value, ty.types().get(field.type_id), out);
                }
            }
        }
    }

    fn field(&mut self, field: &Field, value: Option<&'v Value>, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        match value {
            Some(value) => self.value(field.number, value, ty, out),
            // What cannot be unset in Go is always written.
            None if field.pointer || ty.is_collection() => {}
            None => self.value(field.number, &Value::Null, ty, out),
        }
    }

    /// A value under a number; `Null` writes what Go writes for zero.
    fn value<'n: 'v>(&mut self, number: u32, value: &'n Value, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        match ty.shape() {
            Shape::Bool => wire::int(number, i64::from(value.is_true()), out),
            Shape::Int32 | Shape::Int64 => wire::int(number, value.as_int().unwrap_or(0), out),
            Shape::Float => {
                let float = match value {
                    Value::Float(float) => *float,
                    other => other.as_int().unwrap_or(0) as f64,
                };
                wire::fixed64(number, float.to_bits(), out);
            }
            Shape::String => wire::bytes(number, value.str_or_empty().as_bytes(), out),
            Shape::Bytes => {
                let bytes = scalar::base64_bytes(value.str_or_empty()).unwrap_or_default();
                wire::bytes(number, &bytes, out);
            }
            Shape::Struct(inner) => {
                wire::message(number, out, |out| self.structure(value, inner, ty, out));
            }
            Shape::List(list) => {
                let item_type = ty.types().get(list.item);
                if list.wrapped {
                    wire::message(number, out, |out| {
                        for item in value.items() {
                            self.value(1, item, item_type, out);
                        }
                    });
                } else {
                    for item in value.items() {
                        self.value(number, item, item_type, out);
                    }
                }
            }
            Shape::Map(map) => {
                let value_type = ty.types().get(map.value);
                let mut members: Vec<_> = value.members().collect();
                members.sort_by_key(|(name, _)| *name);
                for (name, member) in members {
                    wire::message(number, out, |out| {
                        wire::bytes(1, name.as_bytes(), out);
                        self.value(2, member, value_type, out);
                    });
                }
            }
            Shape::SchemaOr(alternative, schema) => {
                let schema = ty.types().get(*schema);
                wire::message(number, out, |out| self.schema_or(*alternative, value, schema, out));
            }
            scalar => special(number, value, scalar, out),
        }
    }

    fn schema_or<'n: 'v>(
        &mut self,
        alternative: Alternative,
        value: &'n Value,
        schema: TypeRef<'_>,
        out: &mut Vec<u8>,
    ) {
        let is_schema = matches!(value, Value::Object(_));
        if alternative == Alternative::Bool {
            wire::int(1, i64::from(is_schema || value.is_true()), out);
            if is_schema {
                self.value(2, value, schema, out);
            }
        } else if is_schema {
            self.value(1, value, schema, out);
        } else {
            for item in value.items() {
                match alternative {
                    Alternative::Strings => wire::bytes(2, item.str_or_empty().as_bytes(), out),
                    _ => self.value(2, item, schema, out),
                }
            }
        }
    }
}

/// Values that are scalars in JSON and messages in protobuf.
fn special(number: u32, value: &Value, shape: &Shape, out: &mut Vec<u8>) {
    wire::message(number, out, |out| match shape {
        Shape::Time | Shape::MicroTime => {
            let Some(time) = value.as_str().and_then(Timestamp::parse) else { return };
            let nanos = if matches!(shape, Shape::Time) { 0 } else { time.nanos / 1000 * 1000 };
            wire::int(1, time.secs, out);
            wire::int(2, i64::from(nanos), out);
        }
        Shape::Duration => wire::int(1, value.as_str().and_then(parse_duration).unwrap_or(0), out),
        Shape::Quantity => wire::bytes(1, value.as_str().unwrap_or("0").as_bytes(), out),
        Shape::IntOrString => {
            wire::int(1, i64::from(value.as_str().is_some()), out);
            wire::int(2, value.as_int().unwrap_or(0), out);
            wire::bytes(3, value.str_or_empty().as_bytes(), out);
        }
        Shape::Any(Free::Raw | Free::Json | Free::Fields) if !value.is_null() => {
            wire::bytes(1, &json::to_vec(value), out);
        }
        _ => {}
    });
}
