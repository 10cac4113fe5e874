//! An object as the cache holds it: the shared object, and its other wire forms once somebody asked for them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use machinery::{Object, Status};
use smol_str::SmolStr;

/// One revision of one object.
#[derive(Debug)]
pub struct Entry {
    key: SmolStr,
    object: Object,
    fields: OnceLock<Fields>,
    protobuf: OnceLock<Box<[u8]>>,
    others: OnceLock<Box<Mutex<Others>>>,
}

/// The object as other versions show it, newest last; by the number of who shows it.
type Others = Vec<(u64, Arc<Entry>)>;

/// How many other forms of an object are kept: more than resources have versions that are asked for at one time.
const OTHERS_MAX: usize = 4;

/// What may be selected on beside name and namespace: names and values, but for those that are empty.
pub type Fields = Box<[(SmolStr, SmolStr)]>;

impl Entry {
    /// An entry whose other forms are made when they are asked for.
    pub fn new(object: Object) -> Entry {
        Entry {
            key: SmolStr::from(object.header().key()),
            object,
            fields: OnceLock::new(),
            protobuf: OnceLock::new(),
            others: OnceLock::new(),
        }
    }

    /// `namespace/name`, or the name alone for what belongs to the cluster.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The object.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The revision that wrote it.
    pub fn revision(&self) -> u64 {
        self.object.header().revision
    }

    /// Its selectable fields; `make` runs once.
    pub fn fields(&self, make: impl FnOnce(&Object) -> Fields) -> &Fields {
        self.fields.get_or_init(|| make(&self.object))
    }

    /// Its protobuf message without envelope and managed fields; `make` runs once.
    pub fn protobuf(&self, make: impl FnOnce(&Object) -> Box<[u8]>) -> &[u8] {
        self.protobuf.get_or_init(|| make(&self.object))
    }

    /// The same, if somebody asked for it already.
    pub fn known_protobuf(&self) -> Option<&[u8]> {
        self.protobuf.get().map(|message| &**message)
    }

    /// The same object as `number` shows it; `make` runs once for each number, as long as it is remembered.
    pub fn in_other_version(
        self: &Arc<Self>,
        number: u64,
        make: impl FnOnce(&Object) -> Result<Object, Status>,
    ) -> Arc<Entry> {
        let others = self.others.get_or_init(Box::default);
        // An entry is added in one step, so the list is whole even if somebody panicked beside it.
        let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = others.iter().find(|(other, _)| *other == number) {
            return known.clone();
        }
        let converted = match make(&self.object) {
            Ok(object) => Arc::new(Entry::new(object)),
            Err(error) => {
                tracing::error!(key = %self.key, %error, "an object cannot be shown in another version");
                Arc::new(Entry::new(self.object.clone()))
            }
        };
        keep(&mut others, number, converted.clone());
        converted
    }

    /// The same object as `number` shows it, if somebody kept that.
    pub fn known_in_other_version(&self, number: u64) -> Option<Arc<Entry>> {
        let others = self.others.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        others.iter().find(|(other, _)| *other == number).map(|(_, known)| known.clone())
    }

    /// Keeps how `number` shows the object, for the next who asks.
    pub fn keep_in_other_version(&self, number: u64, shown: Arc<Entry>) {
        let others = self.others.get_or_init(Box::default);
        let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|(other, _)| *other != number);
        keep(&mut others, number, shown);
    }

    /// The whole object as JSON, with room for the line feed that answers end with.
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.object.json_len() + 2);
        self.object.write_json(&mut out);
        out
    }

    #[cfg(test)]
    pub(super) fn for_test(key: &str, revision: u64) -> Entry {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let metadata = if namespace.is_empty() {
            format!("{{\"name\":\"{name}\"}}")
        } else {
            format!("{{\"name\":\"{name}\",\"namespace\":\"{namespace}\"}}")
        };
        let stored = format!("{{\"kind\":\"K\",\"apiVersion\":\"v1\",\"metadata\":{metadata}}}");
        Entry::new(Object::from_stored(stored.as_bytes(), revision).expect("a stored form"))
    }
}

fn keep(others: &mut Others, number: u64, shown: Arc<Entry>) {
    if others.len() == OTHERS_MAX {
        others.remove(0);
    }
    others.push((number, shown));
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It is different.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object, kept for those who watch.
#[derive(Debug)]
pub struct Event {
    /// The revision of the change.
    pub revision: u64,
    /// What happened.
    pub change: Change,
    /// The object after the change; for a deletion its last state, with the revision of its end.
    pub entry: Arc<Entry>,
    /// The object before the change, if there was one.
    pub previous: Option<Arc<Entry>>,
    frames: Mutex<Frames>,
}

/// An event as it goes to watchers, by type and encoding (whether it is protobuf); made for the first of them.
#[derive(Debug, Default)]
struct Frames {
    made: Vec<(SeenKind, bool, Bytes)>,
    /// Most watchers are past the event: those that are not make frames of their own.
    closed: bool,
}

/// The type of an event as one watcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenKind {
    /// The object is new, or began to match.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone.
    Deleted,
    /// The object is there, and no longer matches: its last matching state counts.
    Gone,
}

