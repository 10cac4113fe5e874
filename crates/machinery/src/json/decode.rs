//! Reading JSON by a schema.

mod errors;
mod partial;
pub(crate) mod scalars;

use smol_str::SmolStr;

use self::errors::mismatch;
use super::canonical::keeps;
use super::scan::{Scanner, check_depth};
use super::{Error, Report, TypeMeta};
use crate::Value;
use crate::schema::{Alternative, Free, ListType, MapType, Shape, Struct, TypeRef};
use crate::value::{Map, Name, Names};

/// Reads a body of this type into canonical form. Errors are in Go's words; the first that would stop Go is returned.
pub fn decode(bytes: &[u8], ty: TypeRef<'_>, report: &mut Report) -> Result<Value, Error> {
    let mut decoder = Decoder::new(bytes, report);
    let value = decoder.value(ty, 0)?;
    decoder.scanner.end()?;
    match decoder.first_error {
        Some(error) => Err(error),
        None => Ok(if value.is_null() { ty.zero() } else { value }),
    }
}

/// Reads any JSON. Members keep their order; of duplicates the last counts.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut report = Report::ignoring();
    let mut decoder = Decoder::new(bytes, &mut report);
    let value = decoder.free(Order::AsWritten, 0)?;
    decoder.scanner.end()?;
    Ok(value)
}

/// Reads any JSON as an object without a Go type is read: members sorted, duplicates told.
pub fn parse_reporting(bytes: &[u8], report: &mut Report) -> Result<Value, Error> {
    let mut decoder = Decoder::new(bytes, report);
    let value = decoder.free(Order::Sorted, 0)?;
    decoder.scanner.end()?;
    Ok(value)
}

/// Reads `apiVersion` and `kind` of a body, checking that all of it is JSON.
pub fn type_meta(bytes: &[u8]) -> Result<TypeMeta, Error> {
    const GO_TYPE: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
                           Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let mut report = Report::ignoring();
    let mut decoder = Decoder::new(bytes, &mut report);
    let mut meta = TypeMeta::default();
    let first = decoder.scanner.begin_value()?;
    if first != b'{' {
        let found = decoder.skip_named(0)?;
        decoder.scanner.end()?;
        return if first == b'n' { Ok(meta) } else { Err(mismatch(&found, "value", GO_TYPE)) };
    }
    decoder.scanner.bump();
    let mut more = decoder.scanner.first_member()?;
    let mut wrong = None;
    while more {
        let key = decoder.scanner.key()?;
        let slot = match &*key {
            "apiVersion" => Some(&mut meta.api_version),
            "kind" => Some(&mut meta.kind),
            _ => None,
        };
        match slot {
            Some(slot) if decoder.scanner.begin_value()? == b'"' => {
                *slot = SmolStr::new(decoder.scanner.string()?);
            }
            Some(_) => {
                let found = decoder.skip_named(1)?;
                if found != "null" && wrong.is_none() {
                    wrong = Some(mismatch(&found, &format!("struct field .{key}"), "string"));
                }
            }
            None => decoder.scanner.skip_value(1)?,
        }
        more = decoder.scanner.next_member()?;
    }
    decoder.scanner.end()?;
    wrong.map_or(Ok(meta), Err)
}

/// In which order free-form objects keep their members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AsWritten,
    Sorted,
}

/// A step of the way from the document to where the decoder is.
enum Step<'t> {
    Field(&'t str, TypeRef<'t>),
    Key(Name),
    Index(usize),
}

/// What is known of a structure when its last member was read.
struct Reading {
    /// Where its fields begin on the stack.
    base: usize,
    /// Whether they came in order.
    sorted: bool,
    /// Where the members that no field describes begin on theirs.
    extra: usize,
}

pub(super) struct Decoder<'a, 't, 'r> {
    scanner: Scanner<'a>,
    report: &'r mut Report,
    path: Vec<Step<'t>>,
    first_error: Option<Error>,
    /// Fields of the structures that are being read, innermost last; each structure takes its own off the end. What is
    /// read thus gets memory once, and exactly as much as it needs.
    fields: Vec<(u16, Value)>,
    /// Members of the maps that are being read, in the same way.
    members: Vec<(Name, Value)>,
    /// Items of the lists that are being read, in the same way.
    items: Vec<Value>,
    /// Names of members that no field describes.
    names: Names,
}

impl<'a, 't, 'r> Decoder<'a, 't, 'r> {
    fn new(bytes: &'a [u8], report: &'r mut Report) -> Self {
        Decoder {
            scanner: Scanner::new(bytes),
            report,
            path: Vec::with_capacity(16),
            first_error: None,
            fields: Vec::with_capacity(64),
            members: Vec::new(),
            items: Vec::new(),
            names: Names::default(),
        }
    }

