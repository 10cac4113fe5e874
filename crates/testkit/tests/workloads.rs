//! Workloads in a whole cluster under virtual time.

use std::time::Duration;

use client::{Delete, Key, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

fn deployment(name: &str, replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": image }] },
            },
        },
    })
}

fn web() -> Key {
    Key::new("default", "web")
}

async fn ready_pods(cluster: &Cluster, image: &str) -> usize {
    let is_ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        pod["spec"]["containers"][0]["image"] == image
            && pod["metadata"].get("deletionTimestamp").is_none()
            && conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    cluster.list(resources::PODS, "default").await.iter().filter(is_ready).count()
}

async fn until_complete(cluster: &Cluster, replicas: i64) {
    cluster
        .until("the deployment is complete", 5 * MINUTE, async |cluster| {
            let deployment = cluster.get(resources::DEPLOYMENTS, &web()).await;
            let status = &deployment["status"];
            let number = |name: &str| status[name].as_i64().unwrap_or(0);
            status["observedGeneration"] == deployment["metadata"]["generation"]
                && ["replicas", "updatedReplicas", "availableReplicas"]
                    .iter()
                    .all(|name| number(name) == replicas)
        })
        .await;
}

async fn start(replicas: i64) -> Cluster {
    let cluster = Cluster::start(7, 2).await;
    cluster.create(resources::DEPLOYMENTS, "default", deployment("web", replicas, "v1")).await;
    until_complete(&cluster, replicas).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_its_pods_and_then_all_is_quiet() {
    let cluster = start(10).await;
    assert_eq!(ready_pods(&cluster, "v1").await, 10);
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_image_rolls_out_and_back() {
    let cluster = start(6).await;
    for image in ["v2", "v1", "v3"] {
        let template = json!({ "spec": { "containers": [{ "name": "c", "image": image }] } });
        cluster.patch(resources::DEPLOYMENTS, &web(), json!({ "spec": { "template": template } })).await;
        until_complete(&cluster, 6).await;
        assert_eq!(ready_pods(&cluster, image).await, 6);
    }
    let sets = cluster.list(resources::REPLICA_SETS, "default").await;
    let mut revisions: Vec<&str> = sets
        .iter()
        .map(|set| set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap())
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, ["2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn scaling_follows_and_deleted_pods_are_replaced() {
    let cluster = start(3).await;
    for replicas in [9, 2] {
        cluster.patch(resources::DEPLOYMENTS, &web(), json!({ "spec": { "replicas": replicas } })).await;
        until_complete(&cluster, replicas).await;
    }
    let pods = cluster.list(resources::PODS, "default").await;
    let victim = Key::new("default", pods[0]["metadata"]["name"].as_str().unwrap());
    cluster.client.delete(resources::PODS, &victim, Delete::default()).await.unwrap();
    cluster
        .until("the pod is gone", MINUTE, async |cluster| {
            cluster.get(resources::PODS, &victim).await.is_null()
        })
        .await;
    until_complete(&cluster, 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_deployment_owned_goes_with_it() {
    for propagation in ["Background", "Foreground"] {
        let cluster = start(4).await;
        let how = Delete { propagation, ..Delete::default() };
        cluster.client.delete(resources::DEPLOYMENTS, &web(), how).await.unwrap();
        cluster
            .until("all is gone", MINUTE, async |cluster| {
                cluster.get(resources::DEPLOYMENTS, &web()).await.is_null()
                    && cluster.list(resources::REPLICA_SETS, "default").await.is_empty()
                    && cluster.list(resources::PODS, "default").await.is_empty()
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn orphans_stay() {
    let cluster = start(2).await;
    let how = Delete { propagation: "Orphan", ..Delete::default() };
    cluster.client.delete(resources::DEPLOYMENTS, &web(), how).await.unwrap();
    cluster
        .until("the deployment is gone", MINUTE, async |cluster| {
            cluster.get(resources::DEPLOYMENTS, &web()).await.is_null()
        })
        .await;
    cluster.env.clock.sleep(MINUTE).await;
    assert_eq!(cluster.list(resources::REPLICA_SETS, "default").await.len(), 1);
    assert_eq!(ready_pods(&cluster, "v1").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_finds_its_pods() {
    let cluster = start(3).await;
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] } });
    cluster.create(resources::SERVICES, "default", service).await;
    cluster
        .until("all pods are told", MINUTE, async |cluster| {
            let slices = cluster.list(resources::ENDPOINT_SLICES, "default").await;
            let ours = slices
                .iter()
                .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
            let told: usize = ours.map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len)).sum();
            let endpoints = cluster.get(resources::ENDPOINTS, &web()).await;
            told == 3 && endpoints["subsets"][0]["addresses"].as_array().is_some_and(|all| all.len() == 3)
        })
        .await;
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_furnished_and_emptied() {
    let cluster = Cluster::start(7, 1).await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    cluster.create(resources::NAMESPACES, "", namespace).await;
    let (account, map) = (Key::new("shop", "default"), Key::new("shop", "kube-root-ca.crt"));
    cluster
        .until("the namespace is furnished", MINUTE, async |cluster| {
            !cluster.get(resources::SERVICE_ACCOUNTS, &account).await.is_null()
                && !cluster.get(resources::CONFIG_MAPS, &map).await.is_null()
        })
        .await;
    let mut web = deployment("web", 5, "v1");
    web["metadata"]["namespace"] = json!("shop");
    cluster.create(resources::DEPLOYMENTS, "shop", web).await;
    cluster
        .until("its pods are there", MINUTE, async |cluster| {
            cluster.list(resources::PODS, "shop").await.len() == 5
        })
        .await;
    let key = Key::new("", "shop");
    cluster.client.delete(resources::NAMESPACES, &key, Delete::default()).await.unwrap();
    cluster
        .until("the namespace is gone", MINUTE, async |cluster| {
            cluster.get(resources::NAMESPACES, &key).await.is_null()
        })
        .await;
    assert!(cluster.list(resources::PODS, "shop").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_says_so_and_is_placed_when_it_can_be() {
    let cluster = Cluster::start(7, 0).await;
    cluster.create(resources::DEPLOYMENTS, "default", deployment("web", 1, "v1")).await;
    cluster
        .until("the pod says why it waits", MINUTE, async |cluster| {
            let pods = cluster.list(resources::PODS, "default").await;
            let conditions = pods.first().map(|pod| pod["status"]["conditions"].clone()).unwrap_or_default();
            conditions.as_array().is_some_and(|all| {
                all.iter().any(|one| {
                    one["message"] == "no nodes available to schedule pods"
                        && one["reason"] == "Unschedulable"
                })
            })
        })
        .await;
    cluster.add_node("late").await;
    until_complete(&cluster, 1).await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_dead_node_are_replaced_elsewhere() {
    let cluster = Cluster::start(7, 1).await;
    let doomed = cluster.add_node("doomed").await;
    cluster.create(resources::DEPLOYMENTS, "default", deployment("web", 6, "v1")).await;
    until_complete(&cluster, 6).await;
    let on_doomed = async |cluster: &Cluster| {
        let pods = cluster.list(resources::PODS, "default").await;
        pods.iter().filter(|pod| pod["spec"]["nodeName"] == "doomed").count()
    };
    assert!(on_doomed(&cluster).await > 0);
    doomed.die();
    cluster
        .until("the node is found silent", 2 * MINUTE, async |cluster| {
            let node = cluster.get(resources::NODES, &Key::new("", "doomed")).await;
            node["spec"]["taints"].as_array().is_some_and(|taints| taints.len() == 2)
        })
        .await;
    // Pods bear it for a while at most; then they are to end, which their node cannot do.
    cluster
        .until("six pods are ready elsewhere", 10 * MINUTE, async |cluster| {
            let pods = cluster.list(resources::PODS, "default").await;
            let ready = pods
                .iter()
                .filter(|pod| pod["spec"]["nodeName"] != "doomed" && pod["status"]["phase"] == "Running");
            ready.count() == 6
        })
        .await;
    cluster.client.delete(resources::NODES, &Key::new("", "doomed"), Delete::default()).await.unwrap();
    cluster
        .until("its pods are gone with it", 2 * MINUTE, async |cluster| on_doomed(cluster).await == 0)
        .await;
    until_complete(&cluster, 6).await;
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn each_node_has_its_range() {
    let cluster = Cluster::start(7, 3).await;
    cluster
        .until("all have one", MINUTE, async |cluster| {
            let nodes = cluster.list(resources::NODES, "").await;
            let mut ranges: Vec<&str> =
                nodes.iter().filter_map(|node| node["spec"]["podCIDR"].as_str()).collect();
            ranges.sort_unstable();
            ranges == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
        })
        .await;
}
