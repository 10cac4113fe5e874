//! Writing.

use super::*;

pub(crate) async fn revisions_grow_by_one<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let first = write(store, vec![put("a", "1")]).await;
    assert!(first > 0, "zero means that nothing was written");
    for step in 1..10 {
        assert_eq!(write(store, vec![put("a", "2"), put("b", "3")]).await, first + step);
        assert_eq!(store.revision().await, Ok(first + step));
    }
}

pub(crate) async fn a_transaction_is_all_or_nothing<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let first = write(store, vec![put("a", "1")]).await;
    let guards = vec![Guard::Absent(bytes("b")), Guard::ModifiedAt(bytes("a"), first + 7)];
    let outcome = store.commit(Txn {
        guards,
        writes: vec![put("a", "2"), put("b", "2"), delete("a")][..2].to_vec(),
        ..Txn::default()
    });
    let Ok(Outcome::Conflict { guard: 1, current: Some(current) }) = outcome.await else {
        panic!("the second guard does not hold");
    };
    assert_eq!((current.key, current.value), (bytes("a"), bytes("1")));
    assert_eq!((current.created, current.modified), (first, first));
    assert_eq!(store.revision().await, Ok(first));
    let page = read(store, "", None).await.expect("a read");
    assert_eq!(texts(&page.items), [("a".to_owned(), "1".to_owned())]);

    let guards = vec![Guard::Absent(bytes("b")), Guard::ModifiedAt(bytes("a"), first)];
    let outcome = store
        .commit(Txn { guards, writes: vec![delete("a"), put("b", "2"), put("c", "3")], ..Txn::default() })
        .await;
    assert_eq!(outcome, Ok(Outcome::Committed(first + 1)));
    let page = read(store, "", None).await.expect("a read");
    assert_eq!(texts(&page.items), [("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]);
    assert!(page.items.iter().all(|item| item.created == first + 1 && item.modified == first + 1));
}

pub(crate) async fn guards_decide<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let old = write(store, vec![put("a", "1")]).await;
    let new = write(store, vec![put("a", "2")]).await;
    write(store, vec![put("gone", "1")]).await;
    write(store, vec![delete("gone")]).await;
    let cases = [
        (Guard::Absent(bytes("a")), false),
        (Guard::Absent(bytes("b")), true),
        (Guard::Absent(bytes("gone")), true),
        (Guard::ModifiedAt(bytes("a"), old), false),
        (Guard::ModifiedAt(bytes("a"), new), true),
        (Guard::ModifiedAt(bytes("b"), 0), false),
        (Guard::ModifiedAt(bytes("gone"), new + 1), false),
    ];
    for (guard, holds) in cases {
        let outcome = store
            .commit(Txn { guards: vec![guard.clone()], writes: vec![put("log", "x")], ..Txn::default() })
            .await;
        assert_eq!(matches!(outcome, Ok(Outcome::Committed(_))), holds, "{guard:?}: {outcome:?}");
    }
}

pub(crate) async fn what_goes_before_never_goes_alone<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let first = write(store, vec![put("used", "0")]).await;
    let mut watch = store.watch(bytes(""), first).await.expect("a watch");
    let txn =
        |guard| Txn { guards: vec![guard], writes: vec![put("a", "1")], before: vec![put("used", "1")] };
    let refused = store.commit(txn(Guard::Absent(bytes("used")))).await;
    assert!(matches!(refused, Ok(Outcome::Conflict { guard: 0, .. })), "{refused:?}");
    assert_eq!(store.revision().await, Ok(first), "a guard that does not hold stops both parts");

    let last = if B::NUMBERS_APART { first + 2 } else { first + 1 };
    let done = store.commit(txn(Guard::ModifiedAt(bytes("used"), first))).await;
    assert_eq!(done, Ok(Outcome::Committed(last)));
    let events = events_until(&mut *watch, last).await;
    let seen: Vec<_> = events.iter().map(|event| (event.key.clone(), event.revision)).collect();
    assert_eq!(seen, [(bytes("used"), first + 1), (bytes("a"), last)]);

    let alone = Txn { before: vec![put("used", "2")], ..Txn::default() };
    assert_eq!(store.commit(alone).await, Ok(Outcome::Committed(last + 1)));
}

pub(crate) async fn deletions_take_revisions<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let first = write(store, vec![put("a", "1")]).await;
    assert_eq!(write(store, vec![delete("a")]).await, first + 1);
    assert_eq!(store.get(bytes("a")).await, Ok(None));
    assert_eq!(write(store, vec![put("b", "1")]).await, first + 2);
}

pub(crate) async fn what_changes_nothing_takes_no_revision<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let first = write(store, vec![put("a", "1")]).await;
    assert_eq!(write(store, vec![delete("b")]).await, first);
    assert_eq!(write(store, vec![]).await, first);
    assert_eq!(write(store, vec![put("a", "1")]).await, first + 1, "writing the same again is a change");
}

