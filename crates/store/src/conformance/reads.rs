//! Reading, now and in the past.

use super::*;

pub(crate) async fn keys_come_in_byte_order<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    for key in ["b/2", "a", "b/1", "b", "b0", "b/", "c"] {
        write(store, vec![put(key, key)]).await;
    }
    let keys = |page: Page| page.items.into_iter().map(|item| item.key).collect::<Vec<_>>();
    assert_eq!(keys(read(store, "", None).await.expect("a read")), ["a", "b", "b/", "b/1", "b/2", "b0", "c"]);
    assert_eq!(keys(read(store, "b/", None).await.expect("a read")), ["b/", "b/1", "b/2"]);
    let spans: [(&str, &str, &[&str]); 5] = [
        ("b", "b0", &["b", "b/", "b/1", "b/2"]),
        ("b/1", "", &["b/1", "b/2", "b0", "c"]),
        ("b", "b", &[]),
        ("c", "a", &[]),
        ("x", "", &[]),
    ];
    for (start, end, expected) in spans {
        let query = Query { start: bytes(start), end: bytes(end), ..Query::default() };
        assert_eq!(keys(store.range(query).await.expect("a read")), expected, "{start:?} to {end:?}");
    }
}

pub(crate) async fn limits_leave_more<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    for number in 0..10 {
        write(store, vec![put(&format!("k{number}"), "v")]).await;
    }
    let page = |start: &str, limit| {
        let query = Query { limit, start: bytes(start), ..Query::prefix(b"k") };
        async move { store.range(query).await.expect("a read") }
    };
    for (start, limit, count, more) in
        [("k", 3, 3, true), ("k7", 3, 3, false), ("k", 10, 10, false), ("k", 0, 10, false)]
    {
        let page = page(start, limit).await;
        assert_eq!((page.items.len(), page.more, page.revision), (count, more, 10), "{start} {limit}");
    }
}

pub(crate) async fn any_retained_revision_is_readable<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let mut states = vec![vec![]];
    for number in 0..30u32 {
        let key = format!("k{}", number % 7);
        let writes = if number % 5 == 4 { vec![delete(&key)] } else { vec![put(&key, &number.to_string())] };
        let revision = write(store, writes).await;
        states.truncate(revision as usize);
        states.push(read(store, "", None).await.expect("a read").items);
    }
    let newest = store.revision().await.expect("a revision");
    for revision in 0..=newest {
        let page = read(store, "", Some(revision)).await.expect("a read of the past");
        assert_eq!((&page.items, page.revision), (&states[revision as usize], revision));
        let limited = Query { limit: 2, revision: Some(revision), ..Query::prefix(b"k") };
        let page = store.range(limited).await.expect("a read of the past");
        let state = &states[revision as usize];
        assert_eq!(page.items, state[..state.len().min(2)]);
        assert_eq!(page.more, state.len() > 2);
    }
}

pub(crate) async fn the_future_and_the_forgotten_are_refused<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    for number in 0..5 {
        write(store, vec![put("a", &number.to_string())]).await;
    }
    assert_eq!(read(store, "", Some(6)).await.unwrap_err(), StoreError::Future { asked: 6, newest: 5 });
    assert_eq!(store.compact(6).await, Err(StoreError::Future { asked: 6, newest: 5 }));
    assert_eq!(store.compact(3).await, Ok(()));
    assert_eq!(read(store, "", Some(2)).await.unwrap_err(), StoreError::Compacted { asked: 2, oldest: 3 });
    assert_eq!(store.compact(2).await, Ok(()), "what is forgotten already stays so");
    let page = read(store, "", Some(3)).await.expect("the oldest that is kept");
    assert_eq!(texts(&page.items), [("a".to_owned(), "2".to_owned())]);
}

pub(crate) async fn compaction_keeps_the_state<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    for number in 0..100 {
        write(store, vec![put(&format!("k{}", number % 10), &number.to_string())]).await;
    }
    for number in 0..5 {
        write(store, vec![delete(&format!("k{number}"))]).await;
    }
    let before = read(store, "", None).await.expect("a read").items;
    let past = read(store, "", Some(102)).await.expect("a read").items;
    store.compact(102).await.expect("a compaction");
    assert_eq!(read(store, "", None).await.expect("a read").items, before);
    assert_eq!(read(store, "", Some(102)).await.expect("a read").items, past);
    store.compact(105).await.expect("a compaction");
    assert_eq!(read(store, "", None).await.expect("a read").items, before);
    assert_eq!(write(store, vec![put("k0", "again")]).await, 106);
    let held = store.get(bytes("k0")).await.expect("a read").expect("it exists");
    assert_eq!((held.created, held.modified), (106, 106));
}

pub(crate) async fn large_transactions_are_forgotten_whole<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let all = |value: &str| (0..1000).map(|number| put(&format!("k{number:04}"), value)).collect::<Vec<_>>();
    for round in 0..4 {
        write(store, all(&round.to_string())).await;
    }
    write(store, vec![put("k0000", "4")]).await;
    store.compact(4).await.expect("a compaction");
    // A commit after it gives a backend that removes rows bit by bit the time to do so.
    write(store, vec![put("k0001", "5")]).await;
    let page = read(store, "", Some(4)).await.expect("the oldest that is kept");
    assert_eq!(page.items.len(), 1000);
    assert!(page.items.iter().all(|item| item.value == "3" && item.created == 1));
}

pub(crate) async fn history_is_forgotten_in_time<B: Backend>() {
    let backend = B::make(Options { retention: Duration::from_secs(1), ..tight() }).await;
    let store = backend.store();
    write(store, vec![put("a", "1")]).await;
    write(store, vec![put("a", "2")]).await;
    loop {
        match read(store, "", Some(1)).await {
            Ok(page) => assert_eq!(texts(&page.items), [("a".to_owned(), "1".to_owned())]),
            Err(error) => {
                assert_eq!(error, StoreError::Compacted { asked: 1, oldest: 2 });
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read(store, "", Some(2)).await.expect("the state is kept").items.len(), 1);
}
