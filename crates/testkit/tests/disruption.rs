//! Disruption budgets and evictions in a whole cluster under virtual time.

use std::time::Duration;

use client::{Call, Key, Write, resources};
use machinery::{Object, Status};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

/// A cluster with a deployment of so many ready pods and a budget for them.
async fn cluster(replicas: i64, budget: Value) -> Cluster {
    let cluster = Cluster::start(7, 2).await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
    });
    cluster.create(resources::DEPLOYMENTS, "default", deployment).await;
    cluster
        .until("the pods are ready", MINUTE, async |cluster| {
            let deployment = cluster.get(resources::DEPLOYMENTS, &Key::new("default", "web")).await;
            deployment["status"]["readyReplicas"].as_i64() == Some(replicas)
        })
        .await;
    make_budget(&cluster, "web", budget).await;
    cluster
}

async fn make_budget(cluster: &Cluster, name: &str, spec: Value) {
    let mut spec = spec;
    if spec["selector"].is_null() {
        spec["selector"] = json!({ "matchLabels": { "app": "web" } });
    }
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": name, "namespace": "default" }, "spec": spec });
    cluster.create(resources::POD_DISRUPTION_BUDGETS, "default", budget).await;
}

async fn budget(cluster: &Cluster) -> Value {
    cluster.get(resources::POD_DISRUPTION_BUDGETS, &Key::new("default", "web")).await
}

async fn until_counted(cluster: &Cluster, allowed: i64) {
    cluster
        .until("the budget is counted", MINUTE, async |cluster| {
            let status = budget(cluster).await["status"].clone();
            status["observedGeneration"] == 1 && status["disruptionsAllowed"].as_i64() == Some(allowed)
        })
        .await;
}

async fn pods(cluster: &Cluster) -> Vec<Value> {
    let mut pods = cluster.list(resources::PODS, "default").await;
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

async fn evict(cluster: &Cluster, pod: &str, options: Value) -> Result<Object, Status> {
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": "default" }, "deleteOptions": options });
    let call = Call::object("default", pod).subresource("eviction");
    cluster.client.write(resources::PODS, call, Write::Create(eviction.to_string().into_bytes().into())).await
}

fn cause(status: &Status) -> (u16, String, u32) {
    let details = status.details.as_ref().expect("it says why");
    assert_eq!(status.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(details.causes[0].reason, "DisruptionBudget");
    (status.code, details.causes[0].message.clone(), details.retry_after_secs)
}

#[tokio::test(start_paused = true)]
async fn as_many_pods_can_be_evicted_as_the_budget_allows_and_more_when_others_are_ready() {
    let cluster = cluster(3, json!({ "minAvailable": 2 })).await;
    until_counted(&cluster, 1).await;
    let pods = pods(&cluster).await;
    evict(&cluster, &name(&pods[0]), json!(null)).await.unwrap();
    let refused = evict(&cluster, &name(&pods[1]), json!(null)).await.unwrap_err();
    let (code, message, _) = cause(&refused);
    assert_eq!(code, 429);
    assert!(message.starts_with("The disruption budget web "), "{message}");
    until_counted(&cluster, 1).await;
    evict(&cluster, &name(&pods[1]), json!(null)).await.unwrap();
    until_counted(&cluster, 1).await;
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_says_what_it_needs() {
    let cluster = cluster(2, json!({ "minAvailable": 2 })).await;
    until_counted(&cluster, 0).await;
    let pods = pods(&cluster).await;
    let refused = evict(&cluster, &name(&pods[0]), json!(null)).await.unwrap_err();
    let text = "The disruption budget web needs 2 healthy pods and has 2 currently";
    assert_eq!(cause(&refused), (429, text.to_owned(), 0));
    let condition = &budget(&cluster).await["status"]["conditions"][0];
    assert_eq!(condition["reason"], "InsufficientPods");
}

#[tokio::test(start_paused = true)]
async fn a_pod_says_why_it_ends_before_it_does() {
    let cluster = cluster(3, json!({ "maxUnavailable": 1 })).await;
    until_counted(&cluster, 1).await;
    let pod = name(&pods(&cluster).await[0]);
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    cluster.patch(resources::PODS, &Key::new("default", &pod), hold).await;
    evict(&cluster, &pod, json!(null)).await.unwrap();
    let ending = cluster.get(resources::PODS, &Key::new("default", &pod)).await;
    assert!(!ending["metadata"]["deletionTimestamp"].is_null());
    let conditions = ending["status"]["conditions"].as_array().unwrap();
    let mark = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&mark["status"], &mark["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
    assert_eq!(mark["message"], "Eviction API: evicting");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let cluster = cluster(3, json!({ "maxUnavailable": 1 })).await;
    until_counted(&cluster, 1).await;
    let before = cluster.revisions().await;
    let pod = name(&pods(&cluster).await[0]);
    evict(&cluster, &pod, json!({ "dryRun": ["All"] })).await.unwrap();
    assert_eq!(before, cluster.revisions().await);
}

#[tokio::test(start_paused = true)]
async fn preconditions_hold() {
    let cluster = cluster(3, json!({ "maxUnavailable": 2 })).await;
    until_counted(&cluster, 2).await;
    let pod = pods(&cluster).await[0].clone();
    let version = pod["metadata"]["resourceVersion"].clone();
    for preconditions in [json!({ "uid": "other" }), json!({ "resourceVersion": "1" })] {
        let refused = evict(&cluster, &name(&pod), json!({ "preconditions": preconditions })).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, 409, "{refused}");
        assert!(refused.message.contains("in the precondition"), "{refused}");
    }
    assert_eq!(pods(&cluster).await.len(), 3);
    assert_eq!(budget(&cluster).await["status"]["disruptionsAllowed"], 2, "it costs nothing");
    evict(&cluster, &name(&pod), json!({ "preconditions": { "resourceVersion": version } })).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_budgets_for_one_pod_are_more_than_can_be_kept() {
    let cluster = cluster(3, json!({ "maxUnavailable": 2 })).await;
    make_budget(&cluster, "also", json!({ "minAvailable": 0, "selector": {} })).await;
    until_counted(&cluster, 2).await;
    let refused = evict(&cluster, &name(&pods(&cluster).await[0]), json!(null)).await.unwrap_err();
    assert_eq!(refused.code, 500);
    let text =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(refused.message, text);
}

/// The policy, how many of three pods are not ready, and what becomes of the eviction of one that is not.
#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_go_as_the_policy_says() {
    let cases =
        [("IfHealthyBudget", 2, 1, true), ("IfHealthyBudget", 3, 1, false), ("AlwaysAllow", 3, 1, true)];
    for (policy, min, unready, goes) in cases {
        let spec = json!({ "minAvailable": min, "unhealthyPodEvictionPolicy": policy });
        let cluster = cluster(3, spec).await;
        let pods = pods(&cluster).await;
        for pod in &pods[..unready] {
            let status = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
            let key = Key::new("default", &name(pod));
            cluster.client.patch_status(resources::PODS, &key, &status).await.unwrap();
        }
        cluster
            .until("the budget sees it", MINUTE, async |cluster| {
                budget(cluster).await["status"]["currentHealthy"] == 3 - unready
            })
            .await;
        let before = budget(&cluster).await["status"]["disruptedPods"].clone();
        let result = evict(&cluster, &name(&pods[0]), json!(null)).await;
        assert_eq!(result.is_ok(), goes, "{policy}, {min}: {result:?}");
        assert_eq!(budget(&cluster).await["status"]["disruptedPods"], before, "it costs nothing");
    }
}
