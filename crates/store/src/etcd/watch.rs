//! A watch of etcd: a conversation with one member, begun anew with another when it breaks off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::etcd::Shared;
use crate::etcd::connection::{Connection, Conversation, method};
use crate::etcd::failure::{Failure, Repeat};
use crate::etcd::message::{self, Change, Told};
use crate::{BoxFuture, Event, Revision, StoreError, Watch, WatchItem};

/// How long what is known to have happened is waited for before the member is asked whether there is anything to tell.
/// Mostly the events themselves come first.
const ASK_AFTER: Duration = Duration::from_millis(10);
/// How soon it is asked again: a member that is still sending answers nothing.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait before another member is tried, and for how long.
const PAUSE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(15);

/// A watch of one prefix.
#[derive(Debug)]
pub(super) struct EtcdWatch {
    shared: Arc<Shared>,
    prefix: Bytes,
    /// Everything up to here was told, or is known to be nothing.
    cursor: Revision,
    /// Whether anything was told at all.
    told: bool,
    talk: Option<Talk>,
    /// The newest revision anybody here has heard of.
    seen: watch::Receiver<Revision>,
}

#[derive(Debug)]
struct Talk {
    connection: Arc<Connection>,
    conversation: Conversation,
    /// The first part of transactions whose rest is still to come.
    part: Vec<Change>,
    ask_after: Duration,
}

/// What came.
enum Heard {
    Message(Bytes),
    /// Somebody heard of a newer revision.
    Newer,
    /// It has been silent for long enough.
    Silence,
}

impl EtcdWatch {
    /// A watch from the first event after `after`. Nothing is sent before it is asked for the next item.
    pub(super) fn new(shared: Arc<Shared>, prefix: Bytes, after: Revision) -> EtcdWatch {
        let seen = shared.seen.subscribe();
        EtcdWatch { shared, prefix, cursor: after, told: false, talk: None, seen }
    }

