//! One resource's objects as they are now, and its recent past.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use env::News;
use machinery::Status;
use smol_str::SmolStr;

use super::entry::{Change, Entry, Event};
use super::index::Index;
use super::lanes::{Lane, LaneName, Lanes, Sorter};
use super::named::Named;
use super::snapshot::Snapshot;

/// Events that are kept whatever their age: a watcher that comes back after a pause should find its place.
const KEEP_EVENTS: usize = 1_000;
/// Events that are kept at most: at 1,000 changes a second more than a minute of them.
const MAX_EVENTS: usize = 100_000;
/// What kept events may weigh together; older ones go first.
const MAX_EVENT_BYTES: usize = 64 << 20;
/// What the frames of events may weigh together in one encoding: enough for watchers that are some seconds behind.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// How long an event is kept where there is room: upstream's freshness of 75 seconds.
const KEEP_FOR: Duration = Duration::from_secs(75);

/// All objects of one resource.
#[derive(Debug)]
pub struct Collection {
    prefix: String,
    state: RwLock<State>,
    /// The sequence number after the newest event: what watchers wait on.
    news: News,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    ring: VecDeque<Kept>,
    ring_bytes: usize,
    /// The sequence number of the ring's first event.
    first: u64,
    /// The sequence number of the first event that keeps its frames, and what those of it and of all later ones weigh.
    framed: u64,
    framed_bytes: usize,
    /// All events after this revision are in the ring.
    floor: u64,
    /// The revision the index was loaded at: events up to it are no news.
    loaded_at: u64,
    /// Why what is here is not all there is.
    shut: Option<Shut>,
    /// The objects sorted, if anybody asked for that.
    lanes: Option<Lanes>,
    /// The objects that are followed by name.
    named: Named,
}

/// Why a collection cannot be read, and the newest change that was not taken over since.
#[derive(Clone, Debug)]
struct Shut {
    why: Arc<str>,
    missed: u64,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Event>,
    at: Duration,
    bytes: usize,
}

/// A watcher's place in the ring.
#[derive(Debug)]
pub struct Cursor {
    collection: Arc<Collection>,
    place: Place,
    next: u64,
}

/// What of a collection a watcher follows, and what tells of its news.
#[derive(Debug)]
enum Place {
    All,
    Lane(SmolStr, Arc<News>),
    One(String, Arc<News>),
}

/// The events a watcher needs are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallen;

impl Collection {
    /// An empty collection of the objects whose keys in the store begin with `prefix`, complete from `floor` on.
    pub fn new(prefix: &str, floor: u64) -> Collection {
        Collection {
            prefix: prefix.to_owned(),
            state: RwLock::new(State { floor, loaded_at: floor, ..State::default() }),
            news: News::new(),
        }
    }

