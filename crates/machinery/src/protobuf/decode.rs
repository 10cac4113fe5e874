//! Messages as documents.

use std::borrow::Cow;

use super::Error;
use super::wire::{Reader, WireType, error};
use crate::Value;
use crate::json::canonical::keeps;
use crate::json::{self, MAX_DEPTH, TypeMeta, scalar};
use crate::schema::{Alternative, Content, Free, ListType, Omission, Shape, Slot, Struct, TypeRef};
use crate::time::{Timestamp, format_duration};
use crate::value::{Map, Name, Names};

/// Reads a message of this type into canonical form. `meta` is what the envelope says it is.
pub fn decode(message: &[u8], meta: &TypeMeta, ty: TypeRef<'_>) -> Result<Value, Error> {
    let Shape::Struct(inner) = ty.shape() else {
        return Err(error(format!("{} is no message", ty.go_type())));
    };
    let mut decoder = Decoder { members: Vec::with_capacity(64), names: Names::default() };
    for (name, text) in [("kind", &meta.kind), ("apiVersion", &meta.api_version)] {
        match inner.position(name) {
            Some(position) if inner.fields()[position].number == 0 && !text.is_empty() => {
                decoder.members.push((position as u16, Value::String(text.clone())));
            }
            _ => {}
        }
    }
    decoder.message(message, 0, (inner, ty, 0), 0)?;
    Ok(decoder.finish(inner, ty, 0))
}

struct Decoder {
    /// The members of the structures that are being read, with the positions of their fields; those of the innermost
    /// last. Each structure takes its own off the end.
    members: Vec<(u16, Value)>,
    /// Names of the entries of maps.
    names: Names,
}

impl Decoder {
    fn structure(&mut self, message: &[u8], ty: TypeRef<'_>, depth: usize) -> Result<Value, Error> {
        let Shape::Struct(inner) = ty.shape() else { return Ok(Value::Null) };
        if depth > MAX_DEPTH {
            return Err(error("exceeded max depth".to_owned()));
        }
        let base = self.members.len();
        self.message(message, 0, (inner, ty, base), depth)?;
        Ok(self.finish(inner, ty, base))
    }

    /// Takes the members of a structure off the stack, as canonical JSON shows them.
    fn finish(&mut self, inner: &Struct, ty: TypeRef<'_>, base: usize) -> Value {
        for position in inner.always() {
            let zero = || inner.fields()[usize::from(*position)].zero(ty.types());
            match self.members[base..].iter_mut().find(|(other, _)| other == position) {
                Some((_, value)) if value.is_null() => *value = zero(),
                Some(_) => {}
                None => self.members.push((*position, zero())),
            }
        }
        // Numbers mostly, but not always, go up as fields do in JSON.
        if !self.members[base..].is_sorted_by(|(a, _), (b, _)| a < b) {
            self.members[base..].sort_unstable_by_key(|(position, _)| *position);
        }
        let mut entries = Vec::with_capacity(self.members.len() - base);
        for (position, mut value) in self.members.drain(base..) {
            let field = &inner.fields()[usize::from(position)];
            if let (Shape::Map(_), Value::Object(map)) = (ty.types().get(field.type_id).shape(), &mut value) {
                settle(map);
            }
            if keeps(field, &value) || field.omission == Omission::Never {
                entries.push((field.name.clone(), value));
            }
        }
        Value::Object(Map::from_entries(entries))
    }

