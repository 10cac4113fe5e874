//! Stores that move between a directory and etcd.

use std::path::PathBuf;

use super::*;
use crate::embedded::{Embedded, backup::REVISION_JUMP, check};
use crate::migrate::{Place, migrate, survey};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(number: usize, ttl_secs: Option<u32>) -> Write {
    let value = Bytes::from(vec![b'v'; number * 7 % 5000]);
    Write::Put { key: Bytes::from(format!("/registry/k{number:04}")), value, ttl_secs }
}

#[tokio::test]
async fn a_store_moves_to_etcd_and_back_with_all_it_has() {
    let directory = Directory(std::env::temp_dir().join(format!("store-moves-{}", std::process::id())));
    let (home, back) = (directory.0.join("home"), directory.0.join("back"));
    let env = Env::real();
    let store = Embedded::open(&home, tight(), env.clone()).await.expect("a store");
    for number in 0..1200 {
        let ttl = (number % 10 == 0).then_some(5000);
        store.commit(Txn { writes: vec![write(number, ttl)], ..Txn::default() }).await.expect("a write");
    }
    let before = store.range(Query::default()).await.expect("a read");
    let plain = |page: &Page| {
        page.items.iter().map(|item| (item.key.clone(), item.value.clone())).collect::<Vec<_>>()
    };
    let members = OnOneMember::make(tight()).await;
    let config = members.members.as_ref().expect("until it is dropped").config(0, &fresh_prefix());
    let (here, there) = (Place::Embedded(home.clone()), Place::Etcd(config.clone()));

    let busy = migrate(here.clone(), there.clone(), &env).await;
    assert!(matches!(busy, Err(StoreError::InUse { .. })), "{busy:?}");
    store.close().await;
    let moved = migrate(here.clone(), there.clone(), &env).await.expect("a move");
    assert_eq!((moved.keys, moved.from), (1200, before.revision));
    assert!(moved.to > before.revision + REVISION_JUMP);
    assert!(migrate(here, there.clone(), &env).await.is_err(), "a store that exists is not overwritten");
    assert_eq!(survey(config.clone(), &env).await, Ok((1200, moved.to)));

    let moved_store = Etcd::open(config.clone(), tight(), env.clone()).await.expect("the moved store");
    let page = moved_store.range(Query::default()).await.expect("a read");
    assert_eq!((plain(&page), page.revision), (plain(&before), moved.to));
    for forgotten in [1, before.revision, before.revision + REVISION_JUMP, moved.to - 1] {
        let refused = moved_store.watch(Bytes::new(), forgotten).await.map(drop);
        assert_eq!(refused, Err(StoreError::Compacted { asked: forgotten, oldest: moved.to }));
    }
    let next = moved_store.commit(put("next", "1")).await;
    assert_eq!(next, Ok(Outcome::Committed(moved.to + 1)));

    let again = migrate(there, Place::Embedded(back.clone()), &env).await.expect("a move back");
    assert_eq!((again.keys, again.from), (1201, moved.to + 1));
    assert_eq!(check(&back).expect("a report").findings, Vec::<String>::new());
    let store = Embedded::open(&back, tight(), env.clone()).await.expect("the store that came back");
    let page = store.range(Query::prefix(b"/registry/")).await.expect("a read");
    assert_eq!(plain(&page), plain(&before));
    let now = u32::try_from(env.clock.now().secs()).expect("this century");
    for number in 0..1200 {
        let expires = store.expires(format!("/registry/k{number:04}").as_bytes()).expect("it is there");
        let expected = if number % 10 == 0 { now + 4000..=now + 5400 } else { 0..=0 };
        assert!(expected.contains(&expires), "k{number}: {expires}");
    }
}

#[tokio::test]
async fn a_move_that_did_not_end_is_no_store() {
    let members = OnOneMember::make(tight()).await;
    let config = members.members.as_ref().expect("until it is dropped").config(0, &fresh_prefix());
    let import = Import::begin(config.clone(), 1000, &Env::real()).await.expect("nothing is there yet");
    drop(import);
    let refused =
        Etcd::open(config.clone(), tight(), Env::real()).await.map(drop).expect_err("it is half a store");
    assert!(refused.to_string().contains("did not come to its end"), "{refused}");
    assert!(survey(config, &Env::real()).await.is_err());
}
