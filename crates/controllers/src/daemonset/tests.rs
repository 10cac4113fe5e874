mod places;
mod updates;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::cache::Facts;
use client::plan::Plan;
use client::{Entry, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::plan::View;
use crate::history::{self, Revision};
use crate::node::Node;
use crate::tests::fixtures::{NOW, ago, body, merge, object, status, writes};
use crate::tests::world::World;

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "agent" } },
        "spec": { "containers": [{ "name": "c", "image": image }] },
    })
}

fn set(changes: Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "agent", "namespace": "shop", "uid": "set-1", "generation": 1,
            "annotations": { "deprecated.daemonset.template.generation": "1" } },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "updateStrategy": { "type": "RollingUpdate",
                "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
            "revisionHistoryLimit": 10,
            "template": template("v1"),
        },
    });
    merge(&mut set, changes);
    set
}

fn node(name: &str, changes: Value) -> Value {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": { "kubernetes.io/hostname": name } },
        "spec": {},
    });
    merge(&mut node, changes);
    node
}

fn cached(document: &Value) -> Node {
    let object = object(document);
    let facts = Facts::of(&object).unwrap();
    Arc::new(Entry { object, facts })
}

/// A world with a set and so many nodes in it.
fn world(set: Value, nodes: usize) -> World {
    let mut world = World::default();
    world.put(resources::DAEMON_SETS, set);
    for number in 0..nodes {
        world.put(resources::NODES, node(&format!("n{number}"), json!({})));
    }
    world
}

fn view(world: &World) -> View {
    let object = object(world.get(resources::DAEMON_SETS, "shop", "agent").unwrap());
    let set = object.view::<DaemonSet>().unwrap();
    let data = history::data_of(&object).unwrap();
    let taken = world.names(resources::CONTROLLER_REVISIONS);
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    View {
        next: history::next_name("agent", &data, collisions, |name| taken.iter().any(|own| own == name)),
        set,
        pods: world.pods(),
        revisions: world
            .objects(resources::CONTROLLER_REVISIONS)
            .iter()
            .map(|revision| Revision::read(revision).unwrap())
            .collect(),
        data,
        nodes: world.list(resources::NODES).into_iter().map(cached).collect(),
        not_before: BTreeMap::new(),
        object,
    }
}

fn plan(world: &World) -> Plan {
    super::plan::plan(&view(world), NOW)
}

/// What the scheduler does: pods go to the node they are tied to.
fn bind(world: &mut World) {
    let waiting: Vec<(String, SmolStr)> = world
        .pods()
        .iter()
        .filter(|pod| pod.facts.node.is_empty() && !pod.facts.only_node.is_empty())
        .map(|pod| (pod.object.header().name.to_string(), pod.facts.only_node.clone()))
        .collect();
    for (name, node) in waiting {
        world.edit(resources::PODS, "shop", &name, json!({ "spec": { "nodeName": node.as_str() } }));
    }
}

fn settle(world: &mut World) {
    for _ in 0..200 {
        let plan = plan(world);
        let done = world.carry_out(&plan, usize::MAX);
        bind(world);
        world.run_pods();
        if done == 0 && world.pods().iter().all(|pod| pod.facts.is_ready) {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", world.log);
}

fn settled(set: Value, nodes: usize) -> World {
    let mut world = world(set, nodes);
    settle(&mut world);
    world.log.clear();
    world
}

/// Pods as node and image, sorted.
fn images(world: &World) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pods = world.list(resources::PODS).into_iter();
    let mut images: Vec<_> = pods
        .map(|pod| (text(&pod["spec"]["nodeName"]), text(&pod["spec"]["containers"][0]["image"])))
        .collect();
    images.sort();
    images
}

fn nodes_with(world: &World, image: &str) -> Vec<String> {
    images(world).into_iter().filter(|(_, own)| own == image).map(|(node, _)| node).collect()
}

fn change_set(world: &mut World, patch: Value) {
    let generation =
        world.get(resources::DAEMON_SETS, "shop", "agent").unwrap()["metadata"]["generation"].clone();
    world.edit(resources::DAEMON_SETS, "shop", "agent", patch);
    let next = (generation.as_i64().unwrap() + 1).to_string();
    let metadata = json!({ "generation": generation.as_i64().unwrap() + 1,
        "annotations": { "deprecated.daemonset.template.generation": next } });
    world.edit(resources::DAEMON_SETS, "shop", "agent", json!({ "metadata": metadata }));
}

fn set_image(world: &mut World, image: &str) {
    change_set(world, json!({ "spec": { "template": template(image) } }));
}

/// The name of the pod on a node.
fn pod_on(world: &World, node: &str) -> String {
    let pods = world.pods();
    let pod = pods.iter().find(|pod| pod.facts.node == node).expect("there is one");
    pod.object.header().name.to_string()
}

fn edit_on(world: &mut World, node: &str, patch: Value) {
    let name = pod_on(world, node);
    world.edit(resources::PODS, "shop", &name, patch);
}

fn unready() -> Value {
    json!({ "status": { "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": ago(9) }] } })
}

