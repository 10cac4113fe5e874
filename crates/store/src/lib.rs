//! The store's port: a revisioned log of keys and bytes that never loses an acknowledged write.
//!
//! It knows nothing of objects. Its contract, which one conformance suite ([`conformance`]) checks on every backend:
//!
//! * **One revision.** Each committed transaction gets the next revision of the whole store; deletions too. Revisions
//!   only grow, through restarts and restores.
//! * **Transactions** are compare-and-set: every [`Guard`] must hold, then all [`Write`]s happen at one revision (those of
//!   [`Txn::before`] at the one before it), or none does. When `commit` has answered `Ok`, the writes survive `kill -9` and loss of power.
//! * **Reads** see one revision: the newest, or any that is still retained. Keys come in byte order.
//! * **Watches** deliver every event of a prefix after a given revision: in order, once, whole transactions at a time,
//!   and can be resumed from any retained revision. A reader that asks for the forgotten past is told
//!   [`StoreError::Compacted`] with the oldest revision it may ask for.
//! * **Cost.** A write costs the same with one watcher or ten thousand, but each watcher is woken: whoever follows many
//!   prefixes asks for one watch of all of them and takes it apart. Only values written last are sure to be in memory.

mod checksum;
#[cfg(test)]
mod conformance;
mod core;
pub mod embedded;
pub mod etcd;
mod history;
mod index;
pub mod memory;
pub mod migrate;
mod plan;
mod retention;
mod ring;
mod row;
mod state;
mod watch;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use crate::core::Options;

/// A point in the store's history. Zero means "before anything was written".
pub type Revision = u64;

/// What an asynchronous call of a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A value as it stood at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The revision that created the key (since it was last deleted).
    pub created: Revision,
    /// The revision that wrote this value.
    pub modified: Revision,
}

/// What must hold for a transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(Bytes),
    /// The key exists and was last written at this revision.
    ModifiedAt(Bytes, Revision),
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
        /// Seconds after which the store deletes it by itself: later by at most the sweep interval, and in etcd by at
        /// most a twentieth, but not before the few seconds that etcd takes at least.
        ttl_secs: Option<u32>,
    },
    /// Removes a key. Removing a key that does not exist changes nothing.
    Delete(Bytes),
}

/// How many writes one transaction may hold. Row numbers keep twelve bits for the place in a transaction.
pub const MAX_WRITES: usize = 4096;

/// A compare-and-set transaction. A key may be written once in it, and it holds at most [`MAX_WRITES`] writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All of these must hold…
    pub guards: Vec<Guard>,
    /// …for all of these to happen.
    pub writes: Vec<Write>,
    /// And these, just before: at a revision of their own where the store can tell the two apart (etcd cannot), but
    /// never without the others.
    pub before: Vec<Write>,
}

impl Txn {
    /// All that it writes, in order.
    pub fn all_writes(&self) -> impl Iterator<Item = &Write> {
        self.before.iter().chain(&self.writes)
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened, at this revision. (It is that of [`Txn::writes`]. What changes nothing takes no revision of its own: then it is the newest.)
    Committed(Revision),
    /// A guard did not hold: the index of the first such guard, and what its key holds now.
    Conflict {
        /// Index into [`Txn::guards`].
        guard: usize,
        /// The key as it stands.
        current: Option<KeyValue>,
    },
}

/// Which keys to read.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The first key, inclusive.
    pub start: Bytes,
    /// The first key no longer included; empty means "to the end".
    pub end: Bytes,
    /// At most this many; zero means all.
    pub limit: usize,
    /// As of this revision; `None` means the newest.
    pub revision: Option<Revision>,
}

impl Query {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Query {
        Query { start: Bytes::copy_from_slice(prefix), end: prefix_end(prefix), limit: 0, revision: None }
    }
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What was found, in key order.
    pub items: Vec<KeyValue>,
    /// Whether keys were left out because of the limit.
    pub more: bool,
    /// The revision the answer is true for.
    pub revision: Revision,
}

/// One change as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the transaction.
    pub revision: Revision,
    /// The key.
    pub key: Bytes,
    /// What it holds now; `None` for a deletion.
    pub value: Option<KeyValue>,
    /// If the key existed before: the revision that wrote what this event replaced. Who needs the old value has it
    /// from the event of that revision; keeping all of them here would keep each value in memory twice.
    pub previous: Option<Revision>,
}

/// Something a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// All events of one or more whole transactions, in order. Nothing before or of the last one's revision is still
    /// to come.
    Events(Vec<Event>),
    /// Nothing up to and including this revision is still to come. Sent whenever the watch has caught up with a
    /// revision that no event of its own told about.
    Progress(Revision),
}

/// A stream of changes; dropped, it costs nothing more.
pub trait Watch: Send {
    /// Waits for the next item. An error ends the watch.
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>>;
}

/// A revisioned key-value log. See the module's contract.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Carries a transaction out if its guards hold.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// Reads one key as of now.
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>>;

    /// Reads keys in order.
    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Follows all keys that begin with `prefix`, from the first event after `after`. The watch is registered when the
    /// future resolves: no event after that point is missed. It sends [`WatchItem::Progress`] once it has caught up.
    fn watch(&self, prefix: Bytes, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>>;

    /// The newest revision that is readable.
    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Forgets history before `revision`; the state at `revision` stays readable.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Why the store could not answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The asked revision is forgotten.
    #[error("revision {asked} was compacted; the oldest readable one is {oldest}")]
    Compacted {
        /// What was asked for.
        asked: Revision,
        /// What may be asked for.
        oldest: Revision,
    },
    /// The asked revision has not happened yet.
    #[error("revision {asked} lies in the future; the newest is {newest}")]
    Future {
        /// What was asked for.
        asked: Revision,
        /// The newest there is.
        newest: Revision,
    },
    /// No space on the disk: reads go on, writes are refused until there is room again.
    #[error("the disk is full: writes are refused until there is room in {path}")]
    DiskFull {
        /// Where the data is.
        path: String,
    },
    /// The data on disk is not what was written.
    #[error("the data in {path} is damaged ({detail}); restore a backup with `ironclad restore`")]
    Corrupt {
        /// Where the data is.
        path: String,
        /// What was found.
        detail: String,
    },
    /// Another process uses the same data.
    #[error("{path} is in use by another process; stop it first with `ironclad down`")]
    InUse {
        /// Where the data is.
        path: String,
    },
    /// The transaction cannot be carried out by any store.
    #[error("the transaction is not valid: {detail}")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
    /// It is not known whether the transaction happened (an etcd connection broke, say).
    #[error("the outcome of the write is unknown: {detail}")]
    Unknown {
        /// What went wrong.
        detail: String,
    },
    /// A value could not be sealed, or what is stored cannot be opened. Stores know nothing of that: it comes from what
    /// stands between them and whoever reads.
    #[error("{detail}")]
    Seal {
        /// What went wrong.
        detail: String,
    },
    /// The store cannot be reached or was stopped.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What went wrong.
        detail: String,
    },
}

/// The first key after all keys that begin with `prefix`; empty if there is none.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::new()
}
