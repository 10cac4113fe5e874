//! What the recent past of a collection must answer.

use std::sync::atomic::{AtomicUsize, Ordering};

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

/// By the letter that a name begins with; those that were sorted are counted.
fn by_letter(counted: &Arc<AtomicUsize>) -> impl Fn(&str) -> LaneName + use<> {
    let counted = counted.clone();
    let sorter = Sorter::new(move |entry| {
        counted.fetch_add(1, Ordering::Relaxed);
        entry.object().header().name.get(..1).unwrap_or_default()
    });
    move |letter| LaneName { value: SmolStr::from(letter), sorter: sorter.clone() }
}

#[test]
fn a_lane_is_what_a_filter_would_leave() {
    let entropy = env::Entropy::from_seed(6);
    let lane = by_letter(&Arc::default());
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let letters = ["a", "b", "c", "d"];
    let of = |letter: &str, all: Vec<(String, u64)>| -> Vec<(String, u64)> {
        all.into_iter().filter(|(key, _)| key.contains(&format!("/{letter}"))).collect()
    };
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut seen = vec![Vec::new(); letters.len()];
    let mut expected = vec![Vec::new(); letters.len()];
    for revision in 1..3_000u64 {
        let (number, letter) = (entropy.below(20), entropy.below(4) as usize);
        let key = format!("n/{}{number}", letters[letter]);
        let is_deletion = entropy.below(3) == 0 && collection.get(&key).is_some();
        if is_deletion {
            collection.delete(entry(&key, revision), NOW);
        } else {
            collection.put(entry(&key, revision), NOW);
        }
        if revision == 500 {
            // Whoever comes late finds what was there before.
            cursors = letters
                .iter()
                .map(|letter| collection.follow_lane_from(&lane(letter), 400).unwrap())
                .collect();
        }
        if revision > 400 {
            expected[letter].push(revision);
        }
        for (cursor, seen) in cursors.iter_mut().zip(&mut seen) {
            seen.extend(cursor.take(usize::MAX).unwrap().iter().map(|event| event.revision));
        }
        for letter in letters {
            let whole = of(letter, state(&collection.snapshot(), ""));
            assert_eq!(state(&collection.snapshot_of(&lane(letter)), ""), whole, "{letter} at {revision}");
        }
    }
    assert_eq!(seen, expected);
    for revision in (2_001..2_999).step_by(100) {
        for letter in letters {
            let then = of(letter, state(&collection.snapshot_at(revision).unwrap(), ""));
            assert_eq!(state(&collection.snapshot_of_at(&lane(letter), revision).unwrap(), ""), then);
        }
    }
}

/// What the objects of the next test look like: the label says where they are.
fn placed(name: &str, place: &str, revision: u64) -> Arc<Entry> {
    let stored = format!(
        r#"{{"kind":"K","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"n","labels":{{"place":"{place}"}}}}}}"#
    );
    Arc::new(Entry::new(machinery::Object::from_stored(stored.as_bytes(), revision).unwrap()))
}

#[tokio::test]
async fn an_object_that_moves_is_told_of_where_it_was_and_where_it_is() {
    let sorter = Sorter::new(|entry| entry.object().header().label("place").unwrap_or_default());
    let lane = |value: &str| LaneName { value: SmolStr::from(value), sorter: sorter.clone() };
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    collection.put(placed("x", "", 1), NOW);
    let (nothing, mut here) = collection.follow_lane(&lane("here"));
    let (_, mut there) = collection.follow_lane(&lane("there"));
    assert!(state(&nothing, "").is_empty());
    collection.put(placed("x", "here", 2), NOW);
    collection.put(placed("x", "there", 3), NOW);
    collection.put(placed("y", "nowhere", 4), NOW);
    collection.delete(placed("x", "there", 5), NOW);
    collection.announce();
    here.ready().await;
    there.ready().await;
    let revisions = |cursor: &mut Cursor| -> Vec<u64> {
        cursor.take(9).unwrap().iter().map(|event| event.revision).collect()
    };
    assert_eq!(revisions(&mut here), [2, 3]);
    assert_eq!(revisions(&mut there), [3, 5]);
    assert_eq!(collection.snapshot_of(&lane("there")).starting_at("").count(), 0);
    assert_eq!(state(&collection.snapshot_of_at(&lane("there"), 3).unwrap(), ""), [("n/x".to_owned(), 3)]);
    // Everything anew: both notice, though one had seen everything.
    let fresh = Collection::new("/registry/core/pods/", 9);
    fresh.load(placed("z", "here", 8));
    collection.replace(&fresh);
    collection.announce();
    here.ready().await;
    assert!(here.take(9).is_err() && there.take(9).is_err());
    assert_eq!(state(&collection.snapshot_of(&lane("here")), ""), [("n/z".to_owned(), 8)]);
}

