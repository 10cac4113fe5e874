use client::plan::Plan;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::plan::View;
use crate::pod::Pod;
use crate::tests::fixtures::{ago, body, merge, object, pod, running_pod, writes};

fn service(changes: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "shop", "uid": "svc-1" },
        "spec": { "clusterIP": "10.96.0.9", "selector": { "app": "web" },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" },
                { "name": "admin", "port": 81, "targetPort": "admin", "protocol": "TCP" }] },
    });
    merge(&mut service, changes);
    service
}

fn at(name: &str, ip: &str, changes: Value) -> Pod {
    let mut document = running_pod(name, json!({ "status": { "podIP": ip, "podIPs": [{ "ip": ip }] } }));
    merge(&mut document, changes);
    pod(&document)
}

fn plan(service: Option<&Value>, pods: Vec<Pod>, endpoints: Option<&Value>) -> Plan {
    let service = service.map(|service| {
        let object = object(service);
        let typed = object.view::<Service>().unwrap();
        (object, typed)
    });
    super::plan::plan(&View { service, pods, endpoints: endpoints.map(object) })
}

fn made(service: &Value, pods: Vec<Pod>) -> Value {
    let plan = plan(Some(service), pods, None);
    let mut document = body(plan.ops().next().unwrap());
    document["metadata"]["uid"] = json!("e-1");
    document
}

#[test]
fn ready_and_unready_addresses_are_told_apart() {
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let pods = vec![
        at("a", "10.0.0.1", json!({})),
        at("b", "10.0.0.2", unready.clone()),
        at("c", "10.0.0.3", json!({ "metadata": { "deletionTimestamp": ago(1) } })),
        at("d", "10.0.0.4", json!({ "status": { "phase": "Failed" } })),
    ];
    let document = made(&service(json!({})), pods.clone());
    let [subset] = document["subsets"].as_array().unwrap().as_slice() else { panic!("{document}") };
    assert_eq!(subset["addresses"][0]["ip"], "10.0.0.1");
    assert_eq!(subset["addresses"].as_array().unwrap().len(), 1);
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.0.0.2");
    assert_eq!(subset["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
    assert_eq!(document["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"], "endpoint-controller");
    let all = made(&service(json!({ "spec": { "publishNotReadyAddresses": true } })), pods);
    assert_eq!(all["subsets"][0]["addresses"].as_array().unwrap().len(), 3);
}

#[test]
fn ports_with_the_same_addresses_share_a_subset() {
    let admin = json!({ "spec": { "containers": [{ "name": "c", "image": "i",
        "ports": [{ "name": "admin", "containerPort": 9000 }] }] } });
    let document =
        made(&service(json!({})), vec![at("a", "10.0.0.1", admin.clone()), at("b", "10.0.0.2", json!({}))]);
    assert_eq!(document["subsets"].as_array().unwrap().len(), 2);
    let document =
        made(&service(json!({})), vec![at("a", "10.0.0.1", admin.clone()), at("b", "10.0.0.2", admin)]);
    let [subset] = document["subsets"].as_array().unwrap().as_slice() else { panic!("{document}") };
    assert_eq!(
        (subset["ports"].as_array().unwrap().len(), subset["addresses"].as_array().unwrap().len()),
        (2, 2)
    );
}

#[test]
fn what_is_right_is_left_alone_and_the_rest_is_updated() {
    let pods = vec![at("a", "10.0.0.1", json!({}))];
    let document = made(&service(json!({})), pods.clone());
    assert!(plan(Some(&service(json!({}))), pods.clone(), Some(&document)).is_quiet());
    let empty = made(&service(json!({})), Vec::new());
    let mut kept = empty.clone();
    kept.as_object_mut().unwrap().remove("subsets");
    assert!(plan(Some(&service(json!({}))), Vec::new(), Some(&kept)).is_quiet());
    assert_eq!(writes(&plan(Some(&service(json!({}))), pods, Some(&kept))), ["update endpoints shop/web"]);
}

#[test]
fn they_go_with_their_service() {
    let document = made(&service(json!({})), Vec::new());
    assert_eq!(writes(&plan(None, Vec::new(), Some(&document))), ["delete endpoints shop/web"]);
}

#[test]
fn there_are_at_most_a_thousand_addresses() {
    let pods = (0..1_200)
        .map(|n| at(&format!("p{n}"), &format!("10.0.{}.{}", n / 250, n % 250), json!({})))
        .collect();
    let document = made(&service(json!({})), pods);
    assert_eq!(document["subsets"][0]["addresses"].as_array().unwrap().len(), 1_000);
    assert_eq!(document["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"], "truncated");
}
