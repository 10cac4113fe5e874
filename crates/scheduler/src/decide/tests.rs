use std::collections::BTreeSet;
use std::sync::Arc;

use client::Entry;
use client::cache::Facts;
use machinery::Object;
use serde_json::{Value, json};

use super::*;
use crate::node::NodeEntry;

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        merge(&mut target[name.as_str()], value);
    }
}

fn entry<F: Facts>(document: &Value) -> Arc<Entry<F>> {
    let object = Object::from_json(&serde_json::to_vec(document).unwrap()).unwrap();
    let facts = F::of(&object).unwrap();
    Arc::new(Entry { object, facts })
}

fn node(name: &str, changes: Value) -> NodeEntry {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "uid": name, "labels": { "kubernetes.io/hostname": name } },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi" } },
    });
    merge(&mut node, &changes);
    entry(&node)
}

fn pod(name: &str, changes: Value) -> Pod {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "uid": name, "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    merge(&mut pod, &changes);
    entry(&pod)
}

fn asks(cpu: &str, memory: &str) -> Value {
    json!({ "spec": { "containers": [{ "name": "c", "image": "i",
        "resources": { "requests": { "cpu": cpu, "memory": memory } } }] } })
}

fn cluster(nodes: Vec<NodeEntry>, pods: Vec<(&str, Pod)>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    nodes.into_iter().for_each(|node| snapshot.set_node(node));
    pods.into_iter().for_each(|(node, pod)| snapshot.add_pod(&node.into(), pod));
    snapshot
}

fn place(pod: &Pod, snapshot: &Snapshot) -> Result<String, String> {
    match decide(pod, snapshot, &Entropy::from_seed(1)) {
        Decision::Bind { node, .. } => Ok(node.to_string()),
        Decision::Wait { message, .. } => Err(message),
    }
}

