use client::Key;
use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{ago, body, merge, object};

fn service(name: &str, age: i64, changes: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": ago(age)},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP"}]},
        "status": {"loadBalancer": {}},
    });
    merge(&mut service, changes);
    service
}

fn node(name: &str, address: &str, changes: Value) -> Value {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10351}},
        },
    });
    merge(&mut node, changes);
    node
}

fn slice(ready: bool, node: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "s", "namespace": "shop"},
        "endpoints": [{"addresses": ["10.1.0.1"], "nodeName": node, "conditions": {"ready": ready}}],
        "ports": [{"port": 7443, "protocol": "TCP"}],
    })
}

/// What each Service gets, as `name: address address`, of those that are written.
fn given(services: &[Value], nodes: &[Value], slices: &[(Key, Value)]) -> Vec<String> {
    let view = View {
        services: services
            .iter()
            .map(|one| {
                let object = object(one);
                let view = object.view().unwrap();
                (object, view)
            })
            .collect(),
        nodes: nodes.iter().map(|one| object(one).view().unwrap()).collect(),
        slices: slices.iter().map(|(key, one)| (key.clone(), object(one).view().unwrap())).collect(),
    };
    let plan = plan(&view);
    let ops = plan.ops().map(|op| {
        let points = body(op)["status"]["loadBalancer"]["ingress"].clone();
        let points = points.as_array().unwrap().iter().map(|point| point["ip"].as_str().unwrap().to_owned());
        format!("{}: {}", op.call.name, points.collect::<Vec<_>>().join(" "))
    });
    ops.collect()
}

#[test]
fn a_service_gets_the_addresses_of_the_nodes_that_can_serve_it() {
    let one = || node("a", "192.0.2.1", json!({}));
    let two = |changes| node("b", "192.0.2.2", changes);
    let both = "web: 192.0.2.1 192.0.2.2";
    let first = "web: 192.0.2.1";
    for (why, other, expected) in [
        ("both", two(json!({})), both),
        (
            "not ready",
            two(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})),
            first,
        ),
        (
            "excluded",
            two(
                json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}),
            ),
            first,
        ),
        ("on its way out", two(json!({"metadata": {"deletionTimestamp": ago(1)}})), first),
        (
            "an address outside",
            two(json!({"status": {"addresses": [
                {"type": "InternalIP", "address": "10.0.0.2"}, {"type": "ExternalIP", "address": "198.51.100.2"}]}})),
            "web: 192.0.2.1 198.51.100.2",
        ),
        (
            "another family",
            two(json!({"status": {"addresses": [{"type": "InternalIP", "address": "fd00::2"}]}})),
            first,
        ),
    ] {
        assert_eq!(given(&[service("web", 9, json!({}))], &[one(), other], &[]), [expected], "{why}");
    }
}

#[test]
fn what_is_right_is_left_alone_and_what_is_wrong_is_put_right() {
    let points = |ips: &[&str]| {
        let points: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        json!({"status": {"loadBalancer": {"ingress": points}}})
    };
    let nodes = [node("a", "192.0.2.1", json!({}))];
    assert_eq!(given(&[service("web", 9, points(&["192.0.2.1"]))], &nodes, &[]), [""; 0]);
    assert_eq!(given(&[service("web", 9, points(&["192.0.2.9"]))], &nodes, &[]), ["web: 192.0.2.1"]);
    assert_eq!(given(&[service("web", 9, points(&["192.0.2.9"]))], &[], &[]), ["web: "]);
}

#[test]
fn traffic_that_must_stay_goes_to_nodes_with_endpoints() {
    let local = service("web", 9, json!({"spec": {"externalTrafficPolicy": "Local"}}));
    let nodes = [node("a", "192.0.2.1", json!({})), node("b", "192.0.2.2", json!({}))];
    let (own, other) = (Key::new("shop", "web"), Key::new("shop", "other"));
    for (slices, expected) in [
        (vec![(own.clone(), slice(true, "b"))], &["web: 192.0.2.2"][..]),
        (
            vec![(own.clone(), slice(true, "b")), (own.clone(), slice(true, "a"))],
            &["web: 192.0.2.1 192.0.2.2"],
        ),
        (vec![(own, slice(false, "b"))], &[]),
        (vec![(other, slice(true, "b"))], &[]),
    ] {
        assert_eq!(given(std::slice::from_ref(&local), &nodes, &slices), expected);
    }
}

#[test]
fn a_port_of_the_nodes_is_one_services_only() {
    let nodes = [node("a", "192.0.2.1", json!({}))];
    let port =
        |number: i32, protocol: &str| json!({"spec": {"ports": [{"port": number, "protocol": protocol}]}});
    let young = |changes| service("young", 5, changes);
    let old = || service("zold", 50, json!({}));
    let api = (Key::new("default", "kubernetes"), slice(true, ""));
    for (other, expected) in [
        (young(json!({})), &["zold: 192.0.2.1"][..]),
        (young(port(81, "TCP")), &["zold: 192.0.2.1", "young: 192.0.2.1"]),
        (young(port(80, "UDP")), &["zold: 192.0.2.1", "young: 192.0.2.1"]),
        (young(port(10250, "TCP")), &["zold: 192.0.2.1"]),
        (young(port(10351, "TCP")), &["zold: 192.0.2.1"]),
        (young(port(7443, "TCP")), &["zold: 192.0.2.1"]),
    ] {
        assert_eq!(given(&[other, old()], &nodes, std::slice::from_ref(&api)), expected);
    }
}
