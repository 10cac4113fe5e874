use std::collections::BTreeMap;

use client::plan::{Plan, Step};
use client::resources;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::plan::{Desired, View};
use super::victims;
use crate::pod::Pod;
use crate::tests::fixtures::{NOW, ago, body, object, pod, running_pod, status, writes};

fn owned() -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set-1", "controller": true }])
}

/// A pod of the set, with changes merged in.
fn ours(name: &str, changes: Value) -> Pod {
    let mut document = running_pod(name, json!({ "metadata": { "ownerReferences": owned() } }));
    crate::tests::fixtures::merge(&mut document, changes);
    pod(&document)
}

fn set(replicas: i32, changes: Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "name": "web", "namespace": "shop", "uid": "set-1", "resourceVersion": "7", "generation": 2 },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
        "status": { "replicas": 0, "observedGeneration": 2 },
    });
    crate::tests::fixtures::merge(&mut set, changes);
    set
}

fn view(set: &Value, pods: Vec<Pod>) -> View {
    let object = object(set);
    let typed = object.view::<ReplicaSet>().unwrap();
    let spec = typed.spec.clone().unwrap();
    let desired = Desired {
        resource: resources::REPLICA_SETS,
        replicas: spec.replicas.unwrap(),
        min_ready_secs: spec.min_ready_seconds.unwrap_or(0),
        selector: client::selector::of(Some(&spec.selector)).unwrap(),
        template: spec.template.unwrap().into(),
        status: typed.status.clone().unwrap_or_default().into(),
    };
    View { object, desired, pods, neighbours: BTreeMap::new() }
}

fn plan(set: &Value, pods: Vec<Pod>) -> Plan {
    super::plan::plan(&view(set, pods), NOW)
}

#[test]
fn missing_pods_are_made_in_growing_batches() {
    let cases: [(i32, usize, &[usize]); 5] =
        [(1, 0, &[1]), (3, 0, &[1, 2]), (10, 0, &[1, 2, 4, 3]), (10, 9, &[1]), (4, 4, &[])];
    for (wanted, existing, batches) in cases {
        let pods = (0..existing).map(|number| ours(&format!("p{number}"), json!({}))).collect();
        let plan = plan(&set(wanted, json!({})), pods);
        let sizes: Vec<usize> = plan
            .steps
            .iter()
            .map(|step| match step {
                Step::Together(ops) => ops.len(),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(sizes, batches, "{wanted} wanted, {existing} there");
    }
    assert_eq!(plan(&set(2_000, json!({})), Vec::new()).ops().count(), 500);
}

#[test]
fn the_status_waits_for_pods_that_are_being_made() {
    for (wanted, existing, is_told) in [(2, 1, false), (1, 1, true), (1, 2, true)] {
        let pods = (0..existing).map(|number| ours(&format!("p{number}"), json!({}))).collect();
        let plan = plan(&set(wanted, json!({})), pods);
        assert_eq!(plan.status.is_some(), is_told, "{wanted} wanted, {existing} there");
        assert!(plan.after_failure.is_some(), "that they cannot be made is told at once");
    }
}

#[test]
fn a_made_pod_is_the_templates_and_ours() {
    let plan = plan(&set(1, json!({})), Vec::new());
    let pod = body(plan.ops().next().unwrap());
    assert_eq!(pod["metadata"]["generateName"], "web-");
    assert_eq!(pod["metadata"]["labels"], json!({ "app": "web" }));
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "set-1");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
    assert_eq!(pod["spec"]["containers"][0]["image"], "i");
}

#[test]
fn what_is_over_or_going_does_not_count() {
    let cases = [
        (json!({ "status": { "phase": "Failed" } }), 1),
        (json!({ "status": { "phase": "Succeeded" } }), 1),
        (json!({ "metadata": { "deletionTimestamp": ago(1) } }), 1),
        (json!({ "status": { "phase": "Pending" } }), 0),
        (json!({}), 0),
    ];
    for (changes, made) in cases {
        let plan = plan(&set(1, json!({})), vec![ours("p", changes.clone())]);
        assert_eq!(plan.ops().count(), made, "{changes}");
    }
}

#[test]
fn a_set_that_is_deleted_makes_nothing_but_tells_what_it_has() {
    let deleted = set(3, json!({ "metadata": { "deletionTimestamp": ago(1) } }));
    let plan = plan(&deleted, vec![ours("p", json!({}))]);
    assert_eq!(plan.ops().count(), 0);
    assert_eq!(status(&plan)["replicas"], 1);
}

#[test]
fn orphans_are_taken_in_after_asking_and_strangers_are_let_go() {
    let orphan = pod(&running_pod("orphan", json!({})));
    let stranger = ours("stranger", json!({ "metadata": { "labels": { "app": "other" } } }));
    let plan = plan(&set(1, json!({})), vec![orphan, stranger]);
    assert!(matches!(&plan.steps[0], Step::Confirm { uid, .. } if uid == "set-1"));
    assert_eq!(writes(&plan), ["patch pods shop/orphan", "patch pods shop/stranger"]);
    let bodies: Vec<Value> = plan.ops().map(body).collect();
    assert_eq!(bodies[0]["metadata"]["ownerReferences"][0]["controller"], true);
    assert_eq!(bodies[1]["metadata"]["ownerReferences"][0], json!({ "$patch": "delete", "uid": "set-1" }));
}

#[test]
fn others_pods_are_left_alone() {
    let reference = json!([{ "kind": "ReplicaSet", "name": "x", "uid": "set-2", "controller": true }]);
    let theirs = pod(&running_pod("p", json!({ "metadata": { "ownerReferences": reference } })));
    let going = pod(&running_pod("q", json!({ "metadata": { "deletionTimestamp": ago(1) } })));
    let plan = plan(&set(0, json!({})), vec![theirs, going]);
    assert_eq!(plan.ops().count(), 0);
}

/// Each pair: the first goes before the second.
#[test]
fn those_whose_loss_costs_least_go_first() {
    let ready_since = |secs| {
        json!({ "status": { "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": ago(secs) }] } })
    };
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let cost = |cost: &str| json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": cost } } });
    let restarts = |count| json!({ "status": { "containerStatuses": [{ "restartCount": count }] } });
    let created = |secs| json!({ "metadata": { "creationTimestamp": ago(secs) } });
    let cases = [
        (json!({ "spec": { "nodeName": "" } }), json!({ "status": { "phase": "Pending" } })),
        (json!({ "status": { "phase": "Pending" } }), json!({ "status": { "phase": "Unknown" } })),
        (json!({ "status": { "phase": "Unknown" } }), json!({})),
        (unready.clone(), json!({})),
        (unready, cost("-5")),
        (cost("-5"), json!({})),
        (json!({}), cost("5")),
        (ready_since(10), ready_since(1_000)),
        (restarts(3), restarts(1)),
        (created(4_000), created(100_000)),
        (cost("not a number"), cost("1")),
    ];
    for (first, second) in cases {
        let pods = [ours("b", second.clone()), ours("a", first.clone())];
        let chosen = victims::choose(&pods, 1, &BTreeMap::new(), NOW);
        assert_eq!(chosen[0].object.header().name, "a", "{first} before {second}");
    }
}

