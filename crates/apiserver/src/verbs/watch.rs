//! Following objects: a cursor, a filter and a wake-up.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Tasks};
use machinery::Status;

use super::list::{self, Items, Options};
use crate::cache::{Cursor, Entry, Event, SeenKind};
use crate::core::Core;
use crate::registry::Served;
use crate::selection::Selection;

mod shown;

/// Events handed out at a time: enough to fill a frame, few enough to start sending soon.
const BATCH: usize = 128;
/// Events looked at before other work gets a turn.
const LOOK: usize = 1_024;
/// How often a watcher is told how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch without a limit of its own ends after this, and up to twice this.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Something a watcher is told.
#[derive(Clone, Debug)]
pub enum Item {
    /// An object that was there at the start.
    Initial(Arc<Entry>),
    /// A change.
    Change(SeenKind, Arc<Event>),
    /// A change, and the object as a webhook says that it looks.
    Shown(SeenKind, Arc<Entry>),
    /// Nothing up to this revision is still to come.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Whether it ends the initial events.
        ends_initial: bool,
    },
    /// The watch is over, for this reason.
    Failed(Status),
}

/// A watch in progress.
#[derive(Debug)]
pub struct Watcher {
    core: Arc<Core>,
    selection: Selection,
    initial: Option<Items>,
    cursor: Option<Cursor>,
    /// Events up to here are not news to the client.
    after: u64,
    bookmarks: bool,
    mark_initial_end: bool,
    /// What the initial objects were read at.
    initial_revision: u64,
    failed: Option<Status>,
    /// On the monotonic clock.
    ends_at: Duration,
    bookmark_at: Duration,
    /// It ends in good order when these stop.
    closing: Tasks,
    alarm: Option<Alarm>,
}

/// What wakes a watcher that has no news. It is kept from one event to the next: setting it costs more than an event.
struct Alarm(Pin<Box<dyn Future<Output = Rang> + Send>>);

/// Why an alarm rang.
enum Rang {
    /// The server stops.
    Stopping,
    /// It is time for a bookmark, or for the end.
    Due,
}

impl fmt::Debug for Alarm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Alarm")
    }
}

/// Starts a watch.
pub async fn watch(
    core: &Arc<Core>,
    served: &Arc<Served>,
    namespace: &str,
    options: &Options,
) -> Result<Watcher, Status> {
    let selection = Selection::parse(served, namespace, &options.labels, &options.fields)?;
    let (collection, one, lane) = (served.collection()?, selection.only_key(), selection.lane());
    let asked = options.revision()?;
    let now = core.env.clock.monotonic();
    let lasts = options.timeout.unwrap_or_else(|| {
        DEFAULT_TIMEOUT + Duration::from_secs(core.env.entropy.below(DEFAULT_TIMEOUT.as_secs()))
    });
    let mut watcher = Watcher {
        core: core.clone(),
        selection: selection.clone(),
        initial: None,
        cursor: None,
        after: 0,
        bookmarks: options.bookmarks,
        mark_initial_end: false,
        initial_revision: 0,
        failed: None,
        ends_at: now + lasts,
        bookmark_at: now + BOOKMARK_EVERY,
        closing: core.env.tasks.clone(),
        alarm: None,
    };
    let initial = options.initial_events.unwrap_or(asked.is_none_or(|revision| revision == 0));
    match asked {
        // With sendInitialEvents=false and no version, the watch starts with what happens next.
        None => core.catch_up().await?,
        Some(revision) if revision > 0 && initial => list::wait_until(core, revision).await?,
        Some(_) => {}
    }
    match asked {
        Some(revision) if revision > 0 && !initial => {
            watcher.after = revision;
            let cursor = match (&one, &lane) {
                (Some(key), _) => collection.follow_one_from(key, revision),
                (None, Some(lane)) => collection.follow_lane_from(lane, revision),
                (None, None) => collection.follow_from(revision),
            };
            match cursor {
                Ok(cursor) => watcher.cursor = Some(cursor),
                Err(_) => watcher.failed = Some(too_old(revision, collection.floor())),
            }
        }
        _ => {
            watcher.initial_revision = core.caches.applied();
            let (snapshot, cursor) = match (&one, &lane) {
                (Some(key), _) => collection.follow_one(key),
                (None, Some(lane)) => collection.follow_lane(lane),
                (None, None) => collection.follow(),
            };
            watcher.cursor = Some(cursor);
            if initial {
                let start = one.unwrap_or_else(|| selection.prefix().to_owned());
                let walk = snapshot.starting_at(&start);
                watcher.initial = Some(Items::of(core, walk, &selection, usize::MAX).await?);
                watcher.mark_initial_end = options.initial_events == Some(true);
            }
        }
    }
    Ok(watcher)
}

