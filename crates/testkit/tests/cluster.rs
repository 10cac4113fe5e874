//! What a cluster keeps in order by itself, under virtual time.

use std::time::Duration;

use client::{Call, Delete, Key, Write, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_way_to_the_api_server_comes_back() {
    let cluster = Cluster::start(31, 0).await;
    let key = Key::new("default", "kubernetes");
    let before = cluster.get(resources::SERVICES, &key).await;
    cluster.client.delete(resources::SERVICES, &key, Delete::default()).await.unwrap();
    cluster
        .until("the Service is back", MINUTE, async |cluster| {
            !cluster.get(resources::SERVICES, &key).await.is_null()
        })
        .await;
    let after = cluster.get(resources::SERVICES, &key).await;
    assert_eq!(before["spec"]["clusterIP"], after["spec"]["clusterIP"]);
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

async fn slices(cluster: &Cluster, service: &str) -> Vec<Value> {
    let call = Call::all("default").with_labels(&format!("kubernetes.io/service-name={service}"));
    let answer = cluster.client.objects(resources::ENDPOINT_SLICES, call).await.unwrap();
    answer.items.iter().map(|object| client::plan::tree(object).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn endpoints_kept_by_hand_are_mirrored_through_all_changes() {
    let cluster = Cluster::start(32, 0).await;
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "db", "namespace": "default" },
        "spec": { "ports": [{ "name": "a", "port": 80 }] } });
    cluster.create(resources::SERVICES, "default", service).await;
    let endpoints = json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "db", "namespace": "default" },
        "subsets": [{ "addresses": [{ "ip": "10.1.2.3" }], "ports": [{ "port": 80 }] }] });
    cluster.create(resources::ENDPOINTS, "default", endpoints).await;
    let key = Key::new("default", "db");
    let is_at = async |cluster: &Cluster, address: &str| {
        let slices = slices(cluster, "db").await;
        slices.len() == 1 && slices[0]["endpoints"][0]["addresses"][0] == address
    };
    cluster.until("it is mirrored", MINUTE, async |cluster| is_at(cluster, "10.1.2.3").await).await;
    let moved = json!({ "subsets": [{ "addresses": [{ "ip": "10.2.3.4" }], "ports": [{ "port": 80 }] }] });
    cluster.patch(resources::ENDPOINTS, &key, moved).await;
    cluster.until("the change is mirrored", MINUTE, async |cluster| is_at(cluster, "10.2.3.4").await).await;
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
    cluster.client.delete(resources::ENDPOINTS, &key, Delete::default()).await.unwrap();
    cluster.until("the mirror is gone", MINUTE, async |cluster| slices(cluster, "db").await.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_goes_when_its_pod_is_gone() {
    let cluster = Cluster::start(33, 1).await;
    let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": "default" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    cluster.create(resources::PERSISTENT_VOLUME_CLAIMS, "default", claim).await;
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "default" },
        "spec": { "nodeName": "node-0", "containers": [{ "name": "c", "image": "i" }],
            "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }] } });
    cluster.create(resources::PODS, "default", pod).await;
    let (claim, pod) = (Key::new("default", "data"), Key::new("default", "p"));
    cluster.client.delete(resources::PERSISTENT_VOLUME_CLAIMS, &claim, Delete::default()).await.unwrap();
    cluster.env.clock.sleep(5 * MINUTE).await;
    assert!(!cluster.get(resources::PERSISTENT_VOLUME_CLAIMS, &claim).await.is_null(), "its pod still runs");
    cluster.client.delete(resources::PODS, &pod, Delete::default()).await.unwrap();
    cluster
        .until("the claim is gone", MINUTE, async |cluster| {
            cluster.get(resources::PERSISTENT_VOLUME_CLAIMS, &claim).await.is_null()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_range_of_addresses_stays_while_a_service_has_one() {
    let cluster = Cluster::start(34, 0).await;
    let range = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "more" },
        "spec": { "cidrs": ["192.168.77.0/24"] } });
    cluster.create(resources::SERVICE_CIDRS, "", range).await;
    let key = Key::new("", "more");
    cluster
        .until("it is ready", MINUTE, async |cluster| {
            let range = cluster.get(resources::SERVICE_CIDRS, &key).await;
            range["status"]["conditions"][0]["status"] == "True" && !range["metadata"]["finalizers"].is_null()
        })
        .await;
    cluster.client.delete(resources::SERVICE_CIDRS, &key, Delete::default()).await.unwrap();
    cluster
        .until("it is gone", MINUTE, async |cluster| {
            cluster.get(resources::SERVICE_CIDRS, &key).await.is_null()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_thousands_of_objects_is_gone_within_seconds() {
    let cluster = Cluster::start(35, 0).await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "full" } });
    cluster.create(resources::NAMESPACES, "", namespace).await;
    let map = |number: usize| {
        let map =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("m{number}") } });
        let write = Write::Create(map.to_string().into_bytes().into());
        cluster.client.write(resources::CONFIG_MAPS, Call::all("full"), write)
    };
    for made in futures_util::future::join_all((0..3_000).map(map)).await {
        made.unwrap();
    }
    let key = Key::new("", "full");
    cluster.client.delete(resources::NAMESPACES, &key, Delete::default()).await.unwrap();
    cluster
        .until("it is gone", Duration::from_secs(5), async |cluster| {
            cluster.get(resources::NAMESPACES, &key).await.is_null()
        })
        .await;
    assert!(cluster.list(resources::CONFIG_MAPS, "full").await.is_empty());
}