    /// What its keys in the store begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The object at `key` (`namespace/name`, or the name).
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.read().index.get(key).cloned()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().index.len()
    }

    /// The state as it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::now(&self.read().index)
    }

    /// The state at `revision`, from what the ring remembers; `None` if that lies too far back.
    pub fn snapshot_at(&self, revision: u64) -> Option<Snapshot> {
        let state = self.read();
        let later = state.ring.iter().rev().map(|kept| &kept.event);
        let later = later.take_while(|event| event.revision > revision);
        (revision >= state.floor).then(|| Snapshot::before(&state.index, later))
    }

    /// The state of a lane as it is.
    pub fn snapshot_of(&self, lane: &LaneName) -> Snapshot {
        self.sort(&lane.sorter);
        let state = self.read();
        Snapshot::now(state.lane(&lane.value).map_or(&Index::default(), |lane| &lane.index))
    }

    /// The state of a lane at `revision`; `None` if that lies too far back.
    pub fn snapshot_of_at(&self, lane: &LaneName, revision: u64) -> Option<Snapshot> {
        self.sort(&lane.sorter);
        let state = self.read();
        if revision < state.floor {
            return None;
        }
        let Some(lane) = state.lane(&lane.value) else { return Some(Snapshot::now(&Index::default())) };
        let later = lane.ring.iter().rev().take_while(|event| event.revision > revision);
        Some(Snapshot::before(&lane.index, later))
    }

    /// The revision of the newest change, or the one the collection was loaded at.
    pub fn newest(&self) -> u64 {
        self.read().newest()
    }

    /// The oldest revision that can be followed from.
    pub fn floor(&self) -> u64 {
        self.read().floor
    }

    /// The state as it is, and a cursor that stands right behind it.
    pub fn follow(self: &Arc<Self>) -> (Snapshot, Cursor) {
        let state = self.read();
        let snapshot = Snapshot::now(&state.index);
        let next = state.next();
        drop(state);
        (snapshot, self.cursor(Place::All, next))
    }

    /// A cursor that stands before the first event after `revision`.
    pub fn follow_from(self: &Arc<Self>, revision: u64) -> Result<Cursor, Fallen> {
        let state = self.read();
        if revision < state.floor {
            return Err(Fallen);
        }
        let seen = state.ring.partition_point(|kept| kept.event.revision <= revision);
        let next = state.first + seen as u64;
        drop(state);
        Ok(self.cursor(Place::All, next))
    }

    /// The state of a lane as it is, and a cursor that stands right behind it.
    pub fn follow_lane(self: &Arc<Self>, name: &LaneName) -> (Snapshot, Cursor) {
        self.sort(&name.sorter);
        let mut state = self.write();
        let lane = state.lanes(&name.sorter).lane(&name.value);
        let (snapshot, next) = (Snapshot::now(&lane.index), lane.next());
        let place = Place::Lane(name.value.clone(), lane.news.clone());
        drop(state);
        (snapshot, self.cursor(place, next))
    }

    /// A cursor that stands before the first event of a lane after `revision`.
    pub fn follow_lane_from(self: &Arc<Self>, name: &LaneName, revision: u64) -> Result<Cursor, Fallen> {
        self.sort(&name.sorter);
        let mut state = self.write();
        if revision < state.floor {
            return Err(Fallen);
        }
        let lane = state.lanes(&name.sorter).lane(&name.value);
        let seen = lane.ring.partition_point(|event| event.revision <= revision);
        let next = lane.first + seen as u64;
        let place = Place::Lane(name.value.clone(), lane.news.clone());
        drop(state);
        Ok(self.cursor(place, next))
    }

    /// The state as it is, and a cursor that stands right behind it and follows the object of one key.
    pub fn follow_one(self: &Arc<Self>, key: &str) -> (Snapshot, Cursor) {
        let mut state = self.write();
        let (snapshot, newest) = (Snapshot::now(&state.index), state.newest());
        let (next, news) = state.follow_one(key, newest);
        drop(state);
        (snapshot, self.cursor(Place::One(key.to_owned(), news), next))
    }

    /// A cursor that stands before the first event of one key's object after `revision`.
    pub fn follow_one_from(self: &Arc<Self>, key: &str, revision: u64) -> Result<Cursor, Fallen> {
        let mut state = self.write();
        if revision < state.floor {
            return Err(Fallen);
        }
        let (next, news) = state.follow_one(key, revision);
        drop(state);
        Ok(self.cursor(Place::One(key.to_owned(), news), next))
    }

    fn cursor(self: &Arc<Self>, place: Place, next: u64) -> Cursor {
        Cursor { collection: self.clone(), place, next }
    }

    /// Sorts the objects into lanes, if nobody did before. What it takes to know an object's lane is found out before
    /// anybody has to wait.
    fn sort(&self, sorter: &Sorter) {
        if self.read().lanes.is_some() {
            return;
        }
        for entry in self.snapshot().starting_at("") {
            sorter(&entry);
        }
        self.write().lanes(sorter);
    }

    /// Fails, and says why, while what is here is not all there is.
    pub fn opened(&self) -> Result<(), Status> {
        match &self.read().shut {
            Some(shut) => Err(Status::internal(&shut.why)),
            None => Ok(()),
        }
    }

    /// From now on nobody may read it: the change of `revision`, or what was loaded as of then, cannot be read.
    pub fn shut(&self, why: &str, revision: u64) {
        self.write().shut = Some(Shut { why: Arc::from(why), missed: revision });
    }

    /// It is still shut, for this reason.
    pub fn still_shut(&self, why: &str) {
        if let Some(shut) = &mut self.write().shut {
            shut.why = Arc::from(why);
        }
    }

    /// Whether a change is not to be taken over, because the collection is shut; it is read anew with it.
    pub fn skips(&self, revision: u64) -> bool {
        let mut state = self.write();
        match &mut state.shut {
            Some(shut) => {
                shut.missed = shut.missed.max(revision);
                true
            }
            None => false,
        }
    }

    /// Opens it with what another collection holds, unless there was a change since then.
    pub fn reopen(&self, fresh: &Collection) -> bool {
        let (index, floor, shut) = fresh.held();
        let mut state = self.write();
        let is_behind = state.shut.as_ref().is_some_and(|shut| shut.missed > floor);
        if !is_behind {
            state.begin_anew(index, floor, shut);
        }
        !is_behind
    }

    /// Fills the collection at start, before anybody looks.
    pub fn load(&self, entry: Arc<Entry>) {
        self.write().index.insert(entry);
    }

    /// Whether the events of `revision` were already there when the collection was loaded.
    pub fn covers(&self, revision: u64) -> bool {
        revision <= self.read().loaded_at
    }

    /// Starts anew with what another collection holds. Everybody who follows falls off.
    pub fn replace(&self, fresh: &Collection) {
        let (index, floor, shut) = fresh.held();
        self.write().begin_anew(index, floor, shut);
    }

    fn held(&self) -> (Index, u64, Option<Shut>) {
        let state = self.read();
        (state.index.clone(), state.floor, state.shut.clone())
    }

    /// Takes over a changed object. Only the feed does this.
    pub fn put(&self, entry: Arc<Entry>, now: Duration) -> Arc<Event> {
        let mut state = self.write();
        let previous = state.index.insert(entry.clone());
        let change = if previous.is_some() { Change::Modified } else { Change::Created };
        let event = Arc::new(Event::new(entry.revision(), change, entry, previous));
        state.push(event.clone(), now);
        event
    }

    /// Takes a deletion over; `last` is the object's last state with the revision of its end.
    pub fn delete(&self, last: Arc<Entry>, now: Duration) -> Arc<Event> {
        let mut state = self.write();
        let previous = state.index.remove(last.key());
        let event = Arc::new(Event::new(last.revision(), Change::Deleted, last, previous));
        state.push(event.clone(), now);
        event
    }

    /// Wakes those who wait for news.
    pub fn announce(&self) {
        let mut state = self.write();
        let next = state.next();
        let mut touched = state.named.take_touched();
        touched.extend(state.lanes.as_mut().map(Lanes::take_touched).into_iter().flatten());
        drop(state);
        self.news.tell(next);
        for (news, next) in touched {
            news.tell(next);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_anew(&mut self, index: Index, floor: u64, shut: Option<Shut>) {
        // One number is left out, so that even a watcher that had seen everything notices.
        let first = self.next() + 1;
        let mut lanes = self.lanes.take();
        if let Some(lanes) = &mut lanes {
            lanes.begin_anew(&index);
        }
        let mut named = std::mem::take(&mut self.named);
        named.begin_anew(floor);
        let (loaded_at, framed) = (floor, first);
        *self = State { index, floor, loaded_at, first, framed, shut, lanes, named, ..State::default() };
    }

    /// The revision of the newest change, or the one the collection was loaded at.
    fn newest(&self) -> u64 {
        self.ring.back().map_or(self.floor, |kept| kept.event.revision)
    }

    fn follow_one(&mut self, key: &str, since: u64) -> (u64, Arc<News>) {
        let newest = self.newest();
        self.named.follow(key, (since, newest), self.ring.iter().rev().map(|kept| &kept.event))
    }

    /// The sequence number after the newest event.
    fn next(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    fn lane(&self, value: &str) -> Option<&Lane> {
        self.lanes.as_ref()?.get(value)
    }

    fn lanes(&mut self, sorter: &Sorter) -> &mut Lanes {
        let (index, ring) = (&self.index, self.ring.iter().map(|kept| &kept.event));
        self.lanes.get_or_insert_with(|| Lanes::new(sorter.clone(), index, ring))
    }

    fn push(&mut self, event: Arc<Event>, now: Duration) {
        // The newest state is held by the index as well; what an event costs is the state it replaced.
        let bytes = event.previous.as_ref().map_or(0, |entry| entry.object().body().len()) + 256;
        self.framed_bytes += event.entry.object().json_len();
        if let Some(lanes) = &mut self.lanes {
            lanes.push(&event);
        }
        self.named.push(&event);
        self.ring.push_back(Kept { event, at: now, bytes });
        self.ring_bytes += bytes;
        while self.framed_bytes > MAX_FRAME_BYTES && self.next_framed() {}
        while let Some(oldest) = self.ring.front() {
            let aged = oldest.at + KEEP_FOR < now && self.ring.len() > KEEP_EVENTS;
            let heavy = self.ring.len() > MAX_EVENTS || self.ring_bytes > MAX_EVENT_BYTES;
            if !aged && !heavy || self.ring.len() == 1 {
                break;
            }
            if self.framed == self.first {
                self.next_framed();
            }
            let gone = self.ring.pop_front().expect("the ring has a front");
            self.ring_bytes -= gone.bytes;
            if let Some(lanes) = &mut self.lanes {
                lanes.pop(&gone.event);
            }
            self.named.pop(&gone.event);
            self.floor = gone.event.revision;
            self.first += 1;
        }
    }

    /// Lets the first event that keeps its frames forget them; whether there was one that is not the newest.
    fn next_framed(&mut self) -> bool {
        let offset = usize::try_from(self.framed - self.first).unwrap_or(usize::MAX);
        let Some(kept) = self.ring.get(offset).filter(|_| offset + 1 < self.ring.len()) else { return false };
        kept.event.close_frames();
        self.framed_bytes -= kept.event.entry.object().json_len();
        self.framed += 1;
        true
    }
}

impl Cursor {
    /// The next events, at most `limit`; empty if there are none yet.
    pub fn take(&mut self, limit: usize) -> Result<Vec<Arc<Event>>, Fallen> {
        let state = self.collection.read();
        let part = match &self.place {
            Place::All => None,
            Place::Lane(value, _) => state.lane(value).map(|lane| (lane.first, &lane.ring)),
            Place::One(key, _) => state.named.get(key).map(|ring| (ring.first, &ring.events)),
        };
        let first = part.map_or(state.first, |(first, _)| first);
        if self.next < first {
            return Err(Fallen);
        }
        let offset = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        let events: Vec<Arc<Event>> = match part {
            Some((_, ring)) => ring.iter().skip(offset).take(limit).cloned().collect(),
            None => state.ring.iter().skip(offset).take(limit).map(|kept| kept.event.clone()).collect(),
        };
        self.next += events.len() as u64;
        Ok(events)
    }

    /// The oldest revision that can be followed from.
    pub fn floor(&self) -> u64 {
        self.collection.floor()
    }

    /// Waits until there are events to take.
    pub async fn ready(&self) {
        let news = match &self.place {
            Place::All => &self.collection.news,
            Place::Lane(_, news) | Place::One(_, news) => news,
        };
        news.after(self.next).await;
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Place::One(key, _) = &self.place {
            self.collection.write().named.leave(key);
        }
    }
}

#[cfg(test)]
mod tests;