fn too_old(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

impl Watcher {
    /// The same, for somebody who comes through the doors: it ends when those close.
    pub fn through_doors(self) -> Watcher {
        Watcher { closing: self.core.doors.clone(), ..self }
    }

    /// Waits for what the watcher is to be told next. `None` ends the watch in good order.
    pub async fn next(&mut self) -> Option<Vec<Item>> {
        if let Some(status) = self.failed.take() {
            self.cursor = None;
            return Some(vec![Item::Failed(status)]);
        }
        if let Some(items) = self.next_initial() {
            return Some(items);
        }
        loop {
            if self.is_over() {
                self.cursor = None;
                return None;
            }
            // First how far the cache is, then what is in the ring: then nothing before it can be missing.
            let reached = self.core.caches.applied();
            let (news, looked_at) = match self.take_changes().await {
                Ok(found) => found?,
                Err(status) => {
                    self.cursor = None;
                    return Some(vec![Item::Failed(status)]);
                }
            };
            if !news.is_empty() {
                return Some(news);
            }
            if looked_at > 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let now = self.core.env.clock.monotonic();
            if now >= self.ends_at || self.closing.is_stopping() {
                self.cursor = None;
                return self.bookmarks.then(|| vec![bookmark(reached)]);
            }
            if self.bookmarks && now >= self.bookmark_at {
                self.bookmark_at = now + BOOKMARK_EVERY;
                return Some(vec![bookmark(reached)]);
            }
            self.wait(now).await;
        }
    }

    /// Whether what is watched is shown otherwise by now, or not at all: then the client is to begin anew.
    fn is_over(&self) -> bool {
        let served = self.selection.served();
        if served.custom.is_none() {
            return false;
        }
        let registry = self.core.registry.load();
        let now = registry.find(&served.group, &served.version, &served.plural);
        !now.is_some_and(|now| now.is_same(served))
    }

    fn next_initial(&mut self) -> Option<Vec<Item>> {
        let initial = self.initial.as_mut()?;
        let mut items: Vec<Item> = initial.by_ref().take(BATCH).map(Item::Initial).collect();
        if items.len() < BATCH {
            self.initial = None;
            if self.mark_initial_end && self.bookmarks {
                items.push(Item::Bookmark { revision: self.initial_revision, ends_initial: true });
            }
        }
        (!items.is_empty()).then_some(items)
    }

    /// What the ring has for this watcher, and how many events were looked at. `None` after the end.
    async fn take_changes(&mut self) -> Result<Option<(Vec<Item>, usize)>, Status> {
        let Some(cursor) = self.cursor.as_mut() else { return Ok(None) };
        let mut news = Vec::new();
        let mut looked_at = 0;
        while looked_at < LOOK && news.len() < BATCH {
            let Ok(events) = cursor.take(BATCH) else {
                return Err(too_old(self.after, cursor.floor()));
            };
            if events.is_empty() {
                break;
            }
            looked_at += events.len();
            if self.selection.served().is_shown_by_webhook() {
                let told = shown::changes(&self.core, &self.selection, (events, self.after));
                news.extend(Box::pin(told).await?);
                continue;
            }
            for event in events {
                if event.revision > self.after
                    && let Some(kind) =
                        event.seen_by(|entry| self.selection.matches(&self.selection.view(entry)))
                {
                    news.push(Item::Change(kind, event));
                }
            }
        }
        Ok(Some((news, looked_at)))
    }

    async fn wait(&mut self, now: Duration) {
        let until = if self.bookmarks { self.ends_at.min(self.bookmark_at) } else { self.ends_at };
        let Some(cursor) = &self.cursor else { return };
        let (clock, closing) = (&self.core.env.clock, &self.closing);
        // One that was set before a bookmark rings early, which wakes nobody but this watcher.
        let alarm = self.alarm.get_or_insert_with(|| Alarm::set(clock, closing, until.saturating_sub(now)));
        tokio::select! {
            biased;
            () = cursor.ready() => {}
            rang = alarm.0.as_mut() => {
                self.alarm = None;
                if matches!(rang, Rang::Stopping) {
                    self.ends_at = now;
                }
            }
        }
    }
}

impl Alarm {
    fn set(clock: &Clock, closing: &Tasks, after: Duration) -> Alarm {
        let (stopping, clock) = (closing.stopping(), clock.clone());
        Alarm(Box::pin(async move {
            tokio::select! {
                biased;
                () = stopping => Rang::Stopping,
                () = clock.sleep(after) => Rang::Due,
            }
        }))
    }
}

fn bookmark(revision: u64) -> Item {
    Item::Bookmark { revision, ends_initial: false }
}