#[test]
fn of_pods_of_about_the_same_age_the_choice_does_not_depend_on_it() {
    let pods = [ours("b", json!({ "metadata": { "creationTimestamp": ago(3_601) } })), ours("a", json!({}))];
    let chosen = victims::choose(&pods, 1, &BTreeMap::new(), NOW);
    assert_eq!(chosen[0].object.header().name, "a");
}

#[test]
fn pods_on_crowded_nodes_go_before_others() {
    let pods = [ours("b", json!({})), ours("a", json!({ "spec": { "nodeName": "node-2" } }))];
    let neighbours = BTreeMap::from([("node-2".into(), 2), ("node-1".into(), 1)]);
    assert_eq!(victims::choose(&pods, 1, &neighbours, NOW)[0].object.header().name, "a");
}

#[test]
fn surplus_pods_are_removed_at_once_with_their_identity() {
    let pods = (0..5).map(|number| ours(&format!("p{number}"), json!({}))).collect();
    let plan = plan(&set(2, json!({})), pods);
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.ops().count(), 3);
    let op = plan.ops().next().unwrap();
    assert!(matches!(&op.write, client::Write::Delete(how) if how.uid.starts_with("uid-p")));
    assert_eq!(op.success.as_ref().unwrap().reason, "SuccessfulDelete");
}

#[test]
fn the_status_counts_and_waits_for_availability() {
    let set = set(2, json!({ "spec": { "minReadySeconds": 30 } }));
    let ready_since = |secs| {
        json!({ "status": { "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": ago(secs) }] } })
    };
    let going = ours("c", json!({ "metadata": { "deletionTimestamp": ago(1) } }));
    let plan = plan(&set, vec![ours("a", ready_since(10)), ours("b", ready_since(40)), going]);
    let status = status(&plan);
    assert_eq!(status["replicas"], 2);
    assert_eq!(status["fullyLabeledReplicas"], 2);
    assert_eq!(status["readyReplicas"], 2);
    assert_eq!(status["availableReplicas"], 1);
    assert_eq!(status["terminatingReplicas"], 1);
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 20);
}

#[test]
fn a_status_that_says_the_same_is_not_written() {
    let said = json!({ "status": {
        "replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "terminatingReplicas": 0, "observedGeneration": 2 } });
    let plan = plan(&set(1, said), vec![ours("a", json!({}))]);
    assert!(plan.is_quiet(), "{plan:?}");
}

#[test]
fn a_failure_becomes_a_condition_and_success_takes_it_away() {
    let mut failing = plan(&set(1, json!({})), Vec::new());
    let decide = failing.after_failure.take().unwrap();
    let op = decide(&machinery::Status::bad_request("quota exceeded")).unwrap();
    let condition = body(&op)["status"]["conditions"][0].clone();
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("ReplicaFailure"), &json!("FailedCreate"))
    );
    assert_eq!(condition["message"], "quota exceeded");
    let failed = json!({ "status": { "conditions": [condition] } });
    let mended = plan(&set(1, failed), vec![ours("a", json!({}))]);
    assert_eq!(status(&mended).get("conditions"), None);
}
