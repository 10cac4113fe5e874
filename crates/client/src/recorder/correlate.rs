//! Which event becomes a new object, which only counts, and which is too much.

use std::collections::BTreeSet;
use std::time::Duration;

use env::WallTime;
use serde_json::Value;

use super::recent::Recent;
use super::{About, EventKind, Source, forms};
use crate::Key;
use crate::plan::Note;

/// Different messages of one kind about one object within [`SIMILAR_WITHIN`] before they are combined.
const SIMILAR_AT_MOST: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// Events about one object from one source: so many at once, and then one in this time.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// A series ends when nothing was added for so long.
const SERIES_ENDS_AFTER: Duration = Duration::from_secs(360);
/// A series that goes on is written anew this often.
const SERIES_REFRESH: Duration = Duration::from_secs(1_800);

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sending {
    pub(super) key: Key,
    /// The event as a new object.
    pub(super) create: Value,
    /// If it only counts: what changes.
    pub(super) patch: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Similar {
    about: About,
    kind: EventKind,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Same {
    similar: Similar,
    /// Empty when messages are combined.
    message: String,
}

struct Group {
    messages: BTreeSet<String>,
    last: WallTime,
}

#[derive(Clone)]
struct Logged {
    count: i64,
    first: WallTime,
    last: WallTime,
    written: WallTime,
    name: String,
}

struct Bucket {
    tokens: f64,
    at: WallTime,
}

pub(super) struct Correlator {
    source: Source,
    groups: Recent<Similar, Group>,
    logged: Recent<Same, Option<Logged>>,
    buckets: Recent<About, Bucket>,
    last_named: i64,
}

impl Correlator {
    pub(super) fn new(source: Source) -> Correlator {
        Correlator {
            source,
            groups: Recent::new(),
            logged: Recent::new(),
            buckets: Recent::new(),
            last_named: 0,
        }
    }

    pub(super) fn is_series(&self) -> bool {
        !self.source.action.is_empty()
    }

    /// What an event leads to; `None` if nothing is to be written.
    pub(super) fn observe(&mut self, note: &Note, now: WallTime) -> Option<Sending> {
        // The revision an object had does not make it another object.
        let about = About { resource_version: String::new(), ..note.about.clone() };
        let similar = Similar { about, kind: note.kind, reason: note.reason };
        if self.is_series() { self.series(note, similar, now) } else { self.counted(note, similar, now) }
    }

    fn counted(&mut self, note: &Note, similar: Similar, now: WallTime) -> Option<Sending> {
        if !self.take_token(&similar.about, now) {
            return None;
        }
        let combined = self.is_combined(&similar, &note.message, now);
        let (same, message) = if combined {
            (
                Same { similar, message: String::new() },
                format!("(combined from similar events): {}", note.message),
            )
        } else {
            (Same { similar, message: note.message.clone() }, note.message.clone())
        };
        let note = Note { message, ..note.clone() };
        let known = self.logged.touch(&same, || None);
        let before = known.clone();
        let logged = match &before {
            Some(logged) => Logged { count: logged.count + 1, last: now, written: now, ..logged.clone() },
            None => {
                self.last_named = now.0.max(self.last_named + 1);
                Logged::new(&note, now, self.last_named)
            }
        };
        *known = Some(logged.clone());
        let key = Key::new(forms::namespace(&note), &logged.name);
        let spans = forms::Span { first: logged.first, last: logged.last, count: logged.count };
        let create = forms::core(&self.source, &note, &logged.name, spans);
        let patch = before.is_some().then(|| forms::core_patch(&note, spans));
        Some(Sending { key, create, patch })
    }

    fn series(&mut self, note: &Note, similar: Similar, now: WallTime) -> Option<Sending> {
        let known = self.logged.touch(&Same { similar, message: String::new() }, || None);
        if known.as_ref().is_some_and(|logged| now.since(logged.last) > SERIES_ENDS_AFTER) {
            *known = None;
        }
        let (logged, patch) = match known.take() {
            None => {
                self.last_named = now.0.max(self.last_named + 1);
                (Logged::new(note, now, self.last_named), None)
            }
            Some(logged) => {
                let is_due = logged.count == 1 || now.since(logged.written) >= SERIES_REFRESH;
                let written = if is_due { now } else { logged.written };
                let logged = Logged { count: logged.count + 1, last: now, written, ..logged };
                if !is_due {
                    *known = Some(logged);
                    return None;
                }
                let patch = forms::series_patch(logged.count, now);
                (logged, Some(patch))
            }
        };
        *known = Some(logged.clone());
        let key = Key::new(forms::namespace(note), &logged.name);
        let create = forms::series(&self.source, note, &logged.name, now);
        Some(Sending { key, create, patch })
    }

    fn take_token(&mut self, about: &About, now: WallTime) -> bool {
        let bucket = self.buckets.touch(about, || Bucket { tokens: BURST, at: now });
        let refilled = now.since(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + refilled).min(BURST);
        bucket.at = now;
        let has_token = bucket.tokens >= 1.0;
        if has_token {
            bucket.tokens -= 1.0;
        }
        has_token
    }

    fn is_combined(&mut self, similar: &Similar, message: &str, now: WallTime) -> bool {
        let group = self.groups.touch(similar, || Group { messages: BTreeSet::new(), last: now });
        if now.since(group.last) > SIMILAR_WITHIN {
            group.messages.clear();
        }
        group.last = now;
        group.messages.insert(message.to_owned());
        if group.messages.len() < SIMILAR_AT_MOST {
            return false;
        }
        group.messages.pop_first();
        true
    }
}

impl Logged {
    /// Named after its object and the time, or a moment later if another has that name.
    fn new(note: &Note, now: WallTime, named: i64) -> Logged {
        let name = format!("{}.{named:x}", note.about.name);
        Logged { count: 1, first: now, last: now, written: now, name }
    }
}
