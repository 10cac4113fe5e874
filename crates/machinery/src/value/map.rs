//! Named values in order.

use super::{Exact, Name, Value};

/// Named values in a fixed order: that of the schema for structures, sorted for maps, as written for free forms.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Exact<(Name, Value)>,
}

impl Map {
    /// Without members.
    pub fn new() -> Map {
        Map::default()
    }

    /// From members in order. The caller sees to it that no name comes twice.
    pub fn from_entries(entries: impl IntoIterator<Item = (impl Into<Name>, Value)>) -> Map {
        Map { entries: entries.into_iter().map(|(name, value)| (name.into(), value)).collect() }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| *key == *name).map(|(_, value)| value)
    }

    /// The member `name`.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(key, _)| *key == *name).map(|(_, value)| value)
    }

    /// Whether there is such a member, null or not.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The member `name`, added at the end as `Null` if missing.
    pub fn entry(&mut self, name: &str) -> &mut Value {
        let position = self.entries.iter().position(|(key, _)| *key == *name).unwrap_or_else(|| {
            self.entries.push((Name::from(name), Value::Null));
            self.entries.len() - 1
        });
        &mut self.entries[position].1
    }

    /// Sets a member: in its place if it was there, else at the end. Returns what it held.
    pub fn insert(&mut self, name: impl Into<Name> + AsRef<str>, value: impl Into<Value>) -> Option<Value> {
        let value = value.into();
        match self.get_mut(name.as_ref()) {
            Some(slot) => Some(std::mem::replace(slot, value)),
            None => {
                self.entries.push((name.into(), value));
                None
            }
        }
    }

    /// Adds a member at the end. The caller sees to it that no name comes twice.
    pub fn push(&mut self, name: impl Into<Name>, value: Value) {
        self.entries.push((name.into(), value));
    }

    /// Takes a member away; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let position = self.entries.iter().position(|(key, _)| *key == *name)?;
        Some(self.entries.remove(position).1)
    }

    /// Keeps the members that `keep` answers true for.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(name, value)| keep(name, value));
    }

    /// The members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Name, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// The members in order.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&Name, &mut Value)> {
        self.entries.iter_mut().map(|(name, value)| (&*name, value))
    }

    /// The names in order.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().map(|(name, _)| name)
    }

    /// Orders the members by name, as maps are printed.
    pub fn sort(&mut self) {
        if !self.entries.is_sorted_by(|(a, _), (b, _)| a <= b) {
            self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
    }

    /// Orders the members: by name for maps, by the schema's order for structures.
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&str) -> K) {
        self.entries.sort_by_key(|(name, _)| key(name));
    }

    /// The members, by value.
    pub fn into_entries(self) -> Vec<(Name, Value)> {
        self.entries.into_vec()
    }
}

/// Two maps are equal when they hold the same, in whatever order.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let same_order = self.entries.iter().zip(&other.entries).all(|((a, _), (b, _))| a == b);
        if same_order {
            return self.entries.iter().zip(&other.entries).all(|((_, a), (_, b))| a == b);
        }
        let sorted = |map: &'_ Map| -> Vec<usize> {
            let mut order: Vec<usize> = (0..map.entries.len()).collect();
            order.sort_unstable_by(|a, b| map.entries[*a].0.cmp(&map.entries[*b].0));
            order
        };
        sorted(self).into_iter().zip(sorted(other)).all(|(a, b)| self.entries[a] == other.entries[b])
    }
}
