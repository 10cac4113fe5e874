//! The conformance suite on real members of etcd, and what only etcd can do to a store.

mod faults;
mod members;
mod moves;
mod partitions;
mod secure;

use std::sync::{Mutex, PoisonError};

use env::Env;

use super::*;
use crate::conformance::{Backend, conformance, tight};
use crate::{Guard, WatchItem, Write};
use members::Members;

/// Members that a test has left, for the next one: starting them takes longer than most tests.
static IDLE: Mutex<Vec<Members>> = Mutex::new(Vec::new());

/// A store on a member of its own.
struct OnOneMember {
    store: Arc<Etcd>,
    members: Option<Members>,
}

impl Backend for OnOneMember {
    // A transaction of etcd has one revision.
    const NUMBERS_APART: bool = false;

    async fn make(options: Options) -> OnOneMember {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let members = idle.unwrap_or_else(|| Members::start(1, &[]));
        let config = members.config(0, &fresh_prefix());
        OnOneMember { store: open_patiently(config, options).await, members: Some(members) }
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    async fn tells_progress(&self) -> bool {
        self.store.shared.cluster.connection().await.expect("a connection").tells_progress
    }
}

impl Drop for OnOneMember {
    fn drop(&mut self) {
        // After a failure nobody knows what is left there.
        if !std::thread::panicking() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.members.take());
        }
    }
}

conformance!(OnOneMember);

/// A prefix that no other test has.
fn fresh_prefix() -> String {
    format!("/test/{}", Env::real().entropy.uuid())
}

/// Opens a store as soon as a member is ready for it.
async fn open_patiently(config: Config, options: Options) -> Arc<Etcd> {
    let env = Env::real();
    let start = env.clock.monotonic();
    loop {
        match Etcd::open(config.clone(), options.clone(), env.clone()).await {
            Ok(store) => return store,
            Err(error) => {
                let waited = env.clock.monotonic() - start;
                assert!(waited < std::time::Duration::from_secs(120), "etcd does not get ready: {error}");
            }
        }
    }
}

fn put(key: &str, value: &str) -> Txn {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    Txn { writes: vec![Write::Put { key, value, ttl_secs: None }], ..Txn::default() }
}

#[tokio::test]
async fn two_prefixes_are_two_stores_and_both_tell_the_truth() {
    let backend = OnOneMember::make(tight()).await;
    let config = backend.members.as_ref().expect("until it is dropped").config(0, &fresh_prefix());
    let (one, two) = (&backend.store, open_patiently(config.clone(), tight()).await);
    let first = one.commit(put("a", "1")).await.expect("a write");
    assert_eq!(first, Outcome::Committed(2), "making the other store took a revision");
    two.commit(put("a", "2")).await.expect("a write");
    let value = |store: Arc<Etcd>| async move { store.get(Bytes::from_static(b"a")).await.expect("a read") };
    assert_eq!(value(one.clone()).await.expect("it is there").value, "1");
    assert_eq!(value(two.clone()).await.expect("it is there").value, "2");
    // The same prefix is the same store, with the same count.
    let again = open_patiently(config, tight()).await;
    assert_eq!(again.revision().await, two.revision().await);
    assert_eq!(value(again).await, value(two).await);
}

#[tokio::test]
async fn pages_are_of_one_moment_however_many_there_are() {
    let backend = OnOneMember::make(tight()).await;
    let keys = 2 * PAGE + 17;
    let writes = |value: &str| {
        let put = |number: usize| Write::Put {
            key: Bytes::from(format!("k{number:05}")),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ttl_secs: None,
        };
        Txn { writes: (0..keys).map(put).collect(), ..Txn::default() }
    };
    backend.store.commit(writes("0")).await.expect("a write");
    let reading = async {
        for _ in 0..20 {
            let page = backend.store.range(Query::prefix(b"k")).await.expect("a read");
            assert_eq!((page.items.len(), page.more), (keys, false));
            let same = page.items.iter().all(|item| item.value == page.items[0].value);
            assert!(same, "half of a transaction was read");
        }
    };
    let writing = async {
        for round in 1..20 {
            backend.store.commit(writes(&round.to_string())).await.expect("a write");
        }
    };
    tokio::join!(reading, writing);
    let limited = Query { limit: PAGE + 3, ..Query::prefix(b"k") };
    let page = backend.store.range(limited).await.expect("a read");
    assert_eq!((page.items.len(), page.more), (PAGE + 3, true));
}

#[tokio::test]
async fn keys_that_go_by_themselves_share_leases() {
    let backend = OnOneMember::make(tight()).await;
    let store = &backend.store;
    for number in 0..20 {
        let key = Bytes::from(format!("event-{number}"));
        let write = Write::Put { key, value: Bytes::new(), ttl_secs: Some(3600) };
        store.commit(Txn { writes: vec![write], ..Txn::default() }).await.expect("a write");
    }
    let root = &store.shared.place.root;
    let end = crate::prefix_end(root);
    let range = Range { key: root, end: &end, ..Range::default() };
    let found = store.shared.find(range).await.expect("a read").pairs;
    assert!(found.len() == 20 && found.iter().all(|pair| pair.lease == found[0].lease && pair.lease != 0));
    let left = lease::seconds_left(&store.shared.cluster, found[0].lease).await.expect("an answer");
    assert!(left.is_some_and(|left| (3600..=3660).contains(&left)), "{left:?}");
}

#[tokio::test]
async fn others_revisions_reach_a_quiet_prefix() {
    let backend = OnOneMember::make(tight()).await;
    if !backend.tells_progress().await {
        println!("not run: this etcd cannot be asked for progress (that needs 3.4.31, 3.5.13 or newer)");
        return;
    }
    let config = backend.members.as_ref().expect("until it is dropped").config(0, &fresh_prefix());
    let mut watch = backend.store.watch(Bytes::new(), 0).await.expect("a watch");
    let other = open_patiently(config, tight()).await;
    other.commit(put("a", "1")).await.expect("a write");
    // Whoever asks how far the store is makes its watches find out.
    let newest = backend.store.revision().await.expect("a revision");
    loop {
        match watch.next().await.expect("an item") {
            WatchItem::Progress(revision) if revision >= newest => break,
            WatchItem::Progress(_) => {}
            WatchItem::Events(events) => panic!("nothing was written here: {events:?}"),
        }
    }
}

#[tokio::test]
async fn guards_on_many_keys_name_the_first_that_does_not_hold() {
    let backend = OnOneMember::make(tight()).await;
    backend.store.commit(put("b", "1")).await.expect("a write");
    let absent = |key: &'static str| Guard::Absent(Bytes::from_static(key.as_bytes()));
    let txn = Txn { guards: vec![absent("a"), absent("b"), absent("b")], ..put("c", "1") };
    let outcome = backend.store.commit(txn).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Conflict { guard: 1, current: Some(_) }), "{outcome:?}");
}

#[tokio::test]
async fn somebody_elses_keys_are_left_alone() {
    let backend = OnOneMember::make(tight()).await;
    let prefix = fresh_prefix();
    let foreign = message::transaction(&[], &[message::put_operation(prefix.as_bytes(), b"theirs", 0)], &[]);
    let written = backend.store.shared.cluster.ask(method::TXN, &foreign, Repeat::Freely).await;
    assert!(written.is_ok(), "{written:?}");
    let config = backend.members.as_ref().expect("until it is dropped").config(0, &prefix);
    let refused = Etcd::open(config, tight(), Env::real()).await.map(drop).expect_err("it is no store");
    assert!(refused.to_string().contains("somebody else"), "{refused}");
}