fn pod_writes(plan: &Plan) -> Vec<String> {
    writes(plan).into_iter().filter(|write| write.contains(" pods ")).collect()
}

#[test]
fn every_node_gets_a_pod_of_its_own() {
    let mut world = world(set(json!({})), 3);
    let first = plan(&world);
    let ops: Vec<Value> = first.ops().map(body).collect();
    assert_eq!(ops.len(), 4);
    let (revision, pod) = (&ops[0], &ops[1]);
    let hash = revision["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap();
    assert_eq!(revision["metadata"]["name"], format!("agent-{hash}"));
    assert_eq!(revision["data"]["spec"]["template"]["$patch"], "replace");
    assert_eq!(
        pod["metadata"]["labels"],
        json!({ "app": "agent", "controller-revision-hash": hash, "pod-template-generation": "1" })
    );
    assert_eq!(pod["metadata"]["generateName"], "agent-");
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = json!({ "key": "metadata.name", "operator": "In", "values": ["n0"] });
    assert_eq!(*required, json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] }));
    assert_eq!(pod["spec"].get("nodeName"), None);
    let op = first.ops().nth(1).unwrap();
    assert_eq!(op.success.as_ref().unwrap().message, "Created pod: {name}");
    assert_eq!(op.failure.as_ref().unwrap().message, "Error creating: {error}");
    settle(&mut world);
    assert_eq!(nodes_with(&world, "v1"), ["n0", "n1", "n2"]);
    let status = &world.get(resources::DAEMON_SETS, "shop", "agent").unwrap()["status"];
    assert_eq!(
        *status,
        json!({ "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberAvailable": 3,
            "numberMisscheduled": 0, "numberReady": 3, "numberUnavailable": 0, "observedGeneration": 1,
            "updatedNumberScheduled": 3 })
    );
}

#[test]
fn no_more_than_a_burst_is_made_at_once() {
    let plan = plan(&world(set(json!({})), 600));
    assert_eq!(pod_writes(&plan).len(), 250);
}

/// What became of the pod on a node; then what is written, and the event that says so.
#[test]
fn a_pod_that_ended_makes_room_for_another() {
    let cases = [
        (json!({ "status": { "phase": "Failed" } }), 1, Some("FailedDaemonPod")),
        (json!({ "status": { "phase": "Succeeded" } }), 1, Some("SucceededDaemonPod")),
        (json!({ "status": { "phase": "Unknown" } }), 0, None),
        (json!({ "metadata": { "deletionTimestamp": ago(1) } }), 0, None),
        (json!({ "metadata": { "deletionTimestamp": ago(1) }, "status": { "phase": "Failed" } }), 0, None),
    ];
    for (patch, removed, event) in cases {
        let mut world = settled(set(json!({})), 2);
        edit_on(&mut world, "n1", patch.clone());
        let plan = plan(&world);
        assert_eq!(pod_writes(&plan).len(), removed, "{patch}");
        assert_eq!(plan.notes.first().map(|note| note.reason), event, "{patch}");
        if event == Some("FailedDaemonPod") {
            let name = pod_on(&world, "n1");
            let text = format!("Found failed daemon pod shop/{name} on node n1, will try to kill it");
            assert_eq!(plan.notes[0].message, text);
        }
    }
}

