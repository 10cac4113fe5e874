//! What the recent past of a collection must answer.

use super::*;

const NOW: Duration = Duration::from_secs(1_000);

fn entry(key: &str, revision: u64) -> Arc<Entry> {
    Arc::new(Entry::for_test(key, revision))
}

fn state(snapshot: &Snapshot, start: &str) -> Vec<(String, u64)> {
    snapshot.starting_at(start).map(|entry| (entry.key().to_owned(), entry.revision())).collect()
}

#[test]
fn any_remembered_revision_can_be_read_again() {
    let entropy = env::Entropy::from_seed(5);
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let mut history = vec![Vec::new()];
    for revision in 1..600u64 {
        let key = format!("n{}/p{}", entropy.below(3), entropy.below(30));
        if entropy.below(3) == 0 && collection.get(&key).is_some() {
            collection.delete(entry(&key, revision), NOW);
        } else {
            collection.put(entry(&key, revision), NOW);
        }
        history.push(state(&collection.snapshot(), ""));
    }
    for (revision, expected) in history.iter().enumerate() {
        let snapshot = collection.snapshot_at(revision as u64).expect("all of it is remembered");
        assert_eq!(&state(&snapshot, ""), expected, "at {revision}");
        let from_second: Vec<_> = expected.iter().filter(|(key, _)| key.as_str() >= "n1/").cloned().collect();
        assert_eq!(state(&snapshot, "n1/"), from_second);
        assert_eq!(snapshot.count("n1/", ""), from_second.len());
    }
}

#[test]
fn a_watcher_sees_every_event_once_and_in_order() {
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    collection.put(entry("a/x", 3), NOW);
    let (snapshot, mut live) = collection.follow();
    assert_eq!(state(&snapshot, ""), [("a/x".to_owned(), 3)]);
    collection.put(entry("a/y", 5), NOW);
    collection.delete(entry("a/x", 6), NOW);
    let revisions = |events: Vec<Arc<Event>>| events.iter().map(|event| event.revision).collect::<Vec<_>>();
    assert_eq!(live.take(1).map(revisions), Ok(vec![5]));
    assert_eq!(live.take(9).map(revisions), Ok(vec![6]));
    assert_eq!(live.take(9).map(revisions), Ok(vec![]));
    let mut from_four = collection.follow_from(4).expect("remembered");
    assert_eq!(from_four.take(9).map(revisions), Ok(vec![5, 6]));
    let mut from_three = collection.follow_from(3).expect("remembered");
    assert_eq!(from_three.take(9).map(revisions), Ok(vec![5, 6]));
}

#[test]
fn who_falls_off_the_ring_is_told() {
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let (_, mut slow) = collection.follow();
    for revision in 1..=2_000u64 {
        collection.put(entry("a/x", revision), Duration::from_secs(revision));
    }
    assert_eq!(slow.take(9).map(|events| events.len()), Err(Fallen));
    assert!(collection.follow_from(10).is_err());
    assert!(collection.snapshot_at(10).is_none());
    assert!(collection.follow_from(1_500).is_ok());
    assert_eq!(collection.newest(), 2_000);
}

#[tokio::test]
async fn waiting_ends_with_the_next_announcement() {
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let (_, mut cursor) = collection.follow();
    collection.put(entry("a/x", 1), NOW);
    collection.announce();
    cursor.ready().await;
    assert_eq!(cursor.take(9).map(|events| events.len()), Ok(1));
}
