//! Custom resources in a whole cluster under virtual time: defined, used, owned, and gone again.

use std::time::Duration;

use client::{Call, Delete, Key, Resource, Write, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);
const DEFINITION: &str = "widgets.example.com";

fn widgets() -> Resource {
    resources::custom(["example.com", "v1", "widgets", "Widget"], true)
}

fn definition() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": { "type": "integer", "default": 3, "maximum": 10 },
                    "color": { "type": "string" },
                },
            },
            "status": { "type": "object", "properties": { "ready": { "type": "integer" } } },
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": DEFINITION },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema }, "subresources": { "status": {} } }],
        },
    })
}

fn widget(namespace: &str, name: &str, rest: Value) -> Value {
    let mut widget = json!({ "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": { "name": name, "namespace": namespace } });
    for (member, value) in rest.as_object().unwrap() {
        widget[member] = value.clone();
    }
    widget
}

fn config_map(name: &str, owner: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "default", "ownerReferences": [reference(owner)] } })
}

fn reference(owner: &Value) -> Value {
    json!({ "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true })
}

async fn define(cluster: &Cluster) {
    cluster.create(resources::CUSTOM_RESOURCE_DEFINITIONS, "", definition()).await;
    cluster
        .until("the definition is established", MINUTE, async |cluster| {
            let definition =
                cluster.get(resources::CUSTOM_RESOURCE_DEFINITIONS, &Key::new("", DEFINITION)).await;
            let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        })
        .await;
}

async fn start() -> Cluster {
    let cluster = Cluster::start(11, 0).await;
    define(&cluster).await;
    cluster
}

async fn until_gone(cluster: &Cluster, resource: Resource, key: &Key) {
    cluster.until("it is gone", MINUTE, async |cluster| cluster.get(resource, key).await.is_null()).await;
}

async fn refusal(cluster: &Cluster, document: &Value) -> machinery::Status {
    let write = Write::Create(document.to_string().into_bytes().into());
    cluster.client.write(widgets(), Call::all("default"), write).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn what_is_defined_is_served_by_its_schema() {
    let cluster = start().await;
    let document = json!({ "spec": { "color": "red", "unknown": 1 }, "status": { "ready": 1 } });
    cluster.create(widgets(), "default", widget("default", "a", document)).await;
    let key = Key::new("default", "a");
    let read = cluster.get(widgets(), &key).await;
    assert_eq!(read["spec"], json!({ "size": 3, "color": "red" }), "defaulted and pruned");
    assert!(read.get("status").is_none(), "only the subresource sets the status");
    assert_eq!(read["metadata"]["generation"], 1);
    cluster.patch(widgets(), &key, json!({ "spec": { "size": 4 } })).await;
    assert_eq!(cluster.get(widgets(), &key).await["metadata"]["generation"], 2);
    for (spec, expected) in [
        (json!({ "size": 11 }), "spec.size: Invalid value: 11"),
        (json!({ "size": "big" }), "spec.size: Invalid value: \"string\""),
    ] {
        let refused = refusal(&cluster, &widget("default", "b", json!({ "spec": spec }))).await;
        assert_eq!(refused.code, 422);
        assert!(refused.message.contains(expected), "{}", refused.message);
    }
}

#[tokio::test(start_paused = true)]
async fn owners_and_owned_may_be_custom() {
    let cluster = start().await;
    cluster.create(widgets(), "default", widget("default", "owner", json!({}))).await;
    let owner = cluster.get(widgets(), &Key::new("default", "owner")).await;
    cluster.create(resources::CONFIG_MAPS, "default", config_map("owned", &owner)).await;
    let mut owned = widget("default", "owned", json!({}));
    owned["metadata"]["ownerReferences"] = json!([reference(&owner)]);
    cluster.create(widgets(), "default", owned).await;
    cluster.env.clock.sleep(MINUTE).await;
    let (map, child) = (Key::new("default", "owned"), Key::new("default", "owned"));
    assert!(!cluster.get(resources::CONFIG_MAPS, &map).await.is_null(), "its owner is there");
    assert!(!cluster.get(widgets(), &child).await.is_null(), "its owner is there");
    let how = Delete { propagation: "Foreground", ..Delete::default() };
    cluster.client.delete(widgets(), &Key::new("default", "owner"), how).await.unwrap();
    until_gone(&cluster, resources::CONFIG_MAPS, &map).await;
    until_gone(&cluster, widgets(), &child).await;
    until_gone(&cluster, widgets(), &Key::new("default", "owner")).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_orphaned_stays() {
    let cluster = start().await;
    cluster.create(widgets(), "default", widget("default", "owner", json!({}))).await;
    let owner = cluster.get(widgets(), &Key::new("default", "owner")).await;
    cluster.create(resources::CONFIG_MAPS, "default", config_map("owned", &owner)).await;
    cluster.env.clock.sleep(MINUTE).await;
    let how = Delete { propagation: "Orphan", ..Delete::default() };
    cluster.client.delete(widgets(), &Key::new("default", "owner"), how).await.unwrap();
    until_gone(&cluster, widgets(), &Key::new("default", "owner")).await;
    cluster.env.clock.sleep(MINUTE).await;
    let owned = cluster.get(resources::CONFIG_MAPS, &Key::new("default", "owned")).await;
    assert!(!owned.is_null() && owned["metadata"].get("ownerReferences").is_none(), "{owned}");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_custom_objects_along() {
    let cluster = Cluster::start(12, 0).await;
    let namespace = Key::new("", "shop");
    cluster
        .create(
            resources::NAMESPACES,
            "",
            json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": "shop" } }),
        )
        .await;
    define(&cluster).await;
    for name in ["a", "b"] {
        cluster.create(widgets(), "shop", widget("shop", name, json!({}))).await;
    }
    cluster.create(widgets(), "default", widget("default", "other", json!({}))).await;
    cluster.client.delete(resources::NAMESPACES, &namespace, Delete::default()).await.unwrap();
    until_gone(&cluster, resources::NAMESPACES, &namespace).await;
    assert!(cluster.list(widgets(), "shop").await.is_empty());
    assert_eq!(cluster.list(widgets(), "default").await.len(), 1, "others stay");
}

#[tokio::test(start_paused = true)]
async fn a_definition_goes_after_its_objects_and_may_come_again() {
    let cluster = start().await;
    cluster.create(widgets(), "default", widget("default", "owner", json!({}))).await;
    let owner = cluster.get(widgets(), &Key::new("default", "owner")).await;
    cluster.create(resources::CONFIG_MAPS, "default", config_map("owned", &owner)).await;
    let key = Key::new("", DEFINITION);
    let crd = resources::CUSTOM_RESOURCE_DEFINITIONS;
    cluster.client.delete(crd, &key, Delete::default()).await.unwrap();
    until_gone(&cluster, crd, &key).await;
    let refused = cluster.client.objects(widgets(), Call::all("default")).await.unwrap_err();
    assert_eq!(refused.code, 404, "{refused}");
    until_gone(&cluster, resources::CONFIG_MAPS, &Key::new("default", "owned")).await;

    define(&cluster).await;
    assert!(cluster.list(widgets(), "default").await.is_empty(), "nothing is left of the first");
    cluster.create(widgets(), "default", widget("default", "owner", json!({}))).await;
    let owner = cluster.get(widgets(), &Key::new("default", "owner")).await;
    cluster.create(resources::CONFIG_MAPS, "default", config_map("owned", &owner)).await;
    cluster.env.clock.sleep(MINUTE).await;
    cluster.client.delete(widgets(), &Key::new("default", "owner"), Delete::default()).await.unwrap();
    until_gone(&cluster, resources::CONFIG_MAPS, &Key::new("default", "owned")).await;
    cluster.expect_rest().await;
}