fn zoned(name: &str, zone: &str) -> NodeEntry {
    node(name, json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": zone } } }))
}

#[test]
fn without_nodes_nothing_can_be_placed() {
    assert_eq!(
        place(&pod("p", json!({})), &Snapshot::default()),
        Err("no nodes available to schedule pods".into())
    );
}

/// What a single node has, what the pod is, and what is said against the node.
#[test]
fn each_filter_has_its_words() {
    let nothing = json!({});
    let no_schedule = json!({ "spec": { "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] } });
    let cordoned = json!({ "spec": { "unschedulable": true } });
    let selector = json!({ "spec": { "nodeSelector": { "disk": "ssd" } } });
    let tolerate = |toleration: Value| json!({ "spec": { "tolerations": [toleration] } });
    let by_field = |operator: &str| {
        json!({ "spec": { "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchFields": [
            { "key": "metadata.name", "operator": operator, "values": ["n"] }] }] } } } } })
    };
    let by_label = |operator: &str, values: Value| {
        json!({ "spec": { "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "cores", "operator": operator, "values": values }] }] } } } } })
    };
    let cores = json!({ "metadata": { "labels": { "cores": "8" } } });
    let untolerated = Some("1 node(s) had untolerated taint(s)");
    let mismatch = Some("1 node(s) didn't match Pod's node affinity/selector");
    let cases: Vec<(Value, Value, Option<&str>)> = vec![
        (nothing.clone(), nothing.clone(), None),
        (cordoned.clone(), nothing.clone(), Some("1 node(s) were unschedulable")),
        (
            cordoned,
            tolerate(json!({ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" })),
            None,
        ),
        (no_schedule.clone(), nothing.clone(), untolerated),
        (no_schedule.clone(), tolerate(json!({ "key": "k", "operator": "Equal", "value": "v" })), None),
        (no_schedule.clone(), tolerate(json!({ "key": "k", "value": "other" })), untolerated),
        (
            no_schedule.clone(),
            tolerate(json!({ "key": "k", "operator": "Exists", "effect": "NoExecute" })),
            untolerated,
        ),
        (no_schedule, tolerate(json!({ "operator": "Exists" })), None),
        (
            json!({ "spec": { "taints": [{ "key": "k", "effect": "PreferNoSchedule" }] } }),
            nothing.clone(),
            None,
        ),
        (nothing.clone(), selector.clone(), mismatch),
        (json!({ "metadata": { "labels": { "disk": "ssd" } } }), selector, None),
        (nothing.clone(), by_field("In"), None),
        (nothing.clone(), by_field("NotIn"), mismatch),
        (cores.clone(), by_label("Gt", json!(["4"])), None),
        (cores.clone(), by_label("Lt", json!(["4"])), mismatch),
        (cores, by_label("NotIn", json!(["8"])), mismatch),
        (nothing.clone(), by_label("DoesNotExist", json!(null)), None),
        (nothing.clone(), asks("5", "1Gi"), Some("1 Insufficient cpu")),
        (nothing.clone(), asks("1", "9Gi"), Some("1 Insufficient memory")),
        (nothing.clone(), asks("5", "9Gi"), Some("1 Insufficient cpu, 1 Insufficient memory")),
        (nothing.clone(), asks("4", "8Gi"), None),
        (json!({ "status": { "allocatable": { "pods": "0" } } }), nothing.clone(), Some("1 Too many pods")),
    ];
    for (has, is, expected) in cases {
        let answer = place(&pod("p", is.clone()), &cluster(vec![node("n", has.clone())], Vec::new()));
        let expected = expected.map(|reason| {
            format!(
                "0/1 nodes are available: {reason}. no new claims to deallocate, preemption: 0/1 nodes are \
                     available: 1 Preemption is not helpful for scheduling."
            )
        });
        let told = answer.err();
        match expected {
            // Nodes that are full of pods might help if these went; there is none here.
            Some(expected) if expected.contains("Too many pods") => {
                assert!(
                    told.is_some_and(|told| told.starts_with("0/1 nodes are available: 1 Too many pods."))
                );
            }
            expected => assert_eq!(told, expected, "{has} {is}"),
        }
    }
}

#[test]
fn reasons_are_counted_and_sorted() {
    let tainted = json!({ "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] } });
    let full = ("c", pod("full", asks("3", "1Gi")));
    let nodes = vec![node("a", tainted.clone()), node("b", tainted), node("c", json!({}))];
    let answer = place(&pod("p", asks("2", "1Gi")), &cluster(nodes, vec![full]));
    let expected = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). no new claims to \
                    deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 \
                    Preemption is not helpful for scheduling.";
    assert_eq!(answer, Err(expected.to_owned()));
}

#[test]
fn requests_are_those_of_the_greediest_moment() {
    let container =
        |cpu: &str| json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } });
    let sidecar = |cpu: &str| {
        let mut sidecar = container(cpu);
        sidecar["restartPolicy"] = json!("Always");
        sidecar
    };
    let cases = [
        (json!({ "containers": [container("1"), container("500m")] }), 1_500),
        (json!({ "containers": [container("1")], "initContainers": [container("2")] }), 2_000),
        (json!({ "containers": [container("1")], "initContainers": [sidecar("1"), container("2")] }), 3_000),
        (json!({ "containers": [container("2")], "initContainers": [container("2"), sidecar("1")] }), 3_000),
        (json!({ "containers": [container("1")], "overhead": { "cpu": "250m" } }), 1_250),
        (json!({ "containers": [container("1")], "resources": { "requests": { "cpu": "3" } } }), 3_000),
    ];
    for (spec, milli) in cases {
        let pod = pod("p", json!({ "spec": spec.clone() }));
        assert_eq!(pod.facts.requests.cpu, milli, "{spec}");
    }
}

#[test]
fn ports_of_a_node_are_had_once() {
    let with_port = |ip: &str, protocol: &str| {
        json!({ "spec": { "containers": [{ "name": "c", "image": "i",
        "ports": [{ "containerPort": 80, "hostPort": 80, "hostIP": ip, "protocol": protocol }] }] } })
    };
    let cases = [
        ("0.0.0.0", "TCP", false),
        ("127.0.0.1", "TCP", false),
        ("10.0.0.1", "TCP", false),
        ("0.0.0.0", "UDP", true),
        ("127.0.0.1", "UDP", true),
    ];
    for (ip, protocol, fits) in cases {
        let taken = pod("taken", with_port("", "TCP"));
        let answer = place(
            &pod("p", with_port(ip, protocol)),
            &cluster(vec![node("n", json!({}))], vec![("n", taken)]),
        );
        assert_eq!(answer.is_ok(), fits, "{ip} {protocol}");
    }
}

#[test]
fn emptier_nodes_are_preferred() {
    let nodes = vec![node("a", json!({})), node("b", json!({})), node("c", json!({}))];
    let other = |name: &str| pod(name, json!({ "metadata": { "labels": { "app": "other" } } }));
    let mut snapshot = cluster(nodes, vec![("a", other("x")), ("b", other("y"))]);
    assert_eq!(place(&pod("p", json!({})), &snapshot), Ok("c".into()));
    let large = pod("large", asks("3", "6Gi"));
    snapshot.add_pod(&"c".into(), large);
    assert_ne!(place(&pod("p", json!({})), &snapshot), Ok("c".into()));
}

#[test]
fn wished_labels_win_and_weights_count() {
    let wish = |weight: i64, value: &str| {
        json!({ "weight": weight, "preference": { "matchExpressions": [
        { "key": "disk", "operator": "In", "values": [value] }] } })
    };
    let wishing = pod(
        "p",
        json!({ "spec": { "affinity": { "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [wish(10, "ssd"), wish(90, "nvme")] } } } }),
    );
    let disk = |disk: &str| json!({ "metadata": { "labels": { "disk": disk } } });
    let nodes = vec![node("a", disk("hdd")), node("b", disk("ssd")), node("c", disk("nvme"))];
    assert_eq!(place(&wishing, &cluster(nodes, Vec::new())), Ok("c".into()));
}

#[test]
fn hard_spreading_keeps_the_skew() {
    let spreading = json!({ "spec": { "topologySpreadConstraints": [{ "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "app": "web" } } }] } });
    let nodes = || vec![zoned("a", "1"), zoned("b", "2")];
    let web = |name: &str| pod(name, json!({}));
    assert_eq!(place(&pod("p", spreading.clone()), &cluster(nodes(), vec![("a", web("x"))])), Ok("b".into()));
    let mut only_a = nodes();
    only_a[1] = node(
        "b",
        json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "2" } },
        "spec": { "unschedulable": true } }),
    );
    let answer = place(&pod("p", spreading.clone()), &cluster(only_a, vec![("a", web("x"))])).unwrap_err();
    assert!(
        answer.contains(
            "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."
        ),
        "{answer}"
    );
    let unlabelled =
        place(&pod("p", spreading), &cluster(vec![node("a", json!({}))], Vec::new())).unwrap_err();
    assert!(unlabelled.contains("constraints (missing required label)"), "{unlabelled}");
}

#[test]
fn pods_keep_near_and_apart() {
    let term = json!([{ "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "app": "web" } } }]);
    let near = json!({ "spec": { "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term } } } });
    let apart = json!({ "spec": { "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term } } } });
    let nodes = || vec![zoned("a", "1"), zoned("b", "1"), zoned("c", "2")];
    let stranger = |changes: &Value| {
        let mut all = changes.clone();
        merge(&mut all, &json!({ "metadata": { "labels": { "app": "other" } } }));
        pod("p", all)
    };
    let with_web = || cluster(nodes(), vec![("c", pod("web", json!({})))]);
    assert_eq!(place(&stranger(&near), &with_web()), Ok("c".into()));
    assert_ne!(place(&stranger(&apart), &with_web()), Ok("c".into()));
    let alone = place(&stranger(&near), &cluster(nodes(), Vec::new())).unwrap_err();
    assert!(alone.contains("3 node(s) didn't match pod affinity rules."), "{alone}");
    assert!(
        place(&pod("p", near), &cluster(nodes(), Vec::new())).is_ok(),
        "the first of a group may go anywhere"
    );
    let kept = cluster(vec![zoned("a", "1")], vec![("a", stranger(&apart))]);
    let answer = place(&pod("p", json!({})), &kept).unwrap_err();
    assert!(answer.contains("1 node(s) didn't satisfy existing pods anti-affinity rules."), "{answer}");
    let elsewhere = pod("p", json!({ "metadata": { "namespace": "other" } }));
    assert!(place(&elsewhere, &kept).is_ok(), "terms are about pods of their own namespace");
}

#[test]
fn the_fewest_and_least_important_pods_make_room() {
    let important = |name: &str, priority: i64, cpu: &str| {
        let mut pod = asks(cpu, "1Gi");
        pod["spec"]["priority"] = json!(priority);
        crate::decide::tests::pod(name, pod)
    };
    let nodes = vec![node("a", json!({})), node("b", json!({}))];
    let pods =
        vec![("a", important("a1", 1, "2")), ("a", important("a2", 5, "2")), ("b", important("b1", 7, "4"))];
    let snapshot = cluster(nodes, pods);
    let decision = decide(&important("p", 10, "2"), &snapshot, &Entropy::from_seed(1));
    let Decision::Wait { preemption: Some(preemption), message, nominated, .. } = decision else {
        panic!("expected room to be made: {decision:?}");
    };
    let victims: Vec<&str> = preemption.victims.iter().map(|pod| pod.object.header().name.as_str()).collect();
    assert_eq!((preemption.node.as_str(), victims), ("a", vec!["a1"]));
    assert_eq!(nominated, "a");
    assert_eq!(message, "0/2 nodes are available: 2 Insufficient cpu.");
    let polite = {
        let mut pod = asks("2", "1Gi");
        pod["spec"]["priority"] = json!(10);
        pod["spec"]["preemptionPolicy"] = json!("Never");
        pod
    };
    let answer = place(&pod("p", polite), &snapshot).unwrap_err();
    assert!(answer.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{answer}");
}

#[test]
fn a_promised_node_is_kept_free_for_whom_it_was_promised() {
    let mut snapshot = cluster(vec![node("a", json!({}))], Vec::new());
    let mut promised = asks("3", "1Gi");
    promised["spec"]["priority"] = json!(10);
    promised["status"] = json!({ "nominatedNodeName": "a" });
    let promised = pod("promised", promised);
    snapshot.nominate(&"a".into(), promised.clone());
    assert!(place(&pod("p", asks("2", "1Gi")), &snapshot).is_err());
    assert_eq!(place(&promised, &snapshot), Ok("a".into()));
}

#[test]
fn a_thousand_pods_spread_evenly_over_their_nodes() {
    let nodes: Vec<NodeEntry> = (0..20).map(|number| node(&format!("n{number:02}"), json!({}))).collect();
    let mut snapshot = cluster(nodes, Vec::new());
    let entropy = Entropy::from_seed(5);
    for number in 0..1_000 {
        let pod = pod(&format!("p{number}"), asks("10m", "10Mi"));
        let Decision::Bind { node, .. } = decide(&pod, &snapshot, &entropy) else { panic!("there is room") };
        snapshot.add_pod(&node, pod);
    }
    let counts: BTreeSet<usize> = snapshot.nodes().iter().map(|node| node.pods.len()).collect();
    assert!(counts.iter().all(|count| (47..=53).contains(count)), "{counts:?}");
}