pub(crate) async fn impossible_transactions_are_refused<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let too_many = (0..=crate::MAX_WRITES).map(|number| put(&number.to_string(), "")).collect();
    for writes in
        [vec![put("a", "1"), put("a", "2")], vec![put("a", "1"), delete("a")], vec![put("", "1")], too_many]
    {
        let refused = store.commit(Txn { writes, ..Txn::default() }).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    assert_eq!(store.revision().await, Ok(0));
    let most = (0..crate::MAX_WRITES).map(|number| put(&number.to_string(), "")).collect();
    assert_eq!(write(store, most).await, 1);
}

pub(crate) async fn concurrent_writers_get_one_order<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    // Each tries to increment one counter; each success must build on the success before it.
    let increment = |_writer: usize| async move {
        let mut done = 0;
        while done < 20 {
            let current = store.get(bytes("counter")).await.expect("a read");
            let count: u64 = current
                .as_ref()
                .map_or(0, |held| std::str::from_utf8(&held.value).expect("text").parse().expect("a number"));
            let guard = match &current {
                None => Guard::Absent(bytes("counter")),
                Some(held) => Guard::ModifiedAt(bytes("counter"), held.modified),
            };
            let writes = vec![put("counter", &(count + 1).to_string())];
            match store.commit(Txn { guards: vec![guard], writes, ..Txn::default() }).await.expect("a commit")
            {
                Outcome::Committed(_) => done += 1,
                Outcome::Conflict { current, .. } => assert!(current.is_some(), "nobody deletes the counter"),
            }
        }
    };
    tokio::join!(increment(0), increment(1), increment(2), increment(3));
    let counter = store.get(bytes("counter")).await.expect("a read").expect("it was written");
    assert_eq!((counter.value, counter.modified, counter.created), (bytes("80"), 80, 1));
}

pub(crate) async fn a_recreated_key_is_new<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    write(store, vec![put("a", "1")]).await;
    write(store, vec![put("a", "2")]).await;
    write(store, vec![delete("a")]).await;
    let again = write(store, vec![put("a", "3")]).await;
    let held = store.get(bytes("a")).await.expect("a read").expect("it exists");
    assert_eq!((held.created, held.modified), (again, again));
    let later = write(store, vec![put("a", "4")]).await;
    let held = store.get(bytes("a")).await.expect("a read").expect("it exists");
    assert_eq!((held.created, held.modified), (again, later));
}

pub(crate) async fn keys_and_values_are_any_bytes<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let keys = [vec![0], vec![0, 0], vec![255, 255], b"/registry/a\0b".to_vec(), vec![7; 3000]];
    let values = [vec![], vec![0; 100_000], (0..=255).collect(), vec![255], b"{}".to_vec()];
    for (key, value) in keys.iter().zip(&values) {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        write(store, vec![Write::Put { key, value, ttl_secs: None }]).await;
    }
    for (key, value) in keys.iter().zip(&values) {
        let held = store.get(Bytes::copy_from_slice(key)).await.expect("a read").expect("it exists");
        assert_eq!(held.value, value);
    }
    let page = store.range(Query::prefix(&[255])).await.expect("a read");
    assert_eq!(page.items.len(), 1, "a prefix without a key after it");
}

pub(crate) async fn expired_keys_go<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let expiring = |key: &str| Write::Put { key: bytes(key), value: bytes("x"), ttl_secs: Some(1) };
    let kept = write(store, vec![put("kept", "x")]).await;
    write(store, (0..600).map(|number| expiring(&format!("event-{number}"))).collect()).await;
    let mut watch = store.watch(Bytes::new(), kept + 1).await.expect("a watch");
    let mut gone = 0;
    while gone < 600 {
        if let WatchItem::Events(events) = watch.next().await.expect("an item") {
            assert!(events.iter().all(|event| event.value.is_none() && event.previous == Some(kept + 1)));
            gone += events.len();
        }
    }
    let page = read(store, "", None).await.expect("a read");
    assert_eq!(texts(&page.items), [("kept".to_owned(), "x".to_owned())]);
}

pub(crate) async fn a_rewritten_key_does_not_expire<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let expiring = |key: &str, secs| Write::Put { key: bytes(key), value: bytes("x"), ttl_secs: Some(secs) };
    write(store, vec![expiring("rewritten", 1), expiring("renewed", 1), expiring("deleted", 1)]).await;
    write(store, vec![put("rewritten", "y"), expiring("renewed", 100_000), delete("deleted")]).await;
    let after = write(store, vec![expiring("witness", 1)]).await;
    let mut watch = store.watch(Bytes::new(), after).await.expect("a watch");
    let events = events_until(&mut *watch, after + 1).await;
    assert_eq!(events.iter().map(|event| event.key.clone()).collect::<Vec<_>>(), ["witness"]);
    let page = read(store, "", None).await.expect("a read");
    assert_eq!(page.items.iter().map(|item| item.key.clone()).collect::<Vec<_>>(), ["renewed", "rewritten"]);
}
