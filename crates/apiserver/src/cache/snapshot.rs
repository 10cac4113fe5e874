//! The objects of a collection, or of a lane of it, as they stood at a revision.

use std::sync::Arc;

use super::entry::{Entry, Event};
use super::index::{Index, Walk};

/// The state at a revision, to be walked at leisure.
#[derive(Clone, Debug)]
pub struct Snapshot {
    index: Index,
    /// What was different then, by key; in key order.
    past: Vec<(String, Option<Arc<Entry>>)>,
}

impl Snapshot {
    /// The state as it is.
    pub fn now(index: &Index) -> Snapshot {
        Snapshot { index: index.clone(), past: Vec::new() }
    }

    /// The state before some events; the newest come first.
    pub fn before<'a>(index: &Index, newest_first: impl Iterator<Item = &'a Arc<Event>>) -> Snapshot {
        let mut past = std::collections::BTreeMap::new();
        for event in newest_first {
            past.insert(event.entry.key().to_owned(), event.previous.clone());
        }
        Snapshot { index: index.clone(), past: past.into_iter().collect() }
    }

    /// Walks the objects from `start` on, in key order.
    pub fn starting_at(&self, start: &str) -> SnapshotWalk {
        let from = self.past.partition_point(|(key, _)| key.as_str() < start);
        SnapshotWalk {
            present: self.index.starting_at(start),
            past: Vec::from(&self.past[from..]).into_iter(),
            held: None,
            pending: None,
        }
    }

    /// How many objects lie in `start..end`; an empty `end` means all from `start` on.
    pub fn count(&self, start: &str, end: &str) -> usize {
        let mut count = self.index.count(start, end);
        for (key, then) in &self.past {
            if key.as_str() >= start && (end.is_empty() || key.as_str() < end) {
                match (then.is_some(), self.index.get(key).is_some()) {
                    (true, false) => count += 1,
                    (false, true) => count -= 1,
                    _ => {}
                }
            }
        }
        count
    }
}

/// The objects of a [`Snapshot`] in key order.
#[derive(Debug)]
pub struct SnapshotWalk {
    present: Walk,
    past: std::vec::IntoIter<(String, Option<Arc<Entry>>)>,
    held: Option<Arc<Entry>>,
    pending: Option<(String, Option<Arc<Entry>>)>,
}

impl Iterator for SnapshotWalk {
    type Item = Arc<Entry>;

    fn next(&mut self) -> Option<Arc<Entry>> {
        loop {
            if self.held.is_none() {
                self.held = self.present.next();
            }
            if self.pending.is_none() {
                self.pending = self.past.next();
            }
            let Some((key, _)) = &self.pending else { return self.held.take() };
            if self.held.as_ref().is_some_and(|entry| entry.key() < key.as_str()) {
                return self.held.take();
            }
            if self.held.as_ref().is_some_and(|entry| entry.key() == key.as_str()) {
                self.held = None;
            }
            if let Some((_, Some(then))) = self.pending.take() {
                return Some(then);
            }
        }
    }
}
