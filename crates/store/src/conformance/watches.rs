//! Watching.

use super::*;

pub(crate) async fn events_come_in_order_once<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let mut watch = store.watch(bytes("k"), 0).await.expect("a watch");
    for number in 0..100u64 {
        let key = format!("k{}", number % 3);
        write(store, vec![if number % 10 == 9 { delete(&key) } else { put(&key, &number.to_string()) }])
            .await;
    }
    let events = events_until(&mut *watch, 100).await;
    assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let mut last: std::collections::BTreeMap<Bytes, (Revision, Revision)> = Default::default();
    for event in events {
        let before = last.get(&event.key).copied();
        assert_eq!(event.previous, before.map(|(_, modified)| modified), "{event:?}");
        match event.value {
            None => drop(last.remove(&event.key)),
            Some(held) => {
                assert_eq!((&held.key, held.modified), (&event.key, event.revision));
                assert_eq!(held.created, before.map_or(event.revision, |(created, _)| created));
                assert_eq!(held.value, (event.revision - 1).to_string());
                last.insert(event.key, (held.created, held.modified));
            }
        }
    }
}

pub(crate) async fn prefixes_are_kept_apart<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let mut watch = store.watch(bytes("/a/"), 0).await.expect("a watch");
    for key in ["/a/1", "/b/1", "/a", "/a/2", "/a0"] {
        write(store, vec![put(key, "v")]).await;
    }
    write(store, vec![put("/a/3", "v"), put("/b/3", "v")]).await;
    let events = events_until(&mut *watch, 6).await;
    let seen: Vec<_> = events.iter().map(|event| (event.key.clone(), event.revision)).collect();
    assert_eq!(seen, [(bytes("/a/1"), 1), (bytes("/a/2"), 4), (bytes("/a/3"), 6)]);
}

pub(crate) async fn transactions_arrive_whole<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    // The watch begins behind what is in memory, and the transactions are larger than any item would be.
    for round in 0..3 {
        write(store, (0..1500).map(|key| put(&format!("k{key}"), &round.to_string())).collect()).await;
    }
    let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
    let mut expected = 1;
    while expected <= 3 {
        let WatchItem::Events(events) = watch.next().await.expect("an item") else { continue };
        for transaction in events.chunk_by(|left, right| left.revision == right.revision) {
            assert_eq!((transaction[0].revision, transaction.len()), (expected, 1500));
            expected += 1;
        }
    }
}

pub(crate) async fn a_watch_resumes_anywhere<B: Backend>() {
    for hot_bytes in [0, 4000, 1 << 20] {
        let backend = B::make(Options { hot_bytes, ..tight() }).await;
        let store = backend.store();
        for number in 0..50 {
            write(store, vec![put(&format!("k{}", number % 5), "v"), put("other", "v")]).await;
        }
        for after in 0..=50 {
            let mut watch = store.watch(bytes("k"), after).await.expect("a watch");
            let events = events_until(&mut *watch, 50).await;
            let seen: Vec<_> = events.iter().map(|event| event.revision).collect();
            assert_eq!(seen, (after + 1..=50).collect::<Vec<_>>());
        }
    }
}

pub(crate) async fn progress_is_told<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    if !backend.tells_progress().await {
        println!("not run: this backend learns of progress from events only");
        return;
    }
    let mut watch = store.watch(bytes("a"), 0).await.expect("a watch");
    assert_eq!(watch.next().await, Ok(WatchItem::Progress(0)), "an empty store has nothing to tell");
    write(store, vec![put("b", "1")]).await;
    assert_eq!(watch.next().await, Ok(WatchItem::Progress(1)));
    write(store, vec![put("a", "1")]).await;
    assert!(matches!(watch.next().await, Ok(WatchItem::Events(events)) if events.len() == 1));
    write(store, vec![put("b", "2")]).await;
    write(store, vec![put("b", "3")]).await;
    assert_eq!(watch.next().await, Ok(WatchItem::Progress(4)), "what it was told of needs no progress");
}

pub(crate) async fn many_watchers_see_the_same<B: Backend>() {
    let backend = B::make(Options { hot_bytes: 3000, ..tight() }).await;
    let store = backend.store();
    let mut watches = Vec::new();
    for number in 0..200u64 {
        let revision = write(store, vec![put(&format!("k{number}"), "v")]).await;
        watches.push((revision, store.watch(bytes("k"), revision).await.expect("a watch")));
    }
    write(store, vec![put("k", "end")]).await;
    for (after, mut watch) in watches {
        let events = events_until(&mut *watch, 201).await;
        assert_eq!(
            events.iter().map(|event| event.revision).collect::<Vec<_>>(),
            (after + 1..=201).collect::<Vec<_>>()
        );
    }
}

pub(crate) async fn a_slow_watcher_misses_nothing<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
    for round in 0..20u64 {
        for number in 0..50 {
            write(store, vec![put(&format!("k{number}"), &round.to_string())]).await;
        }
        // One item per round, however much there is.
        assert!(watch.next().await.is_ok());
    }
    drop(watch);
    let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
    assert_eq!(events_until(&mut *watch, 1000).await.len(), 1000);
}

pub(crate) async fn a_watch_of_the_forgotten_is_refused<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let mut late = store.watch(Bytes::new(), 0).await.expect("a watch");
    for number in 0..10 {
        write(store, vec![put("a", &number.to_string())]).await;
    }
    store.compact(5).await.expect("a compaction");
    let refused = store.watch(Bytes::new(), 4).await.map(drop);
    assert_eq!(refused, Err(StoreError::Compacted { asked: 4, oldest: 5 }));
    assert_eq!(
        store.watch(Bytes::new(), 11).await.map(drop),
        Err(StoreError::Future { asked: 11, newest: 10 })
    );
    assert_eq!(late.next().await, Err(StoreError::Compacted { asked: 0, oldest: 5 }));
    let mut watch = store.watch(Bytes::new(), 5).await.expect("a watch");
    assert_eq!(events_until(&mut *watch, 10).await.len(), 5);
}
