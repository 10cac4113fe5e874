use std::collections::BTreeMap;

use serde_json::json;

use super::desired;
use crate::replicaset::plan::{View, plan};
use crate::tests::fixtures::{NOW, body, object, pod, running_pod, status, writes};

#[test]
fn it_keeps_its_pods_as_a_set_does() {
    let controller = object(&json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rc-1", "generation": 1 },
        "spec": { "replicas": 2, "selector": { "app": "web" },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [] } } },
        "status": { "replicas": 0 },
    }));
    let desired = desired(&controller).unwrap().unwrap();
    let orphan = pod(&running_pod("orphan", json!({})));
    let mut view = View { object: controller, desired, pods: vec![orphan], neighbours: BTreeMap::new() };
    let making = plan(&view, NOW);
    assert_eq!(writes(&making), ["patch pods shop/orphan", "create pods shop/?"]);
    let owner = body(making.ops().nth(1).unwrap())["metadata"]["ownerReferences"][0].clone();
    assert_eq!((&owner["kind"], &owner["apiVersion"]), (&json!("ReplicationController"), &json!("v1")));
    view.desired.replicas = 1;
    let plan = plan(&view, NOW);
    assert_eq!(status(&plan)["replicas"], 1);
    assert_eq!(status(&plan).get("terminatingReplicas"), None);
    assert_eq!(plan.status.unwrap().to_string(), "update replicationcontrollers/status shop/web");
}