    /// A value of this type, or `Null` where it is null, zero after an error.
    fn value(&mut self, ty: TypeRef<'t>, depth: usize) -> Result<Value, Error> {
        let first = self.scanner.begin_value()?;
        match (ty.shape(), first) {
            (Shape::Any(free), _) => {
                let order = if *free == Free::Interface { Order::Sorted } else { Order::AsWritten };
                self.free(order, depth)
            }
            (_, b'n') => {
                self.scanner.literal()?;
                Ok(Value::Null)
            }
            (Shape::Struct(inner), b'{') => self.structure(ty, inner, depth),
            (Shape::Map(map), b'{') => self.map(ty, map, depth),
            (Shape::List(list), b'[') => self.list(ty, list, depth),
            (Shape::SchemaOr(alternative, schema), _) => {
                self.schema_or(*alternative, ty.types().get(*schema), first, depth)
            }
            (Shape::String, b'"') => {
                let text = self.scanner.string()?;
                Ok(Value::String(SmolStr::from(text)))
            }
            (Shape::Bool, b't' | b'f') => Ok(self.scanner.literal()?.map_or(Value::Null, Value::Bool)),
            (Shape::Int32 | Shape::Int64 | Shape::Float, b'-' | b'0'..=b'9') => self.number(ty),
            _ => self.other_scalar(ty, first, depth),
        }
    }

    fn structure(&mut self, ty: TypeRef<'t>, inner: &'t Struct, depth: usize) -> Result<Value, Error> {
        check_depth(depth)?;
        self.scanner.bump();
        let base = self.fields.len();
        let mut seen = Seen::default();
        let extra = self.members.len();
        let mut sorted = true;
        let mut expected = 0;
        let mut more = self.scanner.first_member()?;
        while more {
            let key = self.scanner.key()?;
            match inner.position_from(&key, expected) {
                Some(position) => {
                    expected = position + 1;
                    let field = &inner.fields()[position];
                    self.path.push(Step::Field(&field.name, ty));
                    if seen.replace(position) {
                        self.strict("duplicate", None);
                        self.forget(base, position);
                    }
                    let value = self.value(ty.types().get(field.type_id), depth + 1)?;
                    self.path.pop();
                    if keeps(field, &value) {
                        let position = position as u16;
                        sorted &= self.fields[base..].last().is_none_or(|(last, _)| *last < position);
                        self.fields.push((position, value));
                    }
                }
                None if inner.open => {
                    let name = self.names.get(key);
                    self.path.push(Step::Key(name.clone()));
                    let value = self.free(Order::Sorted, depth + 1)?;
                    self.path.pop();
                    self.members.push((name, value));
                }
                None => {
                    self.strict("unknown", Some(&key));
                    self.scanner.skip_value(depth + 1)?;
                }
            }
            more = self.scanner.next_member()?;
        }
        Ok(self.finish(ty, inner, Reading { base, sorted, extra }))
    }

    /// Takes the fields of a structure off the stack, adds those that are always there, and puts all in order.
    fn finish(&mut self, ty: TypeRef<'t>, inner: &'t Struct, reading: Reading) -> Value {
        let Reading { base, mut sorted, extra } = reading;
        for position in inner.always() {
            let there = if sorted {
                self.fields[base..].binary_search_by_key(position, |(other, _)| *other).is_ok()
            } else {
                self.fields[base..].iter().any(|(other, _)| other == position)
            };
            if !there {
                sorted = sorted && self.fields[base..].last().is_none_or(|(last, _)| last < position);
                let zero = inner.fields()[usize::from(*position)].zero(ty.types());
                self.fields.push((*position, zero));
            }
        }
        if !sorted {
            self.fields[base..].sort_unstable_by_key(|(position, _)| *position);
        }
        let named =
            |(position, value): (u16, Value)| (inner.fields()[usize::from(position)].name.clone(), value);
        if inner.open {
            // Structures that are open belong to custom resources, whose members are sorted.
            self.members.extend(self.fields.drain(base..).map(named));
            return Value::Object(self.settle(extra, Order::Sorted));
        }
        Value::Object(Map::from_entries(self.fields.drain(base..).map(named)))
    }

    /// Drops what was read for a field that comes again.
    fn forget(&mut self, base: usize, position: usize) {
        if let Some(at) = self.fields[base..].iter().position(|(other, _)| usize::from(*other) == position) {
            self.fields.remove(base + at);
        }
    }

    fn map(&mut self, ty: TypeRef<'t>, map: &'t MapType, depth: usize) -> Result<Value, Error> {
        check_depth(depth)?;
        self.scanner.bump();
        let value_type = ty.types().get(map.value);
        let base = self.members.len();
        let mut more = self.scanner.first_member()?;
        while more {
            let name = self.names.get(self.scanner.key()?);
            self.path.push(Step::Key(name.clone()));
            let value = self.value(value_type, depth + 1)?;
            self.path.pop();
            let value = if value.is_null() && !map.nullable { value_type.zero() } else { value };
            self.members.push((name, value));
            more = self.scanner.next_member()?;
        }
        Ok(Value::Object(self.settle(base, Order::Sorted)))
    }

