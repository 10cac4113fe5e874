//! Many objects in a whole cluster under virtual time.

use std::time::Duration;

use client::{Call, Delete, Key, Write, resources};
use futures_util::StreamExt;
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);
/// How many calls of a test are under way at the same time.
const AT_ONCE: usize = 32;

fn web() -> Key {
    Key::new("default", "web")
}

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": image }] } })
}

async fn start(replicas: i64, nodes: usize) -> Cluster {
    let cluster = Cluster::start(31, nodes).await;
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } }, "template": template("v1") } });
    cluster.create(resources::DEPLOYMENTS, "default", deployment).await;
    cluster.until("it is complete", 10 * MINUTE, async |cluster| is_complete(cluster, replicas).await).await;
    cluster
}

async fn is_complete(cluster: &Cluster, replicas: i64) -> bool {
    let deployment = cluster.get(resources::DEPLOYMENTS, &web()).await;
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|name| status[name] == replicas)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_are_replaced_within_their_bounds() {
    let cluster = start(1_000, 3).await;
    let patch = json!({ "spec": { "template": template("v2") } });
    cluster.patch(resources::DEPLOYMENTS, &web(), patch).await;
    cluster
        .until("all are replaced", 20 * MINUTE, async |cluster| {
            let sets = cluster.list(resources::REPLICA_SETS, "default").await;
            let total: i64 = sets.iter().filter_map(|set| set["spec"]["replicas"].as_i64()).sum();
            assert!(total <= 1_250, "{total} pods are wanted at once");
            let deployment = cluster.get(resources::DEPLOYMENTS, &web()).await;
            let available = deployment["status"]["availableReplicas"].as_i64().unwrap_or(0);
            assert!(available >= 750, "only {available} pods are available");
            is_complete(cluster, 1_000).await
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_pods_of_a_dead_node_are_replaced_elsewhere() {
    let cluster = Cluster::start(32, 2).await;
    let doomed = cluster.add_node("doomed").await;
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "replicas": 300, "selector": { "matchLabels": { "app": "web" } }, "template": template("v1") } });
    cluster.create(resources::DEPLOYMENTS, "default", deployment).await;
    cluster.until("it is complete", 10 * MINUTE, async |cluster| is_complete(cluster, 300).await).await;
    doomed.die();
    cluster
        .until("all run elsewhere", 20 * MINUTE, async |cluster| {
            let pods = cluster.list(resources::PODS, "default").await;
            let elsewhere =
                |pod: &&Value| pod["spec"]["nodeName"] != "doomed" && pod["status"]["phase"] == "Running";
            pods.iter().filter(elsewhere).count() == 300
        })
        .await;
}

/// Makes ConfigMaps, many at once; answers with their identities, in the order of the documents.
async fn make(cluster: &Cluster, namespace: &str, documents: Vec<Value>) -> Vec<String> {
    let calls = documents.into_iter().map(|document| async move {
        let write = Write::Create(document.to_string().into_bytes().into());
        let made = cluster.client.write(resources::CONFIG_MAPS, Call::all(namespace), write).await;
        made.expect("it can be made").header().uid.to_string()
    });
    futures_util::stream::iter(calls).buffered(AT_ONCE).collect().await
}

fn map(name: &str, owner: Option<(&str, &str)>) -> Value {
    let mut document = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    if let Some((name, uid)) = owner {
        document["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": name,
            "uid": uid, "blockOwnerDeletion": true }]);
    }
    document
}

#[tokio::test(start_paused = true)]
async fn many_full_namespaces_are_emptied_at_once() {
    let cluster = Cluster::start(33, 1).await;
    let names: Vec<String> = (0..20).map(|number| format!("flood-{number}")).collect();
    for name in &names {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        cluster.create(resources::NAMESPACES, "", namespace).await;
        let maps = (0..100).map(|number| map(&format!("m{number}"), None)).collect();
        make(&cluster, name, maps).await;
    }
    for name in &names {
        let key = Key::new("", name);
        cluster.client.delete(resources::NAMESPACES, &key, Delete::default()).await.unwrap();
    }
    cluster
        .until("all are gone", 5 * MINUTE, async |cluster| {
            let left = cluster.list(resources::NAMESPACES, "").await;
            left.iter().all(|namespace| {
                !namespace["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("flood-"))
            })
        })
        .await;
    for name in &names {
        assert!(cluster.list(resources::CONFIG_MAPS, name).await.is_empty());
    }
}

/// A family of ten thousand in eleven generations: the first has one member, each other a thousand.
#[tokio::test(start_paused = true)]
async fn ten_thousand_descendants_go_with_their_ancestor() {
    let cluster = Cluster::start(34, 1).await;
    let ancestor = make(&cluster, "default", vec![map("ancestor", None)]).await;
    let mut parents: Vec<(String, String)> = vec![("ancestor".to_owned(), ancestor[0].clone())];
    for generation in 0..10 {
        let names: Vec<String> = (0..1_000).map(|number| format!("g{generation}-{number}")).collect();
        let documents = names.iter().enumerate().map(|(number, name)| {
            let (parent, uid) = &parents[number % parents.len()];
            map(name, Some((parent, uid)))
        });
        let uids = make(&cluster, "default", documents.collect()).await;
        parents = names.into_iter().zip(uids).collect();
    }
    let key = Key::new("default", "ancestor");
    cluster.client.delete(resources::CONFIG_MAPS, &key, Delete::default()).await.unwrap();
    cluster
        .until("the whole family is gone", 20 * MINUTE, async |cluster| {
            let left = cluster.client.objects(resources::CONFIG_MAPS, Call::all("default")).await.unwrap();
            // The certificate of the cluster is everywhere.
            left.items.len() <= 1
        })
        .await;
}