#[test]
fn the_cost_of_a_lane_is_that_of_its_objects() {
    const LANES: u64 = 26;
    const EACH: u64 = 200;
    let counted = Arc::new(AtomicUsize::new(0));
    let lane = by_letter(&counted);
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let letter = |number: u64| char::from(b'a' + (number % LANES) as u8).to_string();
    for number in 0..LANES * EACH {
        collection.load(entry(&format!("n/{}{number}", letter(number)), 1));
    }
    let mut cursors: Vec<Cursor> =
        (0..LANES).map(|number| collection.follow_lane(&lane(&letter(number))).1).collect();
    let sorted = counted.swap(0, Ordering::Relaxed) as u64;
    assert!(sorted <= 2 * LANES * EACH, "all are sorted once, for all who will ask: {sorted}");
    for number in 0..LANES {
        assert_eq!(collection.snapshot_of(&lane(&letter(number))).starting_at("").count() as u64, EACH);
    }
    assert_eq!(counted.load(Ordering::Relaxed), 0, "a list looks at nothing but what it finds");
    for revision in 2..1_002 {
        collection.put(entry("n/a0", revision), NOW);
    }
    let per_change = counted.load(Ordering::Relaxed) / 1_000;
    assert!(per_change <= 4, "a change costs the same however many follow: {per_change}");
    let looked_at: Vec<usize> =
        cursors.iter_mut().map(|cursor| cursor.take(usize::MAX).unwrap().len()).collect();
    assert_eq!((looked_at[0], looked_at[1..].iter().sum::<usize>()), (1_000, 0));
}

#[test]
fn who_follows_a_lane_falls_off_with_the_events_of_that_lane_only() {
    let lane = by_letter(&Arc::default());
    let collection = Arc::new(Collection::new("/registry/core/pods/", 0));
    let (_, mut busy) = collection.follow_lane(&lane("a"));
    let (_, mut idle) = collection.follow_lane(&lane("b"));
    for revision in 1..=2_000u64 {
        collection.put(entry("n/a", revision), Duration::from_secs(revision));
    }
    assert_eq!(busy.take(9).map(|events| events.len()), Err(Fallen));
    assert_eq!(idle.take(9).map(|events| events.len()), Ok(0));
    collection.put(entry("n/b", 2_001), Duration::from_secs(2_001));
    assert_eq!(idle.take(9).map(|events| events.len()), Ok(1));
    assert!(collection.follow_lane_from(&lane("b"), 10).is_err());
}

#[test]
fn one_object_is_followed_as_a_filter_would() {
    let entropy = env::Entropy::from_seed(9);
    let collection = Arc::new(Collection::new("/registry/core/secrets/", 0));
    let key = |number: u64| format!("n/s{number}");
    let mut followers: Vec<(String, u64, Cursor)> = Vec::new();
    let mut all = Vec::new();
    for revision in 1..=800u64 {
        let key = key(entropy.below(6));
        let is_deleted = entropy.below(3) == 0 && collection.get(&key).is_some();
        let changed = entry(&key, revision);
        let event = if is_deleted { collection.delete(changed, NOW) } else { collection.put(changed, NOW) };
        all.push(event);
        let wanted = format!("n/s{}", entropy.below(6));
        match entropy.below(8) {
            0 => followers.push((wanted.clone(), revision, collection.follow_one(&wanted).1)),
            // Older than what is kept for those who follow already.
            1 => {
                let from = entropy.below(revision + 1);
                followers.push((wanted.clone(), from, collection.follow_one_from(&wanted, from).unwrap()));
            }
            2 if !followers.is_empty() => drop(followers.swap_remove(0)),
            _ => {}
        }
    }
    assert!(followers.len() > 20);
    for (key, from, cursor) in &mut followers {
        let seen: Vec<u64> = cursor.take(usize::MAX).unwrap().iter().map(|event| event.revision).collect();
        let of_it = all.iter().filter(|event| event.revision > *from && event.entry.key() == key);
        assert_eq!(seen, of_it.map(|event| event.revision).collect::<Vec<_>>(), "{key} from {from}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_one_object_is_woken_by_no_other() {
    let collection = Arc::new(Collection::new("/registry/core/secrets/", 0));
    let (_, mut mine) = collection.follow_one("n/mine");
    collection.put(entry("n/other", 1), NOW);
    collection.announce();
    assert!(tokio::time::timeout(Duration::from_secs(9), mine.ready()).await.is_err());
    collection.put(entry("n/mine", 2), NOW);
    collection.announce();
    mine.ready().await;
    assert_eq!(mine.take(9).map(|events| events.len()), Ok(1));
    // Other objects' events push nobody off who has seen all of its own.
    for revision in 3..2_003u64 {
        collection.put(entry("n/other", revision), Duration::from_secs(1_000 + revision));
    }
    assert_eq!(mine.take(9).map(|events| events.len()), Ok(0));
    assert!(collection.follow_one_from("n/mine", 10).is_err());
    collection.put(entry("n/mine", 2_003), Duration::from_secs(9_000));
    assert_eq!(mine.take(9).map(|events| events.len()), Ok(1));
    collection.replace(&Collection::new("/registry/core/secrets/", 3_000));
    assert_eq!(mine.take(9).map(|events| events.len()), Err(Fallen));
}

#[test]
fn nothing_is_kept_for_who_follows_no_more() {
    let collection = Arc::new(Collection::new("/registry/core/secrets/", 0));
    let (first, second) = (collection.follow_one("n/a").1, collection.follow_one("n/a").1);
    drop(first);
    assert!(collection.read().named.get("n/a").is_some());
    drop(second);
    assert!(collection.read().named.get("n/a").is_none());
}
