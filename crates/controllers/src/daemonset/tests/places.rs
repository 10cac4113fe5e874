//! Which nodes get a pod.

use super::super::place::{Fit, Rules};
use super::*;

fn judge(spec: Value, node: &Value) -> Fit {
    let spec = serde_json::from_value(spec).unwrap();
    Rules::of(&spec).judge(&cached(node))
}

fn terms(terms: Value) -> Value {
    json!({ "containers": [], "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
}

fn expression(key: &str, operator: &str, values: Value) -> Value {
    json!([{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }])
}

#[test]
fn nodes_are_chosen_by_name_label_and_affinity() {
    let node = node("n1", json!({ "metadata": { "labels": { "zone": "a", "cores": "8" } } }));
    let field = |operator: &str, name: &str| json!([{ "matchFields": [{ "key": "metadata.name", "operator": operator, "values": [name] }] }]);
    let cases = [
        (json!({ "containers": [] }), true),
        (json!({ "containers": [], "nodeName": "n1" }), true),
        (json!({ "containers": [], "nodeName": "n2" }), false),
        (json!({ "containers": [], "nodeSelector": { "zone": "a" } }), true),
        (json!({ "containers": [], "nodeSelector": { "zone": "b" } }), false),
        (json!({ "containers": [], "nodeSelector": { "zone": "a", "none": "" } }), false),
        (terms(expression("zone", "In", json!(["a", "b"]))), true),
        (terms(expression("zone", "In", json!(["b"]))), false),
        (terms(expression("zone", "NotIn", json!(["a"]))), false),
        (terms(expression("none", "NotIn", json!(["a"]))), true),
        (terms(expression("zone", "Exists", json!(null))), true),
        (terms(expression("zone", "DoesNotExist", json!(null))), false),
        (terms(expression("cores", "Gt", json!(["4"]))), true),
        (terms(expression("cores", "Gt", json!(["8"]))), false),
        (terms(expression("cores", "Lt", json!(["9"]))), true),
        (terms(expression("zone", "Gt", json!(["1"]))), false),
        (terms(expression("zone", "Sort of", json!(["a"]))), false),
        (terms(field("In", "n1")), true),
        (terms(field("In", "n2")), false),
        (terms(field("NotIn", "n1")), false),
        (terms(json!([])), false),
        (terms(json!([{}])), false),
        (
            terms(json!([{ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["b"] }] }, {
            "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }])),
            true,
        ),
    ];
    for (spec, fits) in cases {
        let expected = if fits { Fit::Wanted } else { Fit::Unwanted };
        assert_eq!(judge(spec.clone(), &node), expected, "{spec}");
    }
}

/// Taints and tolerations; whether the network is the host's; what the node is then.
#[test]
fn taints_keep_pods_off_or_drive_them_out() {
    let taint = |key: &str, effect: &str| json!([{ "key": key, "value": "v", "effect": effect }]);
    let system =
        |name: &str, effect: &str| json!([{ "key": format!("node.kubernetes.io/{name}"), "effect": effect }]);
    let exists = json!([{ "operator": "Exists" }]);
    let equal = json!([{ "key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule" }]);
    let none = json!([]);
    let cases = [
        (taint("k", "NoSchedule"), none.clone(), false, Fit::MayStay),
        (taint("k", "NoExecute"), none.clone(), false, Fit::Unwanted),
        (taint("k", "PreferNoSchedule"), none.clone(), false, Fit::Wanted),
        (taint("k", "NoSchedule"), exists.clone(), false, Fit::Wanted),
        (taint("k", "NoExecute"), exists, false, Fit::Wanted),
        (taint("k", "NoSchedule"), equal.clone(), false, Fit::Wanted),
        (taint("k", "NoExecute"), equal, false, Fit::Unwanted),
        (system("not-ready", "NoExecute"), none.clone(), false, Fit::Wanted),
        (system("not-ready", "NoSchedule"), none.clone(), false, Fit::MayStay),
        (system("unreachable", "NoExecute"), none.clone(), false, Fit::Wanted),
        (system("disk-pressure", "NoSchedule"), none.clone(), false, Fit::Wanted),
        (system("memory-pressure", "NoSchedule"), none.clone(), false, Fit::Wanted),
        (system("pid-pressure", "NoSchedule"), none.clone(), false, Fit::Wanted),
        (system("unschedulable", "NoSchedule"), none.clone(), false, Fit::Wanted),
        (system("network-unavailable", "NoSchedule"), none.clone(), false, Fit::MayStay),
        (system("network-unavailable", "NoSchedule"), none, true, Fit::Wanted),
    ];
    for (taints, tolerations, on_host, expected) in cases {
        let node = node("n1", json!({ "spec": { "taints": taints } }));
        let spec = json!({ "containers": [], "tolerations": tolerations, "hostNetwork": on_host });
        assert_eq!(judge(spec, &node), expected, "{taints} {tolerations} {on_host}");
    }
}

#[test]
fn what_is_borne_for_a_time_is_borne_for_ever() {
    let mut spec = serde_json::from_value(json!({ "containers": [], "tolerations": [
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        { "key": "mine", "operator": "Exists" }] }))
    .unwrap();
    super::super::place::add_tolerations(&mut spec);
    let tolerations = serde_json::to_value(spec.tolerations.unwrap()).unwrap();
    let keys: Vec<&str> =
        tolerations.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    let short: Vec<&str> = keys.iter().map(|key| key.trim_start_matches("node.kubernetes.io/")).collect();
    assert_eq!(
        short,
        [
            "not-ready",
            "mine",
            "unreachable",
            "disk-pressure",
            "memory-pressure",
            "pid-pressure",
            "unschedulable"
        ]
    );
    assert_eq!(tolerations[0].get("tolerationSeconds"), None);
}

/// What the node of a running pod becomes, and whether the pod goes.
#[test]
fn a_pod_leaves_a_node_that_fits_no_more() {
    let taint = |effect: &str| json!({ "spec": { "taints": [{ "key": "k", "effect": effect }] } });
    let cases = [
        (json!({ "metadata": { "labels": { "disk": "hdd" } } }), 1),
        (taint("NoExecute"), 1),
        (taint("NoSchedule"), 0),
        (json!({ "spec": { "unschedulable": true } }), 0),
    ];
    for (patch, removed) in cases {
        let selecting = json!({ "spec": { "template": { "spec": { "nodeSelector": { "disk": "ssd" } } } } });
        let mut world = world(set(selecting), 0);
        for name in ["n0", "n1"] {
            world.put(resources::NODES, node(name, json!({ "metadata": { "labels": { "disk": "ssd" } } })));
        }
        settle(&mut world);
        world.edit(resources::NODES, "", "n1", patch.clone());
        assert_eq!(pod_writes(&plan(&world)).len(), removed, "{patch}");
    }
}
