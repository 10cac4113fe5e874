use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::tests::fixtures::{ago, body, object, writes};

fn data(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] },
        "$patch": "replace" } } })
}

fn revision(number: i64, image: &str) -> Revision {
    let document = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": { "name": format!("web-{number}"), "namespace": "shop", "uid": format!("r-{number}"),
            "resourceVersion": "3", "creationTimestamp": ago(1_000 - number), "labels": { "h": "x" } },
        "data": data(image), "revision": number,
    });
    Revision::read(&object(&document)).unwrap()
}

fn history(images: &[&str]) -> History {
    let revisions = images.iter().enumerate().map(|(index, image)| revision(index as i64 + 1, image));
    History::of(revisions.rev().collect())
}

#[test]
fn a_template_is_found_again_or_kept_anew() {
    let cases: [(&[&str], &str, Step); 7] = [
        (&[], "a", Step::Make(1)),
        (&["a"], "a", Step::Keep(0)),
        (&["a"], "b", Step::Make(2)),
        (&["a", "b"], "b", Step::Keep(1)),
        (&["a", "b"], "a", Step::Renumber(0, 3)),
        (&["a", "b", "a"], "a", Step::Keep(2)),
        (&["a", "b", "a", "c"], "a", Step::Renumber(2, 5)),
    ];
    for (images, image, expected) in cases {
        assert_eq!(history(images).step(&data(image)), expected, "{images:?} and now {image}");
    }
}

#[test]
fn the_data_is_the_template_and_says_that_it_replaces() {
    let set = object(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "web", "namespace": "shop", "uid": "s" },
        "spec": { "replicas": 3, "template": { "metadata": { "labels": { "app": "web" } }, "spec": {} } },
    }));
    let expected = json!({ "spec": { "template": {
        "$patch": "replace", "metadata": { "labels": { "app": "web" } }, "spec": {} } } });
    assert_eq!(data_of(&set).unwrap(), expected);
}

#[test]
fn a_name_that_others_have_is_passed_over() {
    let free = next_name("web", &data("a"), 0, |_| false);
    assert_eq!(free.collisions, 0);
    assert_eq!(free.name, format!("web-{}", free.hash));
    let taken = free.name.clone();
    let next = next_name("web", &data("a"), 0, |name| name == taken);
    assert_eq!(next.collisions, 1);
    assert_ne!(next.name, free.name);
    assert_eq!(next_name("web", &data("a"), 1, |_| false), next);
    let long = next_name(&"x".repeat(300), &data("a"), 0, |_| false);
    assert!(long.name.len() <= 253, "{}", long.name.len());
}

#[test]
fn the_order_is_that_of_numbers_then_age_then_name() {
    let (mut second, mut third) = (revision(2, "a"), revision(2, "b"));
    second.created = WallTime(5);
    third.created = WallTime(6);
    let history = History::of(vec![third.clone(), revision(1, "c"), second.clone()]);
    let names: Vec<&str> = history.revisions.iter().map(|revision| revision.name.as_str()).collect();
    assert_eq!(names, ["web-1", "web-2", "web-2"]);
    assert_eq!(history.revisions[1].data, data("a"));
}

#[test]
fn only_the_dead_are_forgotten_and_the_oldest_first() {
    let cases: [(usize, &[&str], &[&str]); 6] = [
        (0, &[], &["web-1", "web-2", "web-3", "web-4"]),
        (0, &["web-2"], &["web-1", "web-3", "web-4"]),
        (1, &["web-2"], &["web-1", "web-3"]),
        (2, &["web-1"], &["web-2"]),
        (3, &["web-1"], &[]),
        (10, &[], &[]),
    ];
    for (limit, live, gone) in cases {
        let mut plan = Plan::nothing();
        let live: BTreeSet<&str> = live.iter().copied().collect();
        forget(&mut plan, &history(&["a", "b", "c", "d"]).revisions, &live, limit);
        let expected: Vec<String> =
            gone.iter().map(|name| format!("delete controllerrevisions shop/{name}")).collect();
        assert_eq!(writes(&plan), expected, "{limit} beside {live:?}");
    }
}

#[test]
fn going_back_gives_a_revision_the_highest_number() {
    let mut plan = Plan::nothing();
    let mut old = revision(1, "a");
    renumber(&mut plan, &mut old, 7);
    assert_eq!(old.number, 7);
    let op = plan.ops().next().unwrap();
    assert_eq!(body(op), json!({ "metadata": { "resourceVersion": "3" }, "revision": 7 }));
}

#[test]
fn what_holds_no_template_says_so() {
    let mut broken = revision(1, "a");
    broken.data = json!({ "spec": { "template": { "spec": 7 } } });
    assert!(broken.template().unwrap_err().starts_with("revision web-1 holds no template: "));
    assert_eq!(revision(1, "a").template().unwrap().spec.unwrap().containers[0].image.as_deref(), Some("a"));
}
