use client::plan::Plan;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::plan::{Slice, View};
use crate::pod::Pod;
use crate::tests::fixtures::{ago, body, merge, object, pod, running_pod, writes};

fn service(changes: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "shop", "uid": "svc-1", "labels": { "team": "a" } },
        "spec": { "clusterIP": "10.96.0.9", "selector": { "app": "web" }, "ipFamilies": ["IPv4"],
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }] },
    });
    merge(&mut service, changes);
    service
}

fn at(name: &str, ip: &str, changes: Value) -> Pod {
    let mut document = running_pod(name, json!({ "status": { "podIP": ip, "podIPs": [{ "ip": ip }] } }));
    merge(&mut document, changes);
    pod(&document)
}

fn view(service: &Value, pods: Vec<Pod>, slices: &[Value]) -> View {
    let object = object(service);
    let typed = object.view::<Service>().unwrap();
    let slices = slices.iter().map(|slice| {
        let object = crate::tests::fixtures::object(slice);
        let typed = object.view::<EndpointSlice>().unwrap();
        Slice { object, typed }
    });
    let zones = [("node-1".into(), "zone-1".into())].into();
    View { object, service: typed, pods, zones, slices: slices.collect() }
}

fn plan(service: &Value, pods: Vec<Pod>, slices: &[Value]) -> Plan {
    super::plan::plan(&view(service, pods, slices))
}

/// What a plan makes, as the server would keep it.
fn made(plan: &Plan) -> Vec<Value> {
    plan.ops()
        .filter(|op| op.call.name.is_empty())
        .enumerate()
        .map(|(number, op)| {
            let mut slice = body(op);
            slice["metadata"]["name"] = json!(format!("web-{number}"));
            slice["metadata"]["uid"] = json!(format!("slice-{number}"));
            slice
        })
        .collect()
}

#[test]
fn a_service_has_a_slice_with_its_pods() {
    let slices = made(&plan(&service(json!({})), vec![at("a", "10.0.0.1", json!({}))], &[]));
    let [slice] = slices.as_slice() else { panic!("expected one slice: {slices:?}") };
    assert_eq!(slice["metadata"]["generateName"], "web-");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({ "team": "a", "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" })
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    assert_eq!(slice["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
    let endpoint = &slice["endpoints"][0];
    assert_eq!(endpoint["addresses"], json!(["10.0.0.1"]));
    assert_eq!(endpoint["conditions"], json!({ "ready": true, "serving": true, "terminating": false }));
    assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("node-1"), &json!("zone-1")));
    assert_eq!(endpoint["targetRef"]["uid"], "uid-a");
}

#[test]
fn conditions_follow_the_pod() {
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let going = json!({ "metadata": { "deletionTimestamp": ago(1) } });
    let cases = [
        (json!({}), json!({}), Some((true, true, false))),
        (unready.clone(), json!({}), Some((false, false, false))),
        (unready, json!({ "spec": { "publishNotReadyAddresses": true } }), Some((true, false, false))),
        (going, json!({}), Some((false, true, true))),
        (json!({ "status": { "phase": "Succeeded" } }), json!({}), None),
        (json!({ "status": { "podIP": null, "podIPs": null } }), json!({}), None),
        (json!({ "status": { "podIPs": [{ "ip": "fd00::1" }] } }), json!({}), None),
    ];
    for (changes, spec, expected) in cases {
        let slices = made(&plan(&service(spec), vec![at("a", "10.0.0.1", changes.clone())], &[]));
        let conditions = &slices[0]["endpoints"][0]["conditions"];
        let expected = expected.map_or(Value::Null, |(ready, serving, terminating)| {
            json!({ "ready": ready, "serving": serving, "terminating": terminating })
        });
        assert_eq!(*conditions, expected, "{changes}");
    }
}

#[test]
fn pods_with_other_ports_are_in_other_slices() {
    let named = |number: i32| {
        json!({ "spec": { "containers": [{ "name": "c", "image": "i",
        "ports": [{ "name": "http", "containerPort": number }] }] } })
    };
    let by_name =
        service(json!({ "spec": { "ports": [{ "name": "x", "port": 80, "targetPort": "http" }] } }));
    let pods =
        vec![at("a", "10.0.0.1", named(80)), at("b", "10.0.0.2", named(81)), at("c", "10.0.0.3", named(80))];
    let slices = made(&plan(&by_name, pods, &[]));
    let sizes: Vec<(i64, usize)> = slices
        .iter()
        .map(|slice| {
            (slice["ports"][0]["port"].as_i64().unwrap(), slice["endpoints"].as_array().unwrap().len())
        })
        .collect();
    assert_eq!(sizes, [(80, 2), (81, 1)]);
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let empty = plan(&service(json!({})), Vec::new(), &[]);
    let slices = made(&empty);
    assert_eq!((slices.len(), &slices[0]["endpoints"]), (1, &json!([])));
    assert!(plan(&service(json!({})), Vec::new(), &slices).is_quiet());
    let filled = plan(&service(json!({})), vec![at("a", "10.0.0.1", json!({}))], &slices);
    assert_eq!(writes(&filled), ["create endpointslices shop/?", "delete endpointslices shop/web-0"]);
}

#[test]
fn slices_that_say_what_is_so_are_left_alone() {
    let pods: Vec<Pod> =
        (0..150).map(|number| at(&format!("p{number}"), &format!("10.0.1.{number}"), json!({}))).collect();
    let service = service(json!({}));
    let slices = made(&plan(&service, pods.clone(), &[]));
    let sizes: Vec<usize> = slices.iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 50]);
    assert!(plan(&service, pods.clone(), &slices).is_quiet());
    let mut more = pods.clone();
    more.push(at("new", "10.0.2.1", json!({})));
    assert_eq!(writes(&plan(&service, more, &slices)), ["update endpointslices shop/web-1"]);
    let fewer = pods[1..].to_vec();
    assert_eq!(writes(&plan(&service, fewer, &slices)), ["update endpointslices shop/web-0"]);
    let mut replaced = pods[1..].to_vec();
    replaced.push(at("new", "10.0.2.1", json!({})));
    assert_eq!(writes(&plan(&service, replaced, &slices)), ["update endpointslices shop/web-0"]);
}

#[test]
fn a_name_is_told_only_within_its_subdomain() {
    for (subdomain, expected) in [("web", json!("db-0")), ("other", Value::Null)] {
        let named = json!({ "spec": { "hostname": "db-0", "subdomain": subdomain } });
        let headless = service(json!({ "spec": { "clusterIP": "None" } }));
        let slices = made(&plan(&headless, vec![at("a", "10.0.0.1", named)], &[]));
        assert_eq!(slices[0]["endpoints"][0]["hostname"], expected);
        assert_eq!(slices[0]["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    }
}

#[test]
fn both_families_have_slices() {
    let dual = service(json!({ "spec": { "ipFamilies": ["IPv4", "IPv6"] } }));
    let pod =
        at("a", "10.0.0.1", json!({ "status": { "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }] } }));
    let slices = made(&plan(&dual, vec![pod], &[]));
    let families: Vec<&str> = slices.iter().map(|slice| slice["addressType"].as_str().unwrap()).collect();
    assert_eq!(families, ["IPv4", "IPv6"]);
}
