use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::endpointslice::plan::Slice;
use crate::tests::fixtures::{body, merge, object, writes};

fn source(subsets: Value, metadata: Value) -> Value {
    let mut source = json!({ "apiVersion": "v1", "kind": "Endpoints",
        "metadata": { "name": "db", "namespace": "shop", "uid": "e-1", "labels": { "app": "db" } }, "subsets": subsets });
    merge(&mut source["metadata"], metadata);
    source
}

fn view(source: Option<&Value>, slices: &[Value]) -> View {
    let source = source.map(|document| {
        let object = object(document);
        (object.clone(), object.view::<Endpoints>().unwrap())
    });
    let slice = |document: &Value| {
        let object = object(document);
        Slice { typed: object.view::<EndpointSlice>().unwrap(), object }
    };
    View { source, slices: slices.iter().map(slice).collect() }
}

fn one(ip: &str) -> Value {
    json!([{ "addresses": [{ "ip": ip }], "ports": [{ "port": 80, "protocol": "TCP" }] }])
}

/// The slice a plan makes, as the server would hold it.
fn made(source: &Value) -> Value {
    let mut slice = body(plan(&view(Some(source), &[])).ops().next().unwrap());
    merge(
        &mut slice["metadata"],
        json!({ "name": "db-x", "uid": "s-1", "resourceVersion": "3", "generateName": null }),
    );
    slice
}

#[test]
fn what_is_kept_by_hand_is_copied_and_then_left_alone() {
    let source = source(
        one("10.1.2.3"),
        json!({ "annotations": { "a": "b", "kubectl.kubernetes.io/last-applied-configuration": "x" } }),
    );
    let slice = made(&source);
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["endpoints"], json!([{ "addresses": ["10.1.2.3"], "conditions": { "ready": true } }]));
    assert_eq!(slice["ports"], json!([{ "name": "", "port": 80, "protocol": "TCP" }]));
    assert_eq!(
        slice["metadata"]["labels"],
        json!({ "app": "db", "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" })
    );
    assert_eq!(slice["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "e-1");
    assert!(plan(&view(Some(&source), &[slice])).is_quiet());
}

#[test]
fn changes_are_copied_and_what_is_gone_is_removed() {
    let slice = made(&source(one("10.1.2.3"), json!({})));
    let cases = [
        (Some(source(one("10.2.3.4"), json!({}))), vec!["update endpointslices shop/db-x"]),
        (
            Some(source(one("10.1.2.3"), json!({ "labels": { "more": "1" } }))),
            vec!["update endpointslices shop/db-x"],
        ),
        (
            Some(source(one("fd00::1"), json!({}))),
            vec!["create endpointslices shop/?", "delete endpointslices shop/db-x"],
        ),
        (Some(source(json!([]), json!({}))), vec!["delete endpointslices shop/db-x"]),
        (
            Some(source(one("10.1.2.3"), json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" }))),
            vec!["delete endpointslices shop/db-x"],
        ),
        (
            Some(source(
                one("10.1.2.3"),
                json!({ "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" } }),
            )),
            vec!["delete endpointslices shop/db-x"],
        ),
        (
            Some(source(
                one("10.1.2.3"),
                json!({ "annotations": { "control-plane.alpha.kubernetes.io/leader": "" } }),
            )),
            vec!["delete endpointslices shop/db-x"],
        ),
        (None, vec!["delete endpointslices shop/db-x"]),
    ];
    for (source, expected) in cases {
        assert_eq!(
            writes(&plan(&view(source.as_ref(), std::slice::from_ref(&slice)))),
            expected,
            "{source:?}"
        );
    }
}

#[test]
fn each_family_and_each_set_of_ports_has_a_slice() {
    let port = |name: &str, number: i32| json!([{ "name": name, "port": number }]);
    let subsets = json!([
        { "addresses": [{ "ip": "10.0.0.1", "nodeName": "n", "hostname": "h" }, { "ip": "fd00::1" }], "ports": port("a", 1) },
        { "addresses": [{ "ip": "10.0.0.1" }], "notReadyAddresses": [{ "ip": "10.0.0.2" }], "ports": port("b", 2) },
        { "addresses": [{ "ip": "10.0.0.3" }, { "ip": "10.0.0.1" }], "ports": port("b", 2) },
    ]);
    let plan = plan(&view(Some(&source(subsets, json!({}))), &[]));
    let slices: Vec<Value> = plan.ops().map(body).collect();
    let addresses = |slice: &Value| -> Vec<String> {
        let endpoints = slice["endpoints"].as_array().unwrap().iter();
        endpoints
            .map(|endpoint| format!("{}:{}", endpoint["addresses"][0], endpoint["conditions"]["ready"]))
            .collect()
    };
    let all: Vec<Vec<String>> = slices.iter().map(addresses).collect();
    assert_eq!(all[0], ["\"10.0.0.1\":true"]);
    assert_eq!(all[1], ["\"fd00::1\":true"]);
    assert_eq!(all[2], ["\"10.0.0.1\":true", "\"10.0.0.2\":false", "\"10.0.0.3\":true"]);
    assert_eq!(slices[0]["endpoints"][0]["nodeName"], "n");
    assert_eq!(slices[0]["endpoints"][0]["hostname"], "h");
}

#[test]
fn what_is_no_address_or_too_much_is_told() {
    let many: Vec<Value> =
        (0..1_005).map(|number| json!({ "ip": format!("10.0.{}.{}", number / 250, number % 250) })).collect();
    let subsets =
        json!([{ "addresses": many, "ports": [] }, { "addresses": [{ "ip": "nowhere" }], "ports": [] }]);
    let plan = plan(&view(Some(&source(subsets, json!({}))), &[]));
    assert_eq!(body(plan.ops().next().unwrap())["endpoints"].as_array().unwrap().len(), 1_000);
    let reasons: Vec<&str> = plan.notes.iter().map(|note| note.reason).collect();
    assert_eq!(reasons, ["InvalidIPAddress", "TooManyAddressesToMirror"]);
}
