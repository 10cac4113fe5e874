//! A watch: a place in history, a prefix, and a wake-up. It pulls; nobody pushes to it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::core::Core;
use crate::history::{ROWS_AT_A_TIME, Values};
use crate::row::{Row, RowId};
use crate::{BoxFuture, Event, Revision, StoreError, Watch, WatchItem};

/// How many events one item holds at most, unless a single transaction has more. Bounds what a slow watcher clones.
const EVENTS_AT_A_TIME: usize = 1000;

/// A watch of a log.
#[derive(Debug)]
pub(crate) struct LogWatch {
    core: Arc<Core>,
    prefix: Bytes,
    /// Everything up to here was looked at.
    cursor: Revision,
    /// Everything up to here the watcher knows that nothing is still to come.
    told: Option<Revision>,
    wake: watch::Receiver<Revision>,
}

/// What one look at the log gave.
struct Pulled {
    events: Vec<Event>,
    cursor: Revision,
    caught_up: bool,
}

impl LogWatch {
    pub(crate) fn new(core: Arc<Core>, prefix: Bytes, after: Revision) -> LogWatch {
        let wake = core.subscribe();
        LogWatch { core, prefix, cursor: after, told: None, wake }
    }

    async fn pull(&mut self) -> Result<WatchItem, StoreError> {
        loop {
            self.core.check()?;
            // Before looking: what comes while we look wakes us again.
            self.wake.mark_unchanged();
            let pulled = match self.look_at_ring() {
                Some(pulled) => pulled,
                None => self.look_at_log().await?,
            };
            self.cursor = pulled.cursor;
            if let Some(last) = pulled.events.last() {
                self.told = Some(last.revision);
                return Ok(WatchItem::Events(pulled.events));
            }
            if !pulled.caught_up {
                continue;
            }
            if self.told.is_none_or(|told| told < self.cursor) {
                self.told = Some(self.cursor);
                return Ok(WatchItem::Progress(self.cursor));
            }
            if self.wake.changed().await.is_err() {
                return Err(StoreError::Unavailable { detail: "the store was closed".to_owned() });
            }
        }
    }

    /// What the ring holds after the cursor; `None` if it does not reach back that far.
    fn look_at_ring(&self) -> Option<Pulled> {
        let state = self.core.state();
        if self.cursor < state.ring.floor() {
            return None;
        }
        let mut pulled = Pulled { events: Vec::new(), cursor: state.newest, caught_up: true };
        for row in state.ring.after(self.cursor) {
            let full = pulled.events.len() >= EVENTS_AT_A_TIME;
            if full && pulled.events.last().is_some_and(|event| event.revision != row.id.revision()) {
                pulled.cursor = row.id.revision() - 1;
                pulled.caught_up = false;
                break;
            }
            if row.key.starts_with(&self.prefix) {
                pulled.events.push(row.event());
            }
        }
        Some(pulled)
    }

    /// The next part of the log, for a watch that is behind the ring.
    async fn look_at_log(&self) -> Result<Pulled, StoreError> {
        let (cursor, prefix) = (self.cursor, self.prefix.clone());
        let newest = {
            let state = self.core.state();
            state.readable(cursor)?;
            state.newest
        };
        let pulled = self.core.read_log(move |log| {
            let mut rows = log.rows(RowId::after(cursor), ROWS_AT_A_TIME, Values::Read)?;
            let Some(last) = rows.last().map(|row| row.id) else {
                return Ok(Pulled { events: Vec::new(), cursor: newest, caught_up: false });
            };
            // The last transaction may go on beyond what was read. It is finished here, however large it is.
            let rest = log.rows(RowId(last.0 + 1), crate::MAX_WRITES, Values::Read)?;
            rows.extend(rest.into_iter().take_while(|row| row.id.revision() == last.revision()));
            let wanted = rows.iter().filter(|row| row.key.starts_with(&prefix)).map(Row::event);
            Ok(Pulled { events: wanted.collect(), cursor: last.revision(), caught_up: false })
        });
        let pulled = pulled.await?;
        // What was compacted while it was read is not all there.
        self.core.state().readable(cursor)?;
        Ok(pulled)
    }
}

impl Watch for LogWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>> {
        Box::pin(self.pull())
    }
}
