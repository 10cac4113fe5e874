//! Lists, maps and objects: made by an expression, or parts of documents.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::super::declaration::{Declaration, Form, ObjectType};
use super::super::failure::{Failure, Outcome};
use super::super::types::Type;
use super::Val;
use crate::value::Name;
use crate::{Map as Members, Value};

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// Made by an expression.
    Items(Arc<Vec<Val<'a>>>),
    /// A part of a document, and what it is declared to be.
    Document(&'a [Value], Arc<Declaration>),
}

/// Values by keys.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// Made by an expression.
    Entries(Arc<Entries<'a>>),
    /// A part of a document, and what it is declared to be: a map or an object.
    Document(&'a Members, Arc<Declaration>),
}

/// The entries of a map, by their keys.
pub type Entries<'a> = BTreeMap<Key, Val<'a>>;

/// What can be a key.
#[derive(Clone, Debug)]
pub enum Key {
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without sign. It is the same key as the equal number with one.
    Uint(u64),
    /// Text.
    String(SmolStr),
}

/// An object with the fields that it was made with.
#[derive(Clone, Debug)]
pub struct Struct<'a> {
    /// Its type.
    pub ty: Arc<ObjectType>,
    /// Its fields by the names that expressions use.
    pub fields: Vec<(SmolStr, Val<'a>)>,
}

impl<'a> List<'a> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            List::Items(items) => items.len(),
            List::Document(items, _) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at a position that is there.
    pub fn item(&self, position: usize) -> Outcome<'a> {
        match self {
            List::Items(items) => items.get(position).cloned(),
            List::Document(items, declaration) => match items.get(position) {
                Some(item) => Some(Val::of(item, declaration.element())?),
                None => None,
            },
        }
        .ok_or_else(|| Failure::new(format!("index out of bounds: {position}")))
    }

    /// All items.
    pub fn items(&self) -> impl Iterator<Item = Outcome<'a>> {
        (0..self.len()).map(|position| self.item(position))
    }

    /// The list with more items behind. What nobody else holds is not copied.
    pub(in super::super) fn join(self, other: &List<'a>) -> Outcome<'a> {
        let mut items = match self {
            List::Items(items) => items,
            List::Document(..) => Arc::new(self.items().collect::<Result<_, _>>()?),
        };
        let grown = Arc::make_mut(&mut items);
        for item in other.items() {
            grown.push(item?);
        }
        Ok(Val::List(List::Items(items)))
    }
}

impl<'a> Map<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Map::Entries(entries) => entries.len(),
            Map::Document(members, _) => members.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Result<Option<Val<'a>>, Failure> {
        match (self, key) {
            (Map::Entries(entries), key) => Ok(entries.get(key).cloned()),
            (Map::Document(members, declaration), Key::String(name)) => member(members, declaration, name),
            (Map::Document(..), _) => Ok(None),
        }
    }

    /// The value of a field, or of a key that is text.
    pub fn field(&self, name: &str) -> Result<Option<Val<'a>>, Failure> {
        match self {
            Map::Entries(entries) => Ok(entries.get(&Key::String(SmolStr::new(name))).cloned()),
            Map::Document(members, declaration) => member(members, declaration, name),
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        match self {
            Map::Entries(entries) => entries.keys().cloned().collect(),
            Map::Document(members, _) => {
                let mut names: Vec<&str> = members.keys().map(Name::as_str).collect();
                names.sort_unstable();
                names.into_iter().map(|name| Key::String(name.into())).collect()
            }
        }
    }

    /// Whether it is an object of a document, not a map; and which.
    pub(super) fn ty(&self) -> Type {
        match self {
            Map::Document(_, declaration) => match &declaration.form {
                Form::Object(object) => Type::Object(object.clone()),
                _ => Type::map(Type::Dyn, Type::Dyn),
            },
            Map::Entries(_) => Type::map(Type::Dyn, Type::Dyn),
        }
    }
}

/// A member of an object of a document. Fields of structures are known by the names that expressions use.
fn member<'a>(
    members: &'a Members,
    declaration: &Declaration,
    name: &str,
) -> Result<Option<Val<'a>>, Failure> {
    if let Form::Object(object) = &declaration.form {
        let Some(field) = object.field(name) else {
            return Ok(members.get(name).map(Val::dynamic));
        };
        return members.get(&field.name).map(|value| Val::of(value, &field.declaration)).transpose();
    }
    members.get(name).map(|value| Val::of(value, declaration.element())).transpose()
}

impl Key {
    /// The key that a value is.
    pub fn of(value: &Val<'_>) -> Option<Key> {
        Some(match value {
            Val::Bool(value) => Key::Bool(*value),
            Val::Int(value) => Key::Int(*value),
            Val::Uint(value) => Key::Uint(*value),
            // A number with nothing behind its point is the same key as the whole number.
            Val::Double(value) if value.fract() == 0.0 && value.abs() < 9.3e18 => Key::Int(*value as i64),
            Val::String(text) => Key::String(text.clone()),
            _ => return None,
        })
    }

    /// The value that a key is.
    pub fn to_val<'a>(&self) -> Val<'a> {
        match self {
            Key::Bool(value) => Val::Bool(*value),
            Key::Int(value) => Val::Int(*value),
            Key::Uint(value) => Val::Uint(*value),
            Key::String(text) => Val::String(text.clone()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::String(_) => 2,
        }
    }

    fn number(&self) -> i128 {
        match self {
            Key::Int(value) => i128::from(*value),
            Key::Uint(value) => i128::from(*value),
            Key::Bool(value) => i128::from(*value),
            Key::String(_) => 0,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::String(a), Key::String(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()).then_with(|| self.number().cmp(&other.number())),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl Struct<'_> {
    /// The field, if it was set.
    pub fn field(&self, name: &str) -> Option<&Val<'_>> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }
}