impl SeenKind {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SeenKind::Added => "ADDED",
            SeenKind::Modified => "MODIFIED",
            SeenKind::Deleted | SeenKind::Gone => "DELETED",
        }
    }
}

impl Event {
    /// An event.
    pub fn new(revision: u64, change: Change, entry: Arc<Entry>, previous: Option<Arc<Entry>>) -> Event {
        Event { revision, change, entry, previous, frames: Mutex::default() }
    }

    /// How a watcher sees the event whose selector is `matches`; `None` if it is none of its business.
    pub fn seen_by(&self, matches: impl Fn(&Arc<Entry>) -> bool) -> Option<SeenKind> {
        let before = self.previous.as_ref().is_some_and(&matches);
        if self.change == Change::Deleted {
            return before.then_some(SeenKind::Deleted);
        }
        match (before, matches(&self.entry)) {
            (false, true) => Some(SeenKind::Added),
            (true, true) => Some(SeenKind::Modified),
            (true, false) => Some(SeenKind::Gone),
            (false, false) => None,
        }
    }

    /// The state of the object that a watcher is shown.
    pub fn shown(&self, kind: SeenKind) -> Arc<Entry> {
        match (kind, &self.previous) {
            (SeenKind::Gone, Some(previous)) => crate::stored::at_revision(previous, self.revision),
            _ => self.entry.clone(),
        }
    }

    /// The frame that watchers of an encoding share for a type, if one of them made it already.
    pub fn frame(&self, kind: SeenKind, protobuf: bool) -> Option<Bytes> {
        let frames = self.frames();
        let made = frames.made.iter().find(|(of, encoding, _)| (*of, *encoding) == (kind, protobuf));
        made.map(|(_, _, frame)| frame.clone())
    }

    /// Keeps a frame for the other watchers.
    pub fn keep_frame(&self, kind: SeenKind, protobuf: bool, frame: Bytes) {
        let mut frames = self.frames();
        // Somebody else may have been faster; then both frames are the same.
        if !frames.closed && !frames.made.iter().any(|(of, encoding, _)| (*of, *encoding) == (kind, protobuf))
        {
            frames.made.push((kind, protobuf, frame));
        }
    }

    /// Forgets the frames, and keeps none any more.
    pub fn close_frames(&self) {
        *self.frames() = Frames { made: Vec::new(), closed: true };
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        // A frame is added in one step, so they are whole even if somebody panicked beside them.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_shared_until_most_watchers_are_past_the_event() {
        let event = Event::new(1, Change::Created, Arc::new(Entry::for_test("n/a", 1)), None);
        assert_eq!(event.frame(SeenKind::Added, false), None);
        event.keep_frame(SeenKind::Added, false, Bytes::from_static(b"json"));
        event.keep_frame(SeenKind::Added, true, Bytes::from_static(b"protobuf"));
        assert_eq!(event.frame(SeenKind::Added, true).as_deref(), Some(b"protobuf".as_slice()));
        assert_eq!(event.frame(SeenKind::Modified, false), None);
        event.close_frames();
        event.keep_frame(SeenKind::Added, false, Bytes::from_static(b"json"));
        assert_eq!(event.frame(SeenKind::Added, false), None);
    }

    #[test]
    fn selectors_turn_changes_into_comings_and_goings() {
        let old = Arc::new(Entry::for_test("n/a", 1));
        let new = Arc::new(Entry::for_test("n/a", 2));
        let modified = Event::new(2, Change::Modified, new.clone(), Some(old.clone()));
        assert_eq!(modified.seen_by(|_| true), Some(SeenKind::Modified));
        assert_eq!(modified.seen_by(|entry| entry.revision() == 2), Some(SeenKind::Added));
        assert_eq!(modified.seen_by(|entry| entry.revision() == 1), Some(SeenKind::Gone));
        assert_eq!(modified.seen_by(|_| false), None);
        let created = Event::new(1, Change::Created, old.clone(), None);
        assert_eq!(created.seen_by(|_| true), Some(SeenKind::Added));
        let deleted = Event::new(2, Change::Deleted, new, Some(old));
        assert_eq!(deleted.seen_by(|entry| entry.revision() == 1), Some(SeenKind::Deleted));
        assert_eq!(deleted.seen_by(|entry| entry.revision() == 2), None);
    }
}
