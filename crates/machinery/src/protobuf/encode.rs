//! Documents as messages, and their texts.

use super::source::Source;
use super::wire::{self, Reader, WireType};
use crate::Value;
use crate::json::tape::Tape;
use crate::json::{self, scalar};
use crate::schema::{Alternative, Content, Field, Free, Shape, Struct, TypeRef};
use crate::time::{Timestamp, parse_duration};

/// Appends a document of this type as a message. Members need not be in order.
pub fn encode(document: &Value, ty: TypeRef<'_>, out: &mut Vec<u8>) {
    if let Shape::Struct(inner) = ty.shape() {
        Encoder::new().structure(document, inner, ty, out);
    }
}

/// Appends the message of a document's JSON, which is never taken apart for it.
pub fn transcode(text: &[u8], ty: TypeRef<'_>, out: &mut Vec<u8>) -> Result<(), json::Error> {
    // What is no UTF-8 is replaced, as it is where documents are read.
    let text = json::scan::text(text);
    let tape = Tape::read(&text)?;
    if let Shape::Struct(inner) = ty.shape() {
        Encoder::new().structure(tape.root(), inner, ty, out);
    }
    Ok(())
}

/// Appends one member of a structure as it stands in the structure's message; nothing if there is no such member.
pub fn encode_member(name: &str, value: &Value, ty: TypeRef<'_>, out: &mut Vec<u8>) {
    if let Shape::Struct(inner) = ty.shape()
        && let Some(field) = inner.position(name).and_then(|position| inner.fields().get(position))
    {
        Encoder::new().value(field.number, value, ty.types().get(field.type_id), out);
    }
}

/// A message of an object whose metadata go on elsewhere: the object without its managed fields, and those.
#[derive(Clone, Copy, Debug)]
pub struct Spliced<'a> {
    /// What metadata begin with, without their length.
    begin: &'a [u8],
    /// The end of metadata: the managed fields.
    end: &'a [u8],
    /// What follows metadata.
    rest: &'a [u8],
}

impl<'a> Spliced<'a> {
    /// From a message of an object (metadata are the first member of all of them) and of managed fields, which are the
    /// last of metadata.
    pub fn new(object: &'a [u8], managed_fields: &'a [u8]) -> Result<Spliced<'a>, super::Error> {
        let mut reader = Reader::new(object);
        match reader.tag()? {
            Some((1, WireType::Bytes)) => {
                let begin = reader.bytes()?;
                Ok(Spliced { begin, end: managed_fields, rest: &object[reader.position()..] })
            }
            _ => {
                Err(super::Error { text: "the message of an object does not begin with metadata".to_owned() })
            }
        }
    }

    /// An object with nothing but metadata.
    pub fn of_metadata(metadata: &'a [u8], managed_fields: &'a [u8]) -> Spliced<'a> {
        Spliced { begin: metadata, end: managed_fields, rest: &[] }
    }

    /// The message of metadata without its managed fields.
    pub fn metadata(&self) -> &'a [u8] {
        self.begin
    }

    fn metadata_len(&self) -> usize {
        self.begin.len() + self.end.len()
    }

    /// The length of the message.
    pub fn length(&self) -> usize {
        item_len(self.metadata_len()) + self.rest.len()
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        wire::head(1, self.metadata_len(), out);
        out.extend_from_slice(self.begin);
        out.extend_from_slice(self.end);
        out.extend_from_slice(self.rest);
    }

    /// Appends the message as an item of a list.
    pub fn write_item(&self, out: &mut Vec<u8>) {
        wire::head(2, self.length(), out);
        self.write(out);
    }
}

/// Appends a list: its metadata and items that are messages already. All kinds of lists are alike in this.
pub fn encode_list<'m>(metadata: &[u8], items: impl IntoIterator<Item = &'m [u8]>, out: &mut Vec<u8>) {
    wire::bytes(1, metadata, out);
    for item in items {
        wire::bytes(2, item, out);
    }
}

