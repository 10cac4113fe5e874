use client::{Write, resources};
use machinery::Object;
use serde_json::{Value, json};

use super::plan::{Owner, OwnerState, View, plan};
use crate::tests::fixtures::{ago, body, object, running_pod, writes};

fn owned_by(uids: &[&str]) -> Value {
    let reference = |uid: &&str| {
        json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid,
        "blockOwnerDeletion": true })
    };
    json!({ "metadata": { "ownerReferences": uids.iter().map(reference).collect::<Vec<_>>() } })
}

fn pod(changes: Value) -> Object {
    object(&running_pod("p", changes))
}

fn view(object: Object, states: &[OwnerState], dependents: Vec<Object>) -> View {
    let owners = object.header().owners.iter().cloned().zip(states);
    let owners = owners.map(|(reference, state)| Owner { reference, state: *state }).collect();
    let dependents = dependents.into_iter().map(|object| (resources::PODS, object)).collect();
    View { resource: resources::PODS, object, owners, dependents }
}

use OwnerState::{Absent, Present, Unknown, Waiting};

/// The states of two owners, and what is done.
#[test]
fn an_object_goes_with_the_last_of_its_owners() {
    let cases = [
        ([Present, Present], None),
        ([Present, Unknown], None),
        ([Unknown, Unknown], None),
        ([Absent, Present], Some("patch")),
        ([Absent, Unknown], Some("patch")),
        ([Waiting, Present], Some("patch")),
        ([Absent, Absent], Some("delete")),
        ([Waiting, Absent], Some("delete")),
        ([Waiting, Waiting], Some("delete")),
    ];
    for (states, expected) in cases {
        let plan = plan(&view(pod(owned_by(&["a", "b"])), &states, Vec::new()));
        let done: Vec<String> = writes(&plan);
        assert_eq!(
            done,
            expected.map(|verb| format!("{verb} pods shop/p")).into_iter().collect::<Vec<_>>(),
            "{states:?}"
        );
        if expected == Some("patch") {
            let kept = body(plan.ops().next().unwrap())["metadata"]["ownerReferences"].clone();
            assert_eq!(kept.as_array().unwrap().len(), 1, "{states:?}");
            assert_eq!(kept[0]["name"], "b");
        }
    }
}

#[test]
fn an_object_nobody_owns_stays() {
    assert!(plan(&view(pod(json!({})), &[], Vec::new())).is_quiet());
}

fn propagation(view: &View) -> &'static str {
    let plan = plan(view);
    let last = plan.ops().last().unwrap();
    let Write::Delete(how) = &last.write else { panic!("expected a deletion: {last}") };
    assert_eq!(how.uid, "uid-p", "only the very object may go");
    how.propagation
}

#[test]
fn how_it_goes_depends_on_who_waits_and_what_it_holds() {
    let with = |finalizer: &str| {
        let mut changes = owned_by(&["a"]);
        changes["metadata"]["finalizers"] = json!([finalizer]);
        pod(changes)
    };
    let child = || pod(owned_by(&["uid-p"]));
    assert_eq!(propagation(&view(pod(owned_by(&["a"])), &[Absent], vec![child()])), "Background");
    assert_eq!(propagation(&view(pod(owned_by(&["a"])), &[Waiting], vec![child()])), "Foreground");
    assert_eq!(propagation(&view(pod(owned_by(&["a"])), &[Waiting], Vec::new())), "Background");
    assert_eq!(propagation(&view(with("orphan"), &[Absent], Vec::new())), "Orphan");
    assert_eq!(propagation(&view(with("foregroundDeletion"), &[Absent], Vec::new())), "Foreground");
}

#[test]
fn two_that_wait_for_each_other_do_not_wait_for_ever() {
    let mut waiting = owned_by(&["uid-p"]);
    waiting["metadata"]["deletionTimestamp"] = json!(ago(1));
    waiting["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    let plan = plan(&view(pod(owned_by(&["a"])), &[Waiting], vec![pod(waiting)]));
    assert_eq!(writes(&plan), ["patch pods shop/p", "delete pods shop/p"]);
    let unblocked = body(plan.ops().next().unwrap());
    assert_eq!(unblocked["metadata"]["ownerReferences"][0].get("blockOwnerDeletion"), None);
}

fn going(finalizers: Value) -> Object {
    pod(json!({ "metadata": { "deletionTimestamp": ago(1), "finalizers": finalizers } }))
}

#[test]
fn one_deleted_in_the_foreground_waits_only_for_those_that_block_it() {
    let mut free = owned_by(&["uid-p"]);
    free["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(false);
    let waiting = plan(&view(going(json!(["foregroundDeletion"])), &[], vec![pod(owned_by(&["uid-p"]))]));
    assert!(waiting.is_quiet());
    for dependents in [vec![pod(free)], Vec::new()] {
        let plan = plan(&view(going(json!(["x/y", "foregroundDeletion"])), &[], dependents));
        assert_eq!(body(plan.ops().next().unwrap())["metadata"]["finalizers"], json!(["x/y"]));
    }
}

#[test]
fn one_that_orphans_is_forgotten_by_its_dependents_first() {
    let dependent = pod(owned_by(&["uid-p", "other"]));
    let plan = plan(&view(going(json!(["orphan"])), &[], vec![dependent]));
    let bodies: Vec<Value> = plan.ops().map(body).collect();
    assert_eq!(bodies[0]["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    assert_eq!(bodies[0]["metadata"]["ownerReferences"][0]["uid"], "other");
    assert_eq!(bodies[1]["metadata"]["finalizers"], json!([]));
}

#[test]
fn one_that_goes_for_other_reasons_is_left_alone() {
    assert!(plan(&view(going(json!(["x/y"])), &[], vec![pod(owned_by(&["uid-p"]))])).is_quiet());
}
