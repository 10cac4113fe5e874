//! The objects of a cache, and its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Entry, IndexValues};
use crate::Key;

struct Index<F> {
    name: &'static str,
    values: IndexValues<F>,
    /// Sorted by key. Most values find few entries, which so cost little more than a pointer each.
    found: BTreeMap<SmolStr, Vec<Arc<Entry<F>>>>,
}

pub(super) struct Store<F> {
    entries: BTreeMap<Key, Arc<Entry<F>>>,
    indexes: Vec<Index<F>>,
}

impl<F> Store<F> {
    pub(super) fn new(indexes: Vec<(&'static str, IndexValues<F>)>) -> Store<F> {
        let indexes = indexes
            .into_iter()
            .map(|(name, values)| Index { name, values, found: BTreeMap::new() })
            .collect();
        Store { entries: BTreeMap::new(), indexes }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Entry<F>>> {
        self.entries.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Entry<F>>)> {
        self.entries.iter()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Entry<F>>> {
        self.entries
            .range(Key::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, entry)| entry)
    }

    fn index(&self, name: &'static str) -> Option<&Index<F>> {
        let index = self.indexes.iter().find(|index| index.name == name);
        debug_assert!(index.is_some(), "the index {name} was not declared");
        index
    }

    pub(super) fn by_index(&self, name: &'static str, value: &str) -> Vec<Arc<Entry<F>>> {
        let found = self.index(name).and_then(|index| index.found.get(value));
        found.cloned().unwrap_or_default()
    }

    pub(super) fn count_by_index(&self, name: &'static str, value: &str) -> usize {
        self.index(name).and_then(|index| index.found.get(value)).map_or(0, Vec::len)
    }

    /// Puts an entry in, or takes it away; answers with the one that was there.
    pub(super) fn set(&mut self, key: &Key, new: Option<Arc<Entry<F>>>) -> Option<Arc<Entry<F>>> {
        let old = match &new {
            Some(entry) => self.entries.insert(key.clone(), entry.clone()),
            None => self.entries.remove(key),
        };
        for index in &mut self.indexes {
            index.set(key, old.as_ref(), new.as_ref());
        }
        old
    }
}

impl<F> Index<F> {
    fn set(&mut self, key: &Key, old: Option<&Arc<Entry<F>>>, new: Option<&Arc<Entry<F>>>) {
        let values = |entry: Option<&Arc<Entry<F>>>| -> BTreeSet<SmolStr> {
            entry
                .map(|entry| (self.values)(&entry.object, &entry.facts))
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        let (before, after) = (values(old), values(new));
        for value in before.difference(&after) {
            if let Some(entries) = self.found.get_mut(value) {
                if let Ok(at) = place(entries, key) {
                    entries.remove(at);
                }
                if entries.is_empty() {
                    self.found.remove(value);
                }
            }
        }
        if let Some(entry) = new {
            for value in after {
                let entries = self.found.entry(value).or_default();
                match place(entries, key) {
                    Ok(at) => entries[at] = entry.clone(),
                    Err(at) => entries.insert(at, entry.clone()),
                }
            }
        }
    }
}

/// Where the entry of a key stands; where it would, if it is not there.
fn place<F>(entries: &[Arc<Entry<F>>], key: &Key) -> Result<usize, usize> {
    let own = (key.namespace.as_str(), key.name.as_str());
    entries.binary_search_by(|entry| {
        let header = entry.object.header();
        (header.namespace.as_str(), header.name.as_str()).cmp(&own)
    })
}
