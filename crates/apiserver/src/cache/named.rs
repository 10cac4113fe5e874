//! Objects that somebody follows by name: the Secrets and ConfigMaps that the pods of a node use, and what `kubectl wait`
//! waits for.
//!
//! Each has a ring of its own for as long as anybody follows it, with those events of the collection's that are about it.
//! So a change wakes nobody but those who follow its object, and who follows a quiet object falls off with nobody else's
//! events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use env::News;

use super::entry::Event;

/// Sequence numbers begin here: events that turn out to be wanted are put before those that are there.
const MIDDLE: u64 = 1 << 62;

/// All objects that are followed by name, by key.
#[derive(Debug, Default)]
pub(super) struct Named {
    rings: BTreeMap<String, Ring>,
    /// Whom to tell what their newest event is by now.
    touched: Vec<(Arc<News>, u64)>,
}

/// The recent past of one object.
#[derive(Debug)]
pub(super) struct Ring {
    pub events: VecDeque<Arc<Event>>,
    /// The sequence number of the first event.
    pub first: u64,
    /// All events after this revision are here, as far as the collection remembers.
    since: u64,
    news: Arc<News>,
    followers: usize,
}

impl Ring {
    fn new(since: u64) -> Ring {
        Ring { events: VecDeque::new(), first: MIDDLE, since, news: Arc::default(), followers: 0 }
    }

    /// The sequence number after the newest event.
    pub fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Puts the events before it that are about the object; the newest come first.
    fn extend<'a>(&mut self, key: &str, since: u64, newest_first: impl Iterator<Item = &'a Arc<Event>>) {
        let missing = newest_first
            .skip_while(|event| event.revision > self.since)
            .take_while(|event| event.revision > since);
        for event in missing.filter(|event| event.entry.key() == key) {
            self.events.push_front(event.clone());
            self.first -= 1;
        }
        self.since = self.since.min(since);
    }
}

impl Named {
    /// Begins to follow an object from the events after `since` on: answers the sequence number of the first of them, and
    /// what tells of more. `newest` is the newest revision; the collection's events come newest first.
    pub fn follow<'a>(
        &mut self,
        key: &str,
        (since, newest): (u64, u64),
        newest_first: impl Iterator<Item = &'a Arc<Event>>,
    ) -> (u64, Arc<News>) {
        let ring = self.rings.entry(key.to_owned()).or_insert_with(|| Ring::new(newest));
        if since < ring.since {
            ring.extend(key, since, newest_first);
        }
        ring.followers += 1;
        let seen = ring.events.partition_point(|event| event.revision <= since);
        (ring.first + seen as u64, ring.news.clone())
    }

    /// Somebody follows it no more.
    pub fn leave(&mut self, key: &str) {
        let Some(ring) = self.rings.get_mut(key) else { return };
        ring.followers -= 1;
        if ring.followers == 0 {
            self.rings.remove(key);
        }
    }

    /// The past of an object that is followed.
    pub fn get(&self, key: &str) -> Option<&Ring> {
        self.rings.get(key)
    }

    /// Takes an event over.
    pub fn push(&mut self, event: &Arc<Event>) {
        let Some(ring) = self.rings.get_mut(event.entry.key()) else { return };
        ring.events.push_back(event.clone());
        self.touched.push((ring.news.clone(), ring.next()));
    }

    /// Forgets the oldest event.
    pub fn pop(&mut self, event: &Arc<Event>) {
        let Some(ring) = self.rings.get_mut(event.entry.key()) else { return };
        if ring.events.front().is_some_and(|first| Arc::ptr_eq(first, event)) {
            ring.events.pop_front();
            ring.first += 1;
        }
    }

    /// Starts anew. Everybody who follows falls off.
    pub fn begin_anew(&mut self, floor: u64) {
        for ring in self.rings.values_mut() {
            // One number is left out, so that even who had seen everything notices.
            ring.first = ring.next() + 1;
            ring.events.clear();
            ring.since = floor;
            self.touched.push((ring.news.clone(), ring.first));
        }
    }

    /// Those to be told, once nobody holds the collection any more.
    pub fn take_touched(&mut self) -> Vec<(Arc<News>, u64)> {
        std::mem::take(&mut self.touched)
    }
}