    /// A message of a structure's fields: the structure itself or one of its inlines.
    fn message(
        &mut self,
        message: &[u8],
        part: u16,
        (inner, ty, base): (&Struct, TypeRef<'_>, usize),
        depth: usize,
    ) -> Result<(), Error> {
        let mut reader = Reader::new(message);
        let slots = inner.message(part);
        let mut expected = 0;
        while let Some((number, wire_type)) = reader.tag()? {
            match find(slots, number, &mut expected) {
                Some(Content::Field(position)) => {
                    let field_type = ty.types().get(inner.fields()[usize::from(position)].type_id);
                    let mut member = self.take(base, position);
                    self.add(&mut member, &mut reader, wire_type, (field_type, depth + 1))?;
                    self.members.push((position, member));
                }
                Some(Content::Inline(nested)) if wire_type == WireType::Bytes => {
                    let message = reader.bytes()?;
                    self.message(message, nested, (inner, ty, base), depth)?;
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(())
    }

    /// Takes off the stack what was read for a field already: items and entries that go on, or what comes twice.
    fn take(&mut self, base: usize, position: u16) -> Value {
        match self.members[base..].last() {
            Some((last, _)) if *last == position => {
                self.members.pop().map_or(Value::Null, |(_, value)| value)
            }
            _ => match self.members[base..].iter().position(|(other, _)| *other == position) {
                Some(at) => self.members.remove(base + at).1,
                None => Value::Null,
            },
        }
    }

    /// Reads what stands under a field's number: its value, or one item or entry more.
    fn add(
        &mut self,
        member: &mut Value,
        reader: &mut Reader<'_>,
        wire_type: WireType,
        (ty, depth): (TypeRef<'_>, usize),
    ) -> Result<(), Error> {
        match ty.shape() {
            Shape::List(list) => self.add_items(member, reader, wire_type, (list, ty, depth)),
            Shape::Map(map) if wire_type == WireType::Bytes => {
                let value_type = ty.types().get(map.value);
                let (name, mut value) = self.entry(reader.bytes()?, value_type, depth)?;
                if value.is_null() && !map.nullable {
                    value = value_type.zero();
                }
                // Duplicates are sorted out when all entries are there.
                member.make_object().push(name, value);
                Ok(())
            }
            _ => {
                *member = self.value(reader, wire_type, ty, depth)?;
                Ok(())
            }
        }
    }

    fn add_items(
        &mut self,
        member: &mut Value,
        reader: &mut Reader<'_>,
        wire_type: WireType,
        (list, ty, depth): (&ListType, TypeRef<'_>, usize),
    ) -> Result<(), Error> {
        let item_type = ty.types().get(list.item);
        if list.wrapped && wire_type == WireType::Bytes {
            let mut inner = Reader::new(reader.bytes()?);
            while let Some((number, wire_type)) = inner.tag()? {
                if number == 1 {
                    // Without an item the list stays unset, as in every other list.
                    let item = self.value(&mut inner, wire_type, item_type, depth)?;
                    member.make_array().push(item);
                } else {
                    inner.skip(wire_type)?;
                }
            }
            return Ok(());
        }
        let packed = match item_type.shape() {
            Shape::Bool | Shape::Int32 | Shape::Int64 => Some(WireType::Varint),
            Shape::Float => Some(WireType::Fixed64),
            _ => None,
        };
        if let (Some(packed), WireType::Bytes) = (packed, wire_type) {
            let mut inner = Reader::new(reader.bytes()?);
            while !inner.is_at_end() {
                let item = self.value(&mut inner, packed, item_type, depth)?;
                member.make_array().push(item);
            }
            return Ok(());
        }
        let item = self.value(reader, wire_type, item_type, depth)?;
        let item = if item.is_null() && !list.nullable { item_type.zero() } else { item };
        member.make_array().push(item);
        Ok(())
    }

    fn entry(&mut self, message: &[u8], ty: TypeRef<'_>, depth: usize) -> Result<(Name, Value), Error> {
        // Bytes that an entry does not hold are empty, not unset.
        let unset = if matches!(ty.shape(), Shape::Bytes) { Value::from("") } else { Value::Null };
        let (mut name, mut value) = (Cow::default(), unset);
        let mut reader = Reader::new(message);
        while let Some((number, wire_type)) = reader.tag()? {
            match number {
                1 if wire_type == WireType::Bytes => name = reader.text()?,
                2 => self.add(&mut value, &mut reader, wire_type, (ty, depth))?,
                _ => reader.skip(wire_type)?,
            }
        }
        Ok((self.names.get(name), value))
    }

    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        wire_type: WireType,
        ty: TypeRef<'_>,
        depth: usize,
    ) -> Result<Value, Error> {
        let expected = match ty.shape() {
            Shape::Bool | Shape::Int32 | Shape::Int64 => WireType::Varint,
            Shape::Float => WireType::Fixed64,
            _ => WireType::Bytes,
        };
        if wire_type != expected {
            return Err(error(format!("proto: wrong wireType for a field of type {}", ty.go_type())));
        }
        Ok(match ty.shape() {
            Shape::Bool => Value::Bool(reader.varint()? != 0),
            Shape::Int32 => Value::Int(i64::from(reader.varint()? as i32)),
            Shape::Int64 => Value::Int(reader.varint()? as i64),
            Shape::Float => json::number(f64::from_bits(reader.fixed64()?)),
            Shape::String => Value::String(reader.text()?.into()),
            Shape::Bytes => Value::from(scalar::base64_text(reader.bytes()?)),
            Shape::Struct(_) => self.structure(reader.bytes()?, ty, depth)?,
            Shape::SchemaOr(alternative, schema) => {
                self.schema_or(*alternative, reader.bytes()?, ty.types().get(*schema), depth)?
            }
            // Lists and maps come by their items and entries, never in each other but wrapped.
            Shape::List(_) | Shape::Map(_) => {
                reader.skip(wire_type)?;
                Value::Null
            }
            special => read_special(special, reader.bytes()?)?,
        })
    }

    fn schema_or(
        &mut self,
        alternative: Alternative,
        message: &[u8],
        schema: TypeRef<'_>,
        depth: usize,
    ) -> Result<Value, Error> {
        let mut found = Value::Null;
        let mut reader = Reader::new(message);
        while let Some((number, wire_type)) = reader.tag()? {
            match (alternative, number) {
                (Alternative::Bool, 1) if wire_type == WireType::Varint => {
                    found = Value::Bool(reader.varint()? != 0);
                }
                (Alternative::Bool, 2) | (_, 1) => {
                    found = self.value(&mut reader, wire_type, schema, depth)?
                }
                (Alternative::Schemas, 2) => {
                    let item = self.value(&mut reader, wire_type, schema, depth)?;
                    found.make_array().push(item);
                }
                (Alternative::Strings, 2) if wire_type == WireType::Bytes => {
                    let text = Value::String(reader.text()?.into());
                    found.make_array().push(text);
                }
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(found)
    }
}

/// What stands under a number. Members come in the order of their numbers, so that it is mostly the slot that was found
/// last or the one after it: `expected` is where that is.
fn find(slots: &[Slot], number: u32, expected: &mut usize) -> Option<Content> {
    let near = slots.iter().enumerate().skip(*expected).take(2);
    let near = near.clone().find(|(_, slot)| slot.number == number).map(|(position, _)| position);
    let position = near.or_else(|| slots.binary_search_by_key(&number, |slot| slot.number).ok())?;
    *expected = position;
    Some(slots[position].content)
}

/// Sorts the entries of a map; of duplicates the last counts.
fn settle(map: &mut Map) {
    if map.iter().zip(map.iter().skip(1)).all(|((a, _), (b, _))| a < b) {
        return;
    }
    map.sort();
    let mut kept: Vec<(Name, Value)> = Vec::with_capacity(map.len());
    for (name, value) in std::mem::take(map).into_entries() {
        match kept.last_mut() {
            Some(last) if last.0 == name => last.1 = value,
            _ => kept.push((name, value)),
        }
    }
    *map = Map::from_entries(kept);
}

/// Values that are scalars in JSON and messages in protobuf.
fn read_special(shape: &Shape, message: &[u8]) -> Result<Value, Error> {
    let (mut first, mut second) = (0u64, 0u64);
    let mut bytes: &[u8] = &[];
    let mut reader = Reader::new(message);
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, WireType::Varint) => first = reader.varint()?,
            (2, WireType::Varint) => second = reader.varint()?,
            (1 | 3, WireType::Bytes) => bytes = reader.bytes()?,
            _ => reader.skip(wire_type)?,
        }
    }
    let text = || String::from_utf8_lossy(bytes);
    Ok(match shape {
        Shape::Time | Shape::MicroTime if message.is_empty() => Value::Null,
        Shape::Time => Timestamp::checked(first as i64, 0).ok_or_else(no_time)?.to_rfc3339().into(),
        Shape::MicroTime => {
            Timestamp::checked(first as i64, second as u32).ok_or_else(no_time)?.to_rfc3339_micro().into()
        }
        Shape::Duration => format_duration(first as i64).into(),
        Shape::Quantity if bytes.is_empty() => Value::from("0"),
        Shape::Quantity => Value::String(scalar::quantity(&text()).map_err(error)?),
        Shape::IntOrString if first == 0 => Value::Int(i64::from(second as i32)),
        Shape::IntOrString => Value::from(text().as_ref()),
        Shape::Any(Free::Raw | Free::Json | Free::Fields) if !bytes.is_empty() => {
            json::parse(bytes).map_err(|problem| error(problem.text))?
        }
        _ => Value::Null,
    })
}

fn no_time() -> Error {
    error("proto: a time lies outside the years 1 to 9999".to_owned())
}
