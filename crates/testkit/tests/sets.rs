//! StatefulSets and DaemonSets in a whole cluster under virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Delete, Key, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [{ "name": "c", "image": image }] } })
}

fn stateful(replicas: i64, policy: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db", "namespace": "default" },
        "spec": { "replicas": replicas, "serviceName": "db", "podManagementPolicy": policy,
            "selector": { "matchLabels": { "app": "db" } }, "template": template("v1") },
    })
}

fn daemon() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "db", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "db" } }, "template": template("v1") },
    })
}

fn db() -> Key {
    Key::new("default", "db")
}

async fn until_stateful(cluster: &Cluster, replicas: i64) {
    cluster
        .until("the set is complete", 30 * MINUTE, async |cluster| {
            let set = cluster.get(resources::STATEFUL_SETS, &db()).await;
            let status = &set["status"];
            status["observedGeneration"] == set["metadata"]["generation"]
                && status["currentRevision"] == status["updateRevision"]
                && ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
                    .iter()
                    .all(|name| status[name].as_i64().unwrap_or(0) == replicas)
        })
        .await;
}

async fn until_daemons(cluster: &Cluster, nodes: i64) {
    cluster
        .until("the set is complete", 10 * MINUTE, async |cluster| {
            let set = cluster.get(resources::DAEMON_SETS, &db()).await;
            let status = &set["status"];
            status["observedGeneration"] == set["metadata"]["generation"]
                && ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
                    .iter()
                    .all(|name| status[name].as_i64().unwrap_or(0) == nodes)
        })
        .await;
}

/// Pods as name, image and node.
async fn pods(cluster: &Cluster) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pods = cluster.list(resources::PODS, "default").await;
    pods.iter()
        .map(|pod| {
            let image = text(&pod["spec"]["containers"][0]["image"]);
            (text(&pod["metadata"]["name"]), image, text(&pod["spec"]["nodeName"]))
        })
        .collect()
}

async fn rest(cluster: &Cluster) {
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_comes_in_order_rolls_scales_and_rests() {
    let cluster = Cluster::start(7, 2).await;
    cluster.create(resources::STATEFUL_SETS, "default", stateful(3, "OrderedReady")).await;
    until_stateful(&cluster, 3).await;
    let started = |pod: &Value| pod["status"]["startTime"].as_str().unwrap().to_owned();
    let times: Vec<String> = cluster.list(resources::PODS, "default").await.iter().map(started).collect();
    assert!(times.is_sorted(), "{times:?}");
    cluster.patch(resources::STATEFUL_SETS, &db(), json!({ "spec": { "template": template("v2") } })).await;
    until_stateful(&cluster, 3).await;
    assert!(pods(&cluster).await.iter().all(|(_, image, _)| image == "v2"));
    for replicas in [5, 1] {
        cluster.patch(resources::STATEFUL_SETS, &db(), json!({ "spec": { "replicas": replicas } })).await;
        until_stateful(&cluster, replicas).await;
    }
    rest(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_roll() {
    let cluster = Cluster::start(7, 2).await;
    let mut set = stateful(1_000, "Parallel");
    set["spec"]["updateStrategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" } });
    cluster.create(resources::STATEFUL_SETS, "default", set).await;
    until_stateful(&cluster, 1_000).await;
    cluster.patch(resources::STATEFUL_SETS, &db(), json!({ "spec": { "template": template("v2") } })).await;
    until_stateful(&cluster, 1_000).await;
    let pods = pods(&cluster).await;
    assert_eq!(pods.len(), 1_000);
    assert!(pods.iter().all(|(_, image, _)| image == "v2"));
    rest(&cluster).await;
}

/// Whoever has the name of a pod has it alone: another may run under it only when the first is known to be gone.
#[tokio::test(start_paused = true)]
async fn of_a_dead_nodes_pods_none_runs_twice() {
    let cluster = Cluster::start(7, 1).await;
    let doomed = cluster.add_node("doomed").await;
    cluster.create(resources::STATEFUL_SETS, "default", stateful(6, "Parallel")).await;
    until_stateful(&cluster, 6).await;
    let before: BTreeMap<String, String> =
        pods(&cluster).await.into_iter().map(|(name, _, node)| (name, node)).collect();
    let lost: Vec<&String> =
        before.iter().filter(|(_, node)| *node == "doomed").map(|(name, _)| name).collect();
    assert!(!lost.is_empty());
    doomed.die();
    for _ in 0..200 {
        cluster.env.clock.sleep(Duration::from_secs(5)).await;
        for (name, _, node) in pods(&cluster).await {
            assert_eq!(before[&name], node, "{name} runs elsewhere while its node may still run it");
        }
    }
    cluster.client.delete(resources::NODES, &Key::new("", "doomed"), Delete::default()).await.unwrap();
    cluster
        .until("they run elsewhere", 10 * MINUTE, async |cluster| {
            let pods = pods(cluster).await;
            pods.len() == 6 && pods.iter().all(|(_, _, node)| node == "node-0")
        })
        .await;
    until_stateful(&cluster, 6).await;
    rest(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn claims_come_with_pods() {
    let cluster = Cluster::start(7, 1).await;
    let mut set = stateful(2, "OrderedReady");
    set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } }]);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({ "whenDeleted": "Delete" });
    cluster.create(resources::STATEFUL_SETS, "default", set).await;
    cluster
        .until("there is a claim of the set's", MINUTE, async |cluster| {
            let claim =
                cluster.get(resources::PERSISTENT_VOLUME_CLAIMS, &Key::new("default", "data-db-0")).await;
            claim["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
        })
        .await;
    let pod = cluster.get(resources::PODS, &Key::new("default", "db-0")).await;
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-0");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_follows_nodes_rolls_and_rests() {
    let cluster = Cluster::start(7, 3).await;
    cluster.create(resources::DAEMON_SETS, "default", daemon()).await;
    until_daemons(&cluster, 3).await;
    cluster.add_node("late").await;
    until_daemons(&cluster, 4).await;
    cluster.patch(resources::DAEMON_SETS, &db(), json!({ "spec": { "template": template("v2") } })).await;
    until_daemons(&cluster, 4).await;
    let mut nodes: Vec<String> = pods(&cluster).await.into_iter().map(|(_, _, node)| node).collect();
    nodes.sort();
    assert_eq!(nodes, ["late", "node-0", "node-1", "node-2"]);
    let surge = json!({ "spec": { "template": template("v3"),
        "updateStrategy": { "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } } } });
    cluster.patch(resources::DAEMON_SETS, &db(), surge).await;
    until_daemons(&cluster, 4).await;
    assert!(pods(&cluster).await.iter().all(|(_, image, _)| image == "v3"));
    rest(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_daemon_is_replaced() {
    let cluster = Cluster::start(7, 1).await;
    cluster.create(resources::DAEMON_SETS, "default", daemon()).await;
    until_daemons(&cluster, 1).await;
    let (name, _, _) = pods(&cluster).await.remove(0);
    let failed = json!({ "status": { "phase": "Failed" } });
    cluster.client.patch_status(resources::PODS, &Key::new("default", &name), &failed).await.unwrap();
    cluster
        .until("another takes its place", MINUTE, async |cluster| {
            let pods = pods(cluster).await;
            pods.len() == 1 && pods[0].0 != name
        })
        .await;
    until_daemons(&cluster, 1).await;
    rest(&cluster).await;
}
