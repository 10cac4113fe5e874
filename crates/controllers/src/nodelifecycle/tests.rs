use client::plan::Plan;
use env::WallTime;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::plan::View;
use crate::tests::fixtures::{NOW, ago, body, object, pod, running_pod, writes};

fn node(conditions: &[(&str, &str)], taints: &[(&str, &str)]) -> Value {
    let condition = |(kind, status): &(&str, &str)| json!({ "type": kind, "status": status });
    let taint = |(key, effect): &(&str, &str)| json!({ "key": key, "effect": effect });
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n", "uid": "n", "resourceVersion": "4" },
        "spec": { "taints": taints.iter().map(taint).collect::<Vec<_>>() },
        "status": { "conditions": conditions.iter().map(condition).collect::<Vec<_>>() } })
}

fn plan(node: &Value, silent_secs: i64) -> Plan {
    let object = object(node);
    let typed = object.view::<Node>().unwrap();
    let heard = WallTime::from_secs(NOW.secs() - silent_secs);
    let pods = vec![pod(&running_pod("p", json!({})))];
    super::plan::plan(&View { object, node: typed, heard, pods }, NOW)
}

const HEALTHY: [(&str, &str); 4] =
    [("Ready", "True"), ("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False")];
const SILENT: [(&str, &str); 4] = [
    ("Ready", "Unknown"),
    ("MemoryPressure", "Unknown"),
    ("DiskPressure", "Unknown"),
    ("PIDPressure", "Unknown"),
];

#[test]
fn a_node_that_is_heard_is_left_alone_until_it_might_be_silent() {
    let plan = plan(&node(&HEALTHY, &[]), 20);
    assert!(plan.is_quiet(), "{plan:?}");
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 30);
}

#[test]
fn a_silent_node_becomes_unknown_then_tainted_and_its_pods_unready() {
    let first = plan(&node(&HEALTHY, &[]), 50);
    assert_eq!(writes(&first), ["patch nodes/status n"]);
    let conditions = body(first.ops().next().unwrap())["status"]["conditions"].clone();
    assert_eq!(conditions.as_array().unwrap().len(), 4);
    assert_eq!(conditions[0]["message"], "Kubelet stopped posting node status.");
    let second = plan(&node(&SILENT, &[]), 51);
    assert_eq!(writes(&second), ["patch nodes n", "patch pods/status shop/p"]);
    let taints = body(second.ops().next().unwrap())["spec"]["taints"].clone();
    let names: Vec<String> = taints
        .as_array()
        .unwrap()
        .iter()
        .map(|taint| format!("{}:{}", taint["key"], taint["effect"]))
        .collect();
    assert_eq!(
        names,
        [
            "\"node.kubernetes.io/unreachable\":\"NoSchedule\"",
            "\"node.kubernetes.io/unreachable\":\"NoExecute\"",
        ]
    );
    assert!(taints[1]["timeAdded"].is_string());
}

#[test]
fn a_node_that_never_spoke_is_told_apart() {
    let plan = plan(&node(&[], &[("node.kubernetes.io/not-ready", "NoSchedule")]), 60);
    let conditions = body(plan.ops().next().unwrap())["status"]["conditions"].clone();
    assert_eq!(conditions[0]["reason"], "NodeStatusNeverUpdated");
}

#[test]
fn a_heartbeat_in_the_status_is_a_sign_of_life_too() {
    let mut node = node(&HEALTHY, &[]);
    node["status"]["conditions"][0]["lastHeartbeatTime"] = json!(ago(10));
    assert!(plan(&node, 500).is_quiet());
}

/// Conditions, taints before, and taints after.
#[test]
fn taints_follow_conditions() {
    let (not_ready, unreachable) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    let (memory, foreign) = ("node.kubernetes.io/memory-pressure", "example.com/mine");
    type Taints<'a> = &'a [(&'a str, &'a str)];
    type Case<'a> = (Taints<'a>, Taints<'a>, Option<Taints<'a>>);
    let cases: [Case<'_>; 6] = [
        (&HEALTHY, &[(not_ready, "NoSchedule")], Some(&[])),
        (&HEALTHY, &[(foreign, "NoSchedule"), (not_ready, "NoExecute")], Some(&[(foreign, "NoSchedule")])),
        (&[("Ready", "False")], &[], Some(&[(not_ready, "NoSchedule"), (not_ready, "NoExecute")])),
        (
            &[("Ready", "False")],
            &[(unreachable, "NoSchedule"), (unreachable, "NoExecute")],
            Some(&[(not_ready, "NoSchedule"), (not_ready, "NoExecute")]),
        ),
        (&[("Ready", "True"), ("MemoryPressure", "True")], &[], Some(&[(memory, "NoSchedule")])),
        (&[], &[(not_ready, "NoSchedule")], None),
    ];
    for (conditions, before, after) in cases {
        let plan = plan(&node(conditions, before), 1);
        let written = plan.ops().find(|op| op.resource == client::resources::NODES).map(body);
        let taints = written.map(|body| {
            let taints = body["spec"]["taints"].as_array().cloned().unwrap_or_default();
            taints
                .iter()
                .map(|t| (t["key"].as_str().unwrap().to_owned(), t["effect"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        });
        let after = after
            .map(|after| after.iter().map(|(k, e)| ((*k).to_owned(), (*e).to_owned())).collect::<Vec<_>>());
        assert_eq!(taints, after, "{conditions:?} {before:?}");
    }
}

#[test]
fn a_cordoned_node_is_tainted() {
    let mut node = node(&HEALTHY, &[]);
    node["spec"]["unschedulable"] = json!(true);
    let taints = body(plan(&node, 1).ops().next().unwrap())["spec"]["taints"].clone();
    assert_eq!(taints[0]["key"], "node.kubernetes.io/unschedulable");
}

#[test]
fn a_pod_that_could_not_be_marked_is_marked_again() {
    let plan = plan(&node(&SILENT, &[]), 60);
    let marks: Vec<_> = plan.ops().filter(|op| op.resource == client::resources::PODS).collect();
    assert!(!marks.is_empty());
    assert!(marks.iter().all(|op| !op.tolerated.contains(&409)), "nothing else would try again");
}
