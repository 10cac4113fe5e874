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