#[test]
fn a_pod_that_fails_again_waits_before_it_is_replaced() {
    let mut world = settled(set(json!({})), 1);
    edit_on(&mut world, "n0", json!({ "status": { "phase": "Failed" } }));
    let mut view = view(&world);
    let uid = world.pods()[0].object.header().uid.clone();
    view.not_before.insert(uid, WallTime::from_secs(NOW.secs() + 4));
    let waiting = super::plan::plan(&view, NOW);
    assert_eq!(pod_writes(&waiting), Vec::<String>::new());
    assert_eq!(waiting.requeue_after.unwrap().as_secs(), 4);
    let later = super::plan::plan(&view, WallTime::from_secs(NOW.secs() + 4));
    assert_eq!(pod_writes(&later).len(), 1);
}

/// One node fails again and again: pod, generation, when it is seen, and how long it waits then.
#[test]
fn waits_double_with_each_failure_and_end_with_a_change_or_a_long_quiet() {
    let backoff = super::backoff::Backoff::default();
    let set = client::Key::new("shop", "agent");
    let cases = [
        ("a", 1, 0, 0),
        ("a", 1, 0, 0),
        ("b", 1, 0, 1),
        ("b", 1, 1, 0),
        ("c", 1, 1, 2),
        ("d", 1, 3, 4),
        ("e", 1, 100, 0),
        ("f", 1, 100, 16),
        ("g", 2, 101, 0),
        ("h", 2, 101, 1),
        ("i", 2, 5_000, 0),
        ("j", 2, 5_000, 1),
    ];
    for (pod, generation, secs, expected) in cases {
        let now = WallTime::from_secs(NOW.secs() + secs);
        let failed = [(SmolStr::new("n0"), SmolStr::new(pod))];
        let at = backoff.observe(&set, generation, &failed, now)[pod];
        assert_eq!(at.secs() - now.secs(), expected, "{pod} after {secs} s");
    }
    let mut now = NOW;
    for number in 0..20 {
        let failed = [(SmolStr::new("n0"), SmolStr::new(format!("k{number}")))];
        let at = *backoff.observe(&set, 3, &failed, now).values().next().unwrap();
        assert!(at.since(now).as_secs() <= 900);
        now = at;
    }
    assert!(now.since(NOW).as_secs() > 5_000, "it does not grow");
}

#[test]
fn pods_that_fail_at_the_same_time_are_each_counted_once() {
    let backoff = super::backoff::Backoff::default();
    let set = client::Key::new("shop", "agent");
    let failed: Vec<_> = ["a", "b"].map(|pod| (SmolStr::new("n0"), SmolStr::new(pod))).into();
    let first = backoff.observe(&set, 1, &failed, NOW);
    assert_eq!(backoff.observe(&set, 1, &failed, NOW), first);
    backoff.forget(&set);
    assert_eq!(backoff.observe(&set, 1, &failed[1..], NOW)["b"], NOW);
}

#[test]
fn of_several_pods_on_a_node_the_eldest_stays() {
    let mut world = settled(set(json!({})), 1);
    let mut double = world.list(resources::PODS)[0].clone();
    merge(
        &mut double,
        json!({ "metadata": { "name": "double", "uid": "d-1", "creationTimestamp": ago(-5) } }),
    );
    world.put(resources::PODS, double);
    assert_eq!(pod_writes(&plan(&world)), ["delete pods shop/double"]);
    let mut unbound = world.list(resources::PODS)[0].clone();
    let changes = json!({ "metadata": { "name": "a-unbound", "uid": "d-2", "creationTimestamp": ago(900) },
        "spec": { "nodeName": null } });
    merge(&mut unbound, changes);
    world.put(resources::PODS, unbound);
    assert_eq!(pod_writes(&plan(&world)), ["delete pods shop/double", "delete pods shop/a-unbound"]);
}

#[test]
fn a_pod_that_waits_for_a_node_that_is_gone_is_removed() {
    let mut world = settled(set(json!({})), 2);
    edit_on(&mut world, "n1", json!({ "spec": { "nodeName": null }, "status": { "phase": "Pending" } }));
    world.remove(resources::NODES, "", "n1");
    assert_eq!(pod_writes(&plan(&world)).len(), 1);
    let mut bound = settled(set(json!({})), 2);
    bound.remove(resources::NODES, "", "n1");
    assert_eq!(pod_writes(&plan(&bound)).len(), 0, "that is for the collector of pods");
}

