//! Who is let in.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::*;
use crate::tests::pod;

fn asked(spec: Value, others: &[Value]) -> Result<(), (String, String)> {
    let complete = |spec: &Value| {
        let mut spec = spec.clone();
        if spec["containers"].is_null() {
            spec["containers"] = json!([{"name": "a"}]);
        }
        pod(spec, json!({}))
    };
    let labels = BTreeMap::from([("zone".to_owned(), "z1".to_owned()), ("cores".to_owned(), "4".to_owned())]);
    let quantity = |text: &str| Quantity(text.to_owned());
    let allocatable = Amounts::from([
        ("cpu".to_owned(), quantity("2")),
        ("memory".to_owned(), quantity("1Gi")),
        ("pods".to_owned(), quantity("3")),
        ("example.com/dongle".to_owned(), quantity("2")),
    ]);
    let taint = |effect: &str| Taint {
        key: "maintenance".to_owned(),
        value: Some("now".to_owned()),
        effect: effect.to_owned(),
        time_added: None,
    };
    let taints = match spec["nodeName"].as_str() {
        Some("tainted") => vec![taint("NoSchedule"), taint("NoExecute")],
        _ => vec![taint("NoSchedule")],
    };
    let sysctls = ["kernel.msg*".to_owned()];
    let node =
        Node { name: "n1", labels: &labels, allocatable: &allocatable, taints: &taints, sysctls: &sysctls };
    let others: Vec<PodView> = others.iter().map(complete).collect();
    admit(&complete(&spec), &others, &node).map_err(|refusal| (refusal.reason, refusal.message))
}

fn needs(resources: Value) -> Value {
    json!({"containers": [{"name": "a", "resources": {"requests": resources}}]})
}

fn refused(spec: Value, others: &[Value]) -> String {
    asked(spec, others).err().map(|(reason, _)| reason).unwrap_or_default()
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_eq!(refused(needs(json!({"cpu": "2"})), &[]), "");
    assert_eq!(refused(needs(json!({"cpu": "2001m"})), &[]), "OutOfcpu");
    assert_eq!(refused(needs(json!({"memory": "1Gi"})), &[needs(json!({"memory": "1"}))]), "OutOfmemory");
    let (_, message) = asked(needs(json!({"cpu": "1500m"})), &[needs(json!({"cpu": "1"}))]).unwrap_err();
    assert_eq!(message, "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000");
    let (_, message) = asked(needs(json!({"memory": "2Gi"})), &[]).unwrap_err();
    assert_eq!(
        message,
        "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"
    );
    let three = vec![json!({}); 3];
    assert_eq!(refused(json!({}), &three), "OutOfpods");
    // A pod that asks for nothing fits a full node.
    assert_eq!(refused(json!({}), &[needs(json!({"cpu": "5"}))]), "");
}

#[test]
fn labels_decide() {
    let affinity = |key: &str, operator: &str, values: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]}}}})
    };
    let name = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}}});
    for (spec, good) in [
        (json!({"nodeSelector": {"zone": "z1"}}), true),
        (json!({"nodeSelector": {"zone": "z2"}}), false),
        (affinity("zone", "In", json!(["z1", "z2"])), true),
        (affinity("zone", "NotIn", json!(["z1"])), false),
        (affinity("none", "NotIn", json!(["z1"])), true),
        (affinity("zone", "Exists", json!([])), true),
        (affinity("none", "DoesNotExist", json!([])), true),
        (affinity("cores", "Gt", json!(["3"])), true),
        (affinity("cores", "Lt", json!(["4"])), false),
        (affinity("zone", "Gt", json!(["3"])), false),
        (name, true),
    ] {
        let wanted = if good { "" } else { "NodeAffinity" };
        assert_eq!(refused(spec.clone(), &[]), wanted, "{spec}");
    }
}

#[test]
fn ports_of_the_node_are_taken_once() {
    let port = |port: u16, protocol: &str, ip: &str| {
        json!({"containers": [{"name": "a", "ports": [
            {"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": ip}]}]})
    };
    let there = [port(80, "TCP", "")];
    assert_eq!(refused(port(80, "TCP", ""), &there), "NodePorts");
    assert_eq!(refused(port(80, "TCP", "10.0.0.1"), &there), "NodePorts");
    assert_eq!(refused(port(80, "UDP", ""), &there), "");
    assert_eq!(refused(port(81, "TCP", ""), &there), "");
    assert_eq!(refused(port(80, "TCP", "10.0.0.1"), &[port(80, "TCP", "10.0.0.2")]), "");
    assert_eq!(refused(port(80, "TCP", "0.0.0.0"), &[port(80, "TCP", "10.0.0.2")]), "NodePorts");
}

#[test]
fn only_harmless_kernel_settings_may_be_made() {
    let with = |name: &str, extra: Value| {
        let mut spec = extra;
        spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
        spec
    };
    for (spec, message) in [
        (with("kernel.shm_rmid_forced", json!({})), ""),
        (with("kernel/shm_rmid_forced", json!({})), ""),
        (with("kernel.msgmax", json!({})), ""),
        (with("kernel.sem", json!({})), "forbidden sysctl: \"kernel.sem\" not allowlisted"),
        (with("vm.swappiness", json!({})), "forbidden sysctl: \"vm.swappiness\" not allowlisted"),
        (
            with("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})),
            "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled",
        ),
        (
            with("kernel.shm_rmid_forced", json!({"hostIPC": true})),
            "forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled",
        ),
    ] {
        let got = asked(spec.clone(), &[]).err();
        assert_eq!(got.as_ref().map_or("", |(_, message)| message), message, "{spec}");
        assert!(got.is_none_or(|(reason, _)| reason == "SysctlForbidden"));
    }
}

#[test]
fn resources_that_others_announced_are_counted_and_unknown_ones_are_not() {
    let dongles = |count: &str| needs(json!({"example.com/dongle": count}));
    assert_eq!(refused(dongles("2"), &[]), "");
    let (reason, message) = asked(dongles("2"), &[dongles("1")]).unwrap_err();
    assert_eq!(reason, "OutOfexample.com/dongle");
    assert_eq!(
        message,
        "Node didn't have enough resource: example.com/dongle, requested: 2, used: 1, capacity: 2"
    );
    assert_eq!(refused(needs(json!({"example.com/unknown": "9"})), &[]), "");
}

#[test]
fn another_system_is_refused() {
    assert_eq!(refused(json!({"os": {"name": "linux"}}), &[]), "");
    assert_eq!(refused(json!({"os": {"name": "windows"}}), &[]), "PodOSNotSupported");
}

#[test]
fn taints_that_expel_must_be_tolerated() {
    let tolerating = |toleration: Value| json!({"nodeName": "tainted", "tolerations": [toleration]});
    assert_eq!(refused(json!({}), &[]), "", "other taints are the scheduler's business");
    for (toleration, reason) in [
        (json!({"operator": "Exists"}), ""),
        (json!({"key": "maintenance", "operator": "Exists"}), ""),
        (json!({"key": "maintenance", "value": "now", "effect": "NoExecute"}), ""),
        (json!({"key": "maintenance", "value": "later"}), "TaintToleration"),
        (json!({"key": "maintenance", "operator": "Exists", "effect": "NoSchedule"}), "TaintToleration"),
        (json!({"key": "other", "operator": "Exists"}), "TaintToleration"),
    ] {
        assert_eq!(refused(tolerating(toleration.clone()), &[]), reason, "{toleration}");
    }
}
