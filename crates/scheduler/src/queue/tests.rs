use std::sync::Arc;

use client::Entry;
use client::cache::Facts;
use machinery::Object;
use serde_json::json;

use super::*;
use crate::plugins::{resources_fit, taint_toleration};

fn pod(name: &str, priority: i32) -> Pod {
    let document = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "uid": name, "generation": 1 },
        "spec": { "priority": priority } });
    let object = Object::from_json(&serde_json::to_vec(&document).unwrap()).unwrap();
    let facts = Facts::of(&object).unwrap();
    Arc::new(Entry { object, facts })
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn next(queue: &mut Queue, now: u64) -> Option<String> {
    queue.next(secs(now)).map(|pod| pod.object.header().name.to_string())
}

#[test]
fn the_more_important_and_then_the_earlier_come_first() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        queue.set(pod(name, priority));
    }
    let order: Vec<Option<String>> = (0..5).map(|_| next(&mut queue, 0)).collect();
    assert_eq!(
        order,
        ["b", "d", "a", "c"].map(|name| Some(name.to_owned())).into_iter().chain([None]).collect::<Vec<_>>()
    );
}

#[test]
fn a_refused_pod_waits_for_what_concerns_it() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    next(&mut queue, 0);
    queue.refused(&"a".into(), BTreeSet::from([taint_toleration::NAME]), secs(0));
    queue.happened(Happening::PodGone);
    assert_eq!(next(&mut queue, 100), None, "taints do not go with pods");
    queue.happened(Happening::Node);
    assert_eq!(next(&mut queue, 100), Some("a".into()));
    queue.refused(&"a".into(), BTreeSet::from([resources_fit::NAME]), secs(100));
    queue.happened(Happening::PodGone);
    assert_eq!(next(&mut queue, 101), None, "its second pause takes two seconds");
    assert_eq!(queue.next_due(), Some(secs(102)));
    assert_eq!(next(&mut queue, 102), Some("a".into()));
}

#[test]
fn pauses_double_up_to_ten_seconds() {
    let seconds: Vec<u64> = (1..=6).map(|attempts| pause(attempts).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn nobody_waits_for_ever() {
    let mut queue = Queue::default();
    queue.set(pod("a", 0));
    next(&mut queue, 0);
    queue.refused(&"a".into(), BTreeSet::from([taint_toleration::NAME]), secs(0));
    assert_eq!(queue.flush(secs(299)), Some(secs(300)));
    assert_eq!(queue.flush(secs(300)), None);
    assert_eq!(next(&mut queue, 300), Some("a".into()));
}

#[test]
fn a_pod_that_is_gone_is_forgotten_wherever_it_was() {
    let mut queue = Queue::default();
    for name in ["a", "b", "c"] {
        queue.set(pod(name, 0));
    }
    next(&mut queue, 0);
    queue.refused(&"a".into(), BTreeSet::new(), secs(0));
    next(&mut queue, 0);
    queue.failed(&"b".into(), secs(0));
    for name in ["a", "b", "c"] {
        queue.remove(name);
    }
    assert!(queue.is_empty());
    assert_eq!((queue.next_due(), next(&mut queue, 1_000)), (None, None));
}