    async fn pull(&mut self) -> Result<WatchItem, StoreError> {
        let clock = self.shared.env.clock.clone();
        let mut broken_since = None;
        loop {
            match self.listen().await {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => broken_since = None,
                Err(Ended::For(error)) => return Err(error),
                Err(Ended::Broken(failure)) => {
                    if let Some(talk) = self.talk.take() {
                        self.shared.cluster.leave(&talk.connection);
                    }
                    let now = clock.monotonic();
                    if now - *broken_since.get_or_insert(now) > LIMIT {
                        return Err(failure.into_error(&self.shared.cluster.place(), Repeat::Freely));
                    }
                    clock.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes what comes next. `None` if it tells nothing.
    async fn listen(&mut self) -> Result<Option<WatchItem>, Ended> {
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => self.begin().await?,
        };
        let heard = self.hear(&mut talk).await;
        let talk = self.talk.insert(talk);
        match heard? {
            Heard::Newer => Ok(None),
            Heard::Silence => {
                talk.conversation.ask(&message::progress());
                talk.ask_after = ASK_AGAIN;
                Ok(None)
            }
            Heard::Message(message) => {
                let told = Told::read(message).map_err(Failure::from)?;
                self.take(told)
            }
        }
    }

    async fn begin(&self) -> Result<Talk, Ended> {
        let place = &self.shared.place;
        let (key, end) = place.span(&self.prefix, &crate::prefix_end(&self.prefix));
        // One revision earlier than needed: etcd takes it for the oldest although its events may not be whole.
        let request = message::watch(&key, &end, place.origin.to_etcd(self.cursor));
        let connection = self.shared.cluster.connection().await?;
        let conversation = match connection.converse(method::WATCH, &request).await {
            Ok(conversation) => conversation,
            Err(failure) => {
                self.shared.cluster.leave(&connection);
                return Err(failure.into());
            }
        };
        Ok(Talk { connection, conversation, part: Vec::new(), ask_after: ASK_AFTER })
    }

    /// Waits for a message, or for the moment to ask for one. Nothing is lost if the future is dropped.
    async fn hear(&mut self, talk: &mut Talk) -> Result<Heard, Failure> {
        let behind = *self.seen.borrow_and_update() > self.cursor;
        let may_ask = behind && talk.connection.tells_progress;
        tokio::select! {
            biased;
            message = talk.conversation.next() => message.map(Heard::Message),
            changed = self.seen.changed(), if !may_ask => match changed {
                Ok(()) => Ok(Heard::Newer),
                Err(_) => Err(Failure::Broken("the store was closed".to_owned())),
            },
            () = self.shared.env.clock.sleep(talk.ask_after), if may_ask => Ok(Heard::Silence),
        }
    }

    fn take(&mut self, told: Told) -> Result<Option<WatchItem>, Ended> {
        let origin = self.shared.place.origin;
        if told.compacted > 0 {
            let oldest = origin.to_store(told.compacted);
            return Err(Ended::For(StoreError::Compacted { asked: self.cursor, oldest }));
        }
        if told.canceled {
            return Err(Failure::Broken(format!("the watch was ended: {}", told.reason)).into());
        }
        let revision = self.shared.observe(told.revision);
        let Some(talk) = &mut self.talk else { return Ok(None) };
        talk.part.extend(told.changes);
        if told.fragment {
            return Ok(None);
        }
        let changes = std::mem::take(&mut talk.part);
        if changes.is_empty() {
            // A watch that was just begun says how far etcd is, not how far the watch is.
            let caught_up = !told.created || revision <= self.cursor;
            let news = revision > self.cursor || !self.told;
            if !caught_up || !news {
                return Ok(None);
            }
            self.cursor = self.cursor.max(revision);
            self.told = true;
            talk.ask_after = ASK_AFTER;
            return Ok(Some(WatchItem::Progress(self.cursor)));
        }
        let cursor = self.cursor;
        let events = changes.into_iter().filter(|change| origin.to_store(change.pair.modified) > cursor);
        let events: Vec<Event> = events
            .map(|change| self.shared.place.event(change))
            .collect::<Result<_, _>>()
            .map_err(Ended::For)?;
        let Some(last) = events.last().map(|event| event.revision) else { return Ok(None) };
        self.cursor = last;
        self.told = true;
        if let Some(talk) = &mut self.talk {
            talk.ask_after = ASK_AFTER;
        }
        Ok(Some(WatchItem::Events(events)))
    }
}

/// Why nothing more comes.
enum Ended {
    /// Somebody else may be asked.
    Broken(Failure),
    /// For good.
    For(StoreError),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Broken(failure)
    }
}

impl Watch for EtcdWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>> {
        Box::pin(self.pull())
    }
}

/// The oldest revision that etcd still knows, after it has said that another is forgotten: a watch from the very
/// beginning is told.
pub(super) async fn oldest(shared: &Arc<Shared>) -> Result<Revision, StoreError> {
    let origin_key = shared.place.origin_key();
    let mut talk = None;
    let asking = async {
        loop {
            let connection = shared.cluster.connection().await?;
            let conversation =
                connection.converse(method::WATCH, &message::watch(origin_key, b"", 1)).await?;
            let conversation = talk.insert(conversation);
            loop {
                let told = Told::read(conversation.next().await?)?;
                if told.compacted > 0 {
                    return Ok::<Revision, Failure>(shared.place.origin.to_store(told.compacted));
                }
                if told.canceled {
                    break;
                }
            }
            shared.cluster.leave(&connection);
        }
    };
    match shared.env.clock.timeout(LIMIT, asking).await {
        Some(Ok(oldest)) => Ok(oldest),
        Some(Err(failure)) => Err(failure.into_error(&shared.cluster.place(), Repeat::Freely)),
        None => Err(StoreError::Unavailable {
            detail: format!("{} does not say what it still knows", shared.cluster.place()),
        }),
    }
}