/// The length of a message of `length` bytes as an item of a list (or another member with a small number).
pub fn item_len(length: usize) -> usize {
    wire::head_len(length) + length
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

struct Encoder<S> {
    /// The members of the structures that are being written, by position of their field, innermost last.
    members: Vec<Option<S>>,
}

impl<'v, S: Source<'v>> Encoder<S> {
    fn new() -> Encoder<S> {
        Encoder { members: Vec::new() }
    }

    fn structure(&mut self, document: S, inner: &Struct, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        let base = self.members.len();
        self.members.resize(base + inner.fields().len(), None);
        let mut expected = 0;
        for (name, value) in document.members() {
            if let Some(position) = inner.position_from(&name, expected) {
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

    fn field(&mut self, field: &Field, value: Option<S>, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        match value {
            Some(value) => self.value(field.number, value, ty, out),
            // What cannot be unset in Go is always written.
            None if field.pointer || ty.is_collection() => {}
            None => self.value(field.number, S::NULL, ty, out),
        }
    }

    /// A value under a number; `Null` writes what Go writes for zero.
    fn value(&mut self, number: u32, value: S, ty: TypeRef<'_>, out: &mut Vec<u8>) {
        match ty.shape() {
            Shape::Bool => wire::int(number, i64::from(value.is_true()), out),
            Shape::Int32 | Shape::Int64 => wire::int(number, value.int().unwrap_or(0), out),
            Shape::Float => wire::fixed64(number, value.float().to_bits(), out),
            Shape::String => wire::bytes(number, value.text().unwrap_or_default().as_bytes(), out),
            Shape::Bytes => {
                let bytes = scalar::base64_bytes(&value.text().unwrap_or_default()).unwrap_or_default();
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
            Shape::Map(map) => self.map(number, value, ty.types().get(map.value), out),
            Shape::SchemaOr(alternative, schema) => {
                let schema = ty.types().get(*schema);
                wire::message(number, out, |out| self.schema_or(*alternative, value, schema, out));
            }
            scalar => special(number, value, scalar, out),
        }
    }

    /// The entries of a map, in the order of their names.
    fn map(&mut self, number: u32, value: S, value_type: TypeRef<'_>, out: &mut Vec<u8>) {
        let mut entry = |name: &str, member: S| {
            wire::message(number, out, |out| {
                wire::bytes(1, name.as_bytes(), out);
                self.value(2, member, value_type, out);
            });
        };
        if value.members().is_sorted_by(|(a, _), (b, _)| a <= b) {
            value.members().for_each(|(name, member)| entry(&name, member));
        } else {
            let mut members: Vec<_> = value.members().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.iter().for_each(|(name, member)| entry(name, *member));
        }
    }

    fn schema_or(&mut self, alternative: Alternative, value: S, schema: TypeRef<'_>, out: &mut Vec<u8>) {
        if alternative == Alternative::Bool {
            wire::int(1, i64::from(value.is_object() || value.is_true()), out);
            if value.is_object() {
                self.value(2, value, schema, out);
            }
        } else if value.is_object() {
            self.value(1, value, schema, out);
        } else {
            for item in value.items() {
                match alternative {
                    Alternative::Strings => wire::bytes(2, item.text().unwrap_or_default().as_bytes(), out),
                    _ => self.value(2, item, schema, out),
                }
            }
        }
    }
}

/// Values that are scalars in JSON and messages in protobuf.
fn special<'v>(number: u32, value: impl Source<'v>, shape: &Shape, out: &mut Vec<u8>) {
    wire::message(number, out, |out| match shape {
        Shape::Time | Shape::MicroTime => {
            let Some(time) = value.text().and_then(|text| Timestamp::parse(&text)) else { return };
            let nanos = if matches!(shape, Shape::Time) { 0 } else { time.nanos / 1000 * 1000 };
            wire::int(1, time.secs, out);
            wire::int(2, i64::from(nanos), out);
        }
        Shape::Duration => {
            wire::int(1, value.text().and_then(|text| parse_duration(&text)).unwrap_or(0), out);
        }
        Shape::Quantity => wire::bytes(1, value.text().as_deref().unwrap_or("0").as_bytes(), out),
        Shape::IntOrString => {
            let text = value.text();
            wire::int(1, i64::from(text.is_some()), out);
            wire::int(2, value.int().unwrap_or(0), out);
            wire::bytes(3, text.unwrap_or_default().as_bytes(), out);
        }
        Shape::Any(Free::Raw | Free::Json | Free::Fields) if !value.is_null() => {
            wire::bytes(1, &value.json(), out);
        }
        _ => {}
    });
}