#[test]
fn a_set_that_selects_everything_or_is_deleted_does_nothing() {
    let everything = plan(&world(set(json!({ "spec": { "selector": { "matchLabels": null } } })), 2));
    assert_eq!(writes(&everything), Vec::<String>::new());
    assert_eq!(everything.notes[0].reason, "SelectingAll");
    let text = "This daemon set is selecting all pods. A non-empty selector is required.";
    assert_eq!(everything.notes[0].message, text);
    let deleted = plan(&world(set(json!({ "metadata": { "deletionTimestamp": ago(1) } })), 2));
    assert!(deleted.is_quiet(), "{deleted:?}");
}

#[test]
fn orphans_are_taken_in() {
    let mut world = settled(set(json!({})), 1);
    edit_on(&mut world, "n0", json!({ "metadata": { "ownerReferences": null } }));
    let plan = plan(&world);
    assert!(matches!(&plan.steps[0], client::Step::Confirm { uid, .. } if uid == "set-1"));
    assert_eq!(plan.ops().count(), 1);
}

#[test]
fn the_status_counts_nodes_by_their_eldest_pod() {
    let mut world = settled(set(json!({ "spec": { "minReadySeconds": 30 } })), 0);
    for name in ["n0", "n1", "n2", "n3"] {
        world.put(resources::NODES, node(name, json!({})));
    }
    let conditions = |secs| json!([{ "type": "Ready", "status": "True", "lastTransitionTime": ago(secs) }]);
    let first = plan(&world);
    world.carry_out(&first, usize::MAX);
    bind(&mut world);
    world.run_pods();
    for (node, secs) in [("n0", 40), ("n1", 10)] {
        edit_on(&mut world, node, json!({ "status": { "conditions": conditions(secs) } }));
    }
    edit_on(&mut world, "n2", unready());
    let taint = json!([{ "key": "k", "effect": "NoSchedule" }]);
    world.edit(resources::NODES, "", "n3", json!({ "spec": { "taints": taint } }));
    let plan = plan(&world);
    let status = status(&plan);
    let numbers = |name: &str| status[name].as_i64().unwrap_or(0);
    assert_eq!(numbers("desiredNumberScheduled"), 3);
    assert_eq!(numbers("currentNumberScheduled"), 3);
    assert_eq!(numbers("numberReady"), 2);
    assert_eq!(numbers("numberAvailable"), 1);
    assert_eq!(numbers("numberUnavailable"), 2);
    assert_eq!(numbers("numberMisscheduled"), 1);
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 20);
}

#[test]
fn whatever_is_cut_off_is_made_good() {
    let surge =
        json!({ "spec": { "updateStrategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } } } });
    let acts: [fn(&mut World); 4] = [
        |_| {},
        |world| set_image(world, "v2"),
        |world| world.put(resources::NODES, node("late", json!({}))),
        |world| {
            let taint = json!([{ "key": "k", "effect": "NoExecute" }]);
            world.edit(resources::NODES, "", "n1", json!({ "spec": { "taints": taint } }));
            set_image(world, "v2");
        },
    ];
    for changes in [json!({}), surge] {
        for act in acts {
            for limit in 0..3 {
                let mut world = world(set(changes.clone()), 3);
                crash_often(&mut world, limit);
                act(&mut world);
                crash_often(&mut world, limit);
                settle(&mut world);
                let document = world.get(resources::DAEMON_SETS, "shop", "agent").unwrap().clone();
                let image = document["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
                let images = images(&world);
                let desired = document["status"]["desiredNumberScheduled"].as_u64().unwrap() as usize;
                assert_eq!(images.len(), desired, "{limit}: {images:?}");
                assert!(images.iter().all(|(_, own)| own == image), "{limit}: {images:?}");
            }
        }
    }
}

fn crash_often(world: &mut World, limit: usize) {
    for _ in 0..10 {
        let plan = plan(world);
        world.carry_out(&plan, limit);
        bind(world);
        world.run_pods();
    }
}
