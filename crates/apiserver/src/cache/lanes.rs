//! Objects of a collection sorted by a value that many ask for and few objects share: the pods of each node.
//!
//! A lane has its own index and its own ring, with those events of the collection's that are about its objects. So a list
//! of a node's pods looks at no others, and a change of a pod wakes nobody but those who follow its node. Lanes begin
//! when the first of them is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use env::News;
use smol_str::SmolStr;

use super::entry::{Change, Entry, Event};
use super::index::Index;

/// Tells the lane of an object.
#[derive(Clone)]
pub struct Sorter(Arc<dyn Fn(&Entry) -> &str + Send + Sync>);

impl Sorter {
    /// By a value that an entry holds.
    pub fn new(of: impl Fn(&Entry) -> &str + Send + Sync + 'static) -> Sorter {
        Sorter(Arc::new(of))
    }
}

impl Deref for Sorter {
    type Target = dyn Fn(&Entry) -> &str + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Sorter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sorter")
    }
}

/// Which lane: the value, and what sorts.
#[derive(Clone, Debug)]
pub struct LaneName {
    /// The value that its objects share.
    pub value: SmolStr,
    /// What sorts the collection.
    pub sorter: Sorter,
}

/// All lanes of a collection.
#[derive(Debug)]
pub(super) struct Lanes {
    sorter: Sorter,
    lanes: BTreeMap<SmolStr, Lane>,
    /// Whom to tell what their newest event is by now.
    touched: Vec<(Arc<News>, u64)>,
}

/// The objects of one value, and their recent past.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub index: Index,
    pub ring: VecDeque<Arc<Event>>,
    /// The sequence number of the ring's first event.
    pub first: u64,
    pub news: Arc<News>,
}

impl Lanes {
    /// Sorts what there is.
    pub fn new<'a>(sorter: Sorter, index: &Index, ring: impl Iterator<Item = &'a Arc<Event>>) -> Lanes {
        let mut lanes = Lanes { sorter, lanes: BTreeMap::new(), touched: Vec::new() };
        for event in ring {
            for value in lanes.values_of(event) {
                lanes.lane(&value).ring.push_back(event.clone());
            }
        }
        lanes.fill(index);
        lanes
    }

    /// A lane; made if there is none, so that whoever follows it has a place.
    pub fn lane(&mut self, value: &str) -> &mut Lane {
        if !self.lanes.contains_key(value) {
            self.lanes.insert(SmolStr::from(value), Lane::default());
        }
        self.lanes.get_mut(value).expect("it was put there if it was not")
    }

    /// A lane, if there is one.
    pub fn get(&self, value: &str) -> Option<&Lane> {
        self.lanes.get(value)
    }

    /// Takes an event over.
    pub fn push(&mut self, event: &Arc<Event>) {
        let sorter = self.sorter.clone();
        for value in self.values_of(event) {
            let lane = self.lane(&value);
            lane.ring.push_back(event.clone());
            let told = (lane.news.clone(), lane.next());
            if event.change != Change::Deleted && sorter(&event.entry) == value {
                lane.index.insert(event.entry.clone());
            } else {
                lane.index.remove(event.entry.key());
            }
            self.touched.push(told);
        }
    }

    /// Forgets the oldest event.
    pub fn pop(&mut self, event: &Arc<Event>) {
        for value in self.values_of(event) {
            let Some(lane) = self.lanes.get_mut(&value) else { continue };
            if lane.ring.front().is_some_and(|first| Arc::ptr_eq(first, event)) {
                lane.ring.pop_front();
                lane.first += 1;
            }
            // A lane that is followed keeps its numbers.
            let is_followed = Arc::strong_count(&lane.news) > 1;
            if lane.ring.is_empty() && lane.index.len() == 0 && !is_followed {
                self.lanes.remove(&value);
            }
        }
    }

    /// Starts anew with other objects. Everybody who follows falls off.
    pub fn begin_anew(&mut self, index: &Index) {
        for lane in self.lanes.values_mut() {
            // One number is left out, so that even who had seen everything notices.
            lane.first = lane.next() + 1;
            lane.ring.clear();
            lane.index = Index::default();
            self.touched.push((lane.news.clone(), lane.first));
        }
        self.fill(index);
    }

    /// Those to be told, once nobody holds the collection any more.
    pub fn take_touched(&mut self) -> Vec<(Arc<News>, u64)> {
        std::mem::take(&mut self.touched)
    }

    fn fill(&mut self, index: &Index) {
        let sorter = self.sorter.clone();
        for entry in index.starting_at("") {
            self.lane(sorter(&entry)).index.insert(entry);
        }
    }

    /// The lanes that an event is about: that of the object before it, and that after it.
    fn values_of(&self, event: &Event) -> Vec<SmolStr> {
        let before = event.previous.as_ref().map(|entry| SmolStr::from((self.sorter)(entry)));
        let after = (event.change != Change::Deleted).then(|| SmolStr::from((self.sorter)(&event.entry)));
        let after = after.filter(|value| before.as_ref() != Some(value));
        before.into_iter().chain(after).collect()
    }
}

impl Lane {
    /// The sequence number after the newest event.
    pub fn next(&self) -> u64 {
        self.first + self.ring.len() as u64
    }
}
