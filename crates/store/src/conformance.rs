//! What every backend must do, whatever it is made of. Each backend's tests run all of these.

pub(crate) mod linear;
pub(crate) mod model;
pub(crate) mod reads;
pub(crate) mod transactions;
pub(crate) mod watches;

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Event, Guard, KeyValue, Options, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch,
    WatchItem, Write,
};

/// A store under test, with what must outlive it.
pub(crate) trait Backend {
    /// Makes one. Time may be virtual.
    async fn make(options: Options) -> Self;

    /// The store.
    fn store(&self) -> &dyn Store;

    /// Whether a watch learns of revisions that no event of its own told about. Old versions of etcd cannot do it.
    async fn tells_progress(&self) -> bool {
        true
    }

    /// Whether what a transaction writes before the rest has a revision of its own.
    const NUMBERS_APART: bool = true;
}

/// Options under which everything that can fall out of memory does so at once, and expired keys go soon.
pub(crate) fn tight() -> Options {
    Options { hot_bytes: 0, sweep_interval: Duration::from_millis(20), ..Options::default() }
}

/// Makes a test of every case for a backend. `start_paused = true` makes time virtual.
macro_rules! conformance {
    ($backend:ty $(, $time:ident = $paused:literal)?) => {
        $crate::conformance::cases! { $backend $(, $time = $paused)? =>
            transactions: revisions_grow_by_one, a_transaction_is_all_or_nothing, guards_decide, what_goes_before_never_goes_alone,
                deletions_take_revisions, what_changes_nothing_takes_no_revision,
                impossible_transactions_are_refused, concurrent_writers_get_one_order, a_recreated_key_is_new,
                keys_and_values_are_any_bytes, expired_keys_go, a_rewritten_key_does_not_expire;
            reads: keys_come_in_byte_order, limits_leave_more, any_retained_revision_is_readable,
                the_future_and_the_forgotten_are_refused, compaction_keeps_the_state,
                large_transactions_are_forgotten_whole, history_is_forgotten_in_time;
            watches: events_come_in_order_once, prefixes_are_kept_apart, transactions_arrive_whole,
                a_watch_resumes_anywhere, progress_is_told, many_watchers_see_the_same,
                a_slow_watcher_misses_nothing, a_watch_of_the_forgotten_is_refused;
            model: random_histories_match_the_model;
            linear: concurrent_histories_are_linearizable;
        }
    };
}

macro_rules! cases {
    ($backend:ty, $time:ident = $paused:literal => $($group:ident: $($case:ident),+;)+) => {
        $(mod $group {
            use super::*;
            $(#[tokio::test($time = $paused)]
            async fn $case() {
                $crate::conformance::$group::$case::<$backend>().await;
            })+
        })+
    };
    ($backend:ty => $($group:ident: $($case:ident),+;)+) => {
        $(mod $group {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                $crate::conformance::$group::$case::<$backend>().await;
            })+
        })+
    };
}

pub(crate) use {cases, conformance};

/// Bytes of a text.
fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: bytes(key), value: bytes(value), ttl_secs: None }
}

fn delete(key: &str) -> Write {
    Write::Delete(bytes(key))
}

/// Commits writes without guards, which must succeed.
async fn write(store: &dyn Store, writes: Vec<Write>) -> Revision {
    match store.commit(Txn { writes, ..Txn::default() }).await {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("a write without guards must happen: {other:?}"),
    }
}

async fn read(store: &dyn Store, prefix: &str, revision: Option<Revision>) -> Result<Page, StoreError> {
    store.range(Query { revision, ..Query::prefix(prefix.as_bytes()) }).await
}

/// Keys and values as text.
fn texts(items: &[KeyValue]) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("tests use text here");
    items.iter().map(|item| (text(&item.key), text(&item.value))).collect()
}

/// Takes events until the watch has told of everything up to `until`.
async fn events_until(watch: &mut dyn Watch, until: Revision) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let told = match watch.next().await.expect("the watch goes on") {
            WatchItem::Events(more) => {
                events.extend(more);
                events.last().expect("an item has events").revision
            }
            WatchItem::Progress(revision) => revision,
        };
        if told >= until {
            return events;
        }
    }
}