    fn list(&mut self, ty: TypeRef<'t>, list: &'t ListType, depth: usize) -> Result<Value, Error> {
        check_depth(depth)?;
        self.scanner.bump();
        let item_type = ty.types().get(list.item);
        let base = self.items.len();
        let mut more = self.scanner.first_item();
        while more {
            self.path.push(Step::Index(self.items.len() - base));
            let value = self.value(item_type, depth + 1)?;
            self.path.pop();
            self.items.push(if value.is_null() && !list.nullable { item_type.zero() } else { value });
            more = self.scanner.next_item()?;
        }
        Ok(Value::Array(self.items.drain(base..).collect()))
    }

    fn schema_or(
        &mut self,
        alternative: Alternative,
        schema: TypeRef<'t>,
        first: u8,
        depth: usize,
    ) -> Result<Value, Error> {
        match (alternative, first) {
            (_, b'{') => self.value(schema, depth),
            (Alternative::Bool, b't' | b'f') => Ok(self.scanner.literal()?.map_or(Value::Null, Value::Bool)),
            (Alternative::Schemas, b'[') => {
                self.scanner.bump();
                let mut items = Vec::new();
                let mut more = self.scanner.first_item();
                while more {
                    let value = self.value(schema, depth + 1)?;
                    items.push(if value.is_null() { schema.zero() } else { value });
                    more = self.scanner.next_item()?;
                }
                Ok(Value::from(items))
            }
            (Alternative::Strings, b'[') => {
                let items = self.free(Order::AsWritten, depth)?;
                if items.items().iter().any(|item| item.as_str().is_none()) {
                    self.fail_type("value", "string");
                }
                Ok(items)
            }
            (Alternative::Bool, _) => {
                self.scanner.skip_value(depth)?;
                self.fail(Error { text: "boolean or JSON schema expected".to_owned(), syntax: false });
                Ok(Value::Null)
            }
            _ => {
                self.scanner.skip_value(depth)?;
                Ok(Value::Null)
            }
        }
    }

    /// Any JSON.
    fn free(&mut self, order: Order, depth: usize) -> Result<Value, Error> {
        match self.scanner.begin_value()? {
            b'{' => {
                check_depth(depth)?;
                self.scanner.bump();
                let base = self.members.len();
                let mut more = self.scanner.first_member()?;
                while more {
                    let name = self.names.get(self.scanner.key()?);
                    if order == Order::Sorted {
                        self.path.push(Step::Key(name.clone()));
                    }
                    let value = self.free(order, depth + 1)?;
                    if order == Order::Sorted {
                        self.path.pop();
                    }
                    self.members.push((name, value));
                    more = self.scanner.next_member()?;
                }
                Ok(Value::Object(self.settle(base, order)))
            }
            b'[' => {
                check_depth(depth)?;
                self.scanner.bump();
                let base = self.items.len();
                let mut more = self.scanner.first_item();
                while more {
                    self.path.push(Step::Index(self.items.len() - base));
                    let item = self.free(order, depth + 1)?;
                    self.items.push(item);
                    self.path.pop();
                    more = self.scanner.next_item()?;
                }
                Ok(Value::Array(self.items.drain(base..).collect()))
            }
            b'"' => Ok(Value::String(SmolStr::from(self.scanner.string()?))),
            b't' | b'f' | b'n' => Ok(self.scanner.literal()?.map_or(Value::Null, Value::Bool)),
            _ => self.free_number(),
        }
    }

    /// Takes the members of a map off the stack, sorted or as written, without all but the last of duplicates.
    fn settle(&mut self, base: usize, order: Order) -> Map {
        let mut entries: Vec<(Name, Value)> = self.members.drain(base..).collect();
        if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Map::from_entries(entries);
        }
        if order == Order::AsWritten {
            return Map::from_entries(last_of_duplicates(entries));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                self.strict("duplicate", Some(&later.0));
                std::mem::swap(later, earlier);
            }
            same
        });
        Map::from_entries(entries)
    }
}

/// Members as they are written, without all but the last of duplicates, which stands where the first stood.
fn last_of_duplicates(entries: Vec<(Name, Value)>) -> Vec<(Name, Value)> {
    if !has_duplicates(&entries) {
        return entries;
    }
    let mut numbered: Vec<(usize, (Name, Value))> = entries.into_iter().enumerate().collect();
    numbered.sort_by(|(_, a), (_, b)| a.0.cmp(&b.0));
    numbered.dedup_by(|(_, later), (_, earlier)| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    numbered.sort_unstable_by_key(|(position, _)| *position);
    numbered.into_iter().map(|(_, entry)| entry).collect()
}

/// Which fields of a structure came already. Structures have fewer than 256 fields.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    /// Notes a field; answers whether it was there before.
    fn replace(&mut self, position: usize) -> bool {
        let Some(word) = self.0.get_mut(position / 64) else { return false };
        let before = *word & (1 << (position % 64)) != 0;
        *word |= 1 << (position % 64);
        before
    }
}

fn has_duplicates(entries: &[(Name, Value)]) -> bool {
    if entries.len() <= 16 {
        return entries
            .iter()
            .enumerate()
            .any(|(at, (name, _))| entries[..at].iter().any(|(n, _)| n == name));
    }
    let mut names: Vec<&Name> = entries.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}
