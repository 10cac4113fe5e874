//! Quotas in a whole cluster under virtual time.

use std::time::Duration;

use client::{Call, Delete, Key, Write, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

fn quota(hard: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "q", "namespace": "default" },
        "spec": { "hard": hard } })
}

fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "100m" } } }] } })
}

async fn until_used(cluster: &Cluster, used: Value) {
    let key = Key::new("default", "q");
    cluster
        .until(&format!("{used} is used"), MINUTE, async |cluster| {
            cluster.get(resources::RESOURCE_QUOTAS, &key).await["status"]["used"] == used
        })
        .await;
}

async fn try_pod(cluster: &Cluster, name: &str) -> Result<(), machinery::Status> {
    let write = Write::Create(pod(name).to_string().into_bytes().into());
    cluster.client.write(resources::PODS, Call::all("default"), write).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn of_many_at_once_exactly_as_many_pass_as_there_is_room_for() {
    let cluster = Cluster::start(21, 2).await;
    cluster.create(resources::RESOURCE_QUOTAS, "default", quota(json!({ "pods": "7", "cpu": "2" }))).await;
    until_used(&cluster, json!({ "pods": "0", "cpu": "0" })).await;
    let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
    let attempts = names.iter().map(|name| try_pod(&cluster, name));
    let outcomes = futures_util::future::join_all(attempts).await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 7);
    for status in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(status.code, 403);
        let told = "is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7";
        assert!(status.message.ends_with(told), "{status}");
    }
    until_used(&cluster, json!({ "pods": "7", "cpu": "700m" })).await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_makes_room() {
    let cluster = Cluster::start(22, 1).await;
    cluster
        .create(resources::RESOURCE_QUOTAS, "default", quota(json!({ "pods": "1", "secrets": "5" })))
        .await;
    until_used(&cluster, json!({ "pods": "0", "secrets": "0" })).await;
    for round in 0..5 {
        let name = format!("p{round}");
        try_pod(&cluster, &name).await.unwrap();
        assert!(try_pod(&cluster, "other").await.is_err());
        until_used(&cluster, json!({ "pods": "1", "secrets": "0" })).await;
        let key = Key::new("default", &name);
        cluster.client.delete(resources::PODS, &key, Delete::default()).await.unwrap();
        until_used(&cluster, json!({ "pods": "0", "secrets": "0" })).await;
    }
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn what_controllers_make_is_held_to_it_too() {
    let cluster = Cluster::start(23, 2).await;
    cluster
        .create(
            resources::RESOURCE_QUOTAS,
            "default",
            quota(json!({ "pods": "3", "count/deployments.apps": "1" })),
        )
        .await;
    until_used(&cluster, json!({ "pods": "0", "count/deployments.apps": "0" })).await;
    let deployment = |name: &str| {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "default" },
            "spec": { "replicas": 5, "selector": { "matchLabels": { "app": name } },
                "template": { "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "c", "image": "i" }] } } } })
    };
    cluster.create(resources::DEPLOYMENTS, "default", deployment("web")).await;
    let write = Write::Create(deployment("two").to_string().into_bytes().into());
    let refused =
        cluster.client.write(resources::DEPLOYMENTS, Call::all("default"), write).await.unwrap_err();
    assert_eq!(refused.code, 403);
    cluster
        .until("three pods run", MINUTE, async |cluster| {
            cluster.list(resources::PODS, "default").await.len() == 3
        })
        .await;
    cluster.env.clock.sleep(MINUTE).await;
    assert_eq!(cluster.list(resources::PODS, "default").await.len(), 3);
    let key = Key::new("default", "q");
    cluster.patch(resources::RESOURCE_QUOTAS, &key, json!({ "spec": { "hard": { "pods": "5" } } })).await;
    cluster
        .until("all pods run", 30 * MINUTE, async |cluster| {
            cluster.list(resources::PODS, "default").await.len() == 5
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_counted_and_given_back() {
    let cluster = Cluster::start(24, 0).await;
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": { "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }] } });
    cluster.create(resources::CUSTOM_RESOURCE_DEFINITIONS, "", definition).await;
    let key = Key::new("", "widgets.example.com");
    cluster
        .until("it is established", MINUTE, async |cluster| {
            let definition = cluster.get(resources::CUSTOM_RESOURCE_DEFINITIONS, &key).await;
            let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        })
        .await;
    cluster
        .create(resources::RESOURCE_QUOTAS, "default", quota(json!({ "count/widgets.example.com": "1" })))
        .await;
    until_used(&cluster, json!({ "count/widgets.example.com": "0" })).await;
    let widgets = resources::custom(["example.com", "v1", "widgets", "Widget"], true);
    let widget = |name: &str| json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": name, "namespace": "default" } });
    let served = async |cluster: &Cluster| {
        let write = Write::Create(widget("a").to_string().into_bytes().into());
        cluster.client.write(widgets, Call::all("default"), write).await.is_ok()
    };
    cluster.until("the first is made", MINUTE, served).await;
    let write = Write::Create(widget("b").to_string().into_bytes().into());
    let refused = cluster.client.write(widgets, Call::all("default"), write).await.unwrap_err();
    assert_eq!(refused.code, 403, "{refused}");
    until_used(&cluster, json!({ "count/widgets.example.com": "1" })).await;
    cluster.client.delete(widgets, &Key::new("default", "a"), Delete::default()).await.unwrap();
    until_used(&cluster, json!({ "count/widgets.example.com": "0" })).await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_changes_one_revision_before_what_it_is_charged_for() {
    let cluster = Cluster::start(23, 1).await;
    cluster.create(resources::RESOURCE_QUOTAS, "default", quota(json!({ "pods": "1" }))).await;
    until_used(&cluster, json!({ "pods": "0" })).await;
    let made = cluster.client.write(
        resources::PODS,
        Call::all("default"),
        Write::Create(pod("p").to_string().into_bytes().into()),
    );
    let revision =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    let made = client::plan::tree(&made.await.unwrap()).unwrap();
    let quota = cluster.get(resources::RESOURCE_QUOTAS, &Key::new("default", "q")).await;
    assert_eq!(revision(&quota) + 1, revision(&made));
}
