//! Jobs and CronJobs in a whole cluster under virtual time.

use std::time::Duration;

use client::{Delete, Key, resources};
use serde_json::{Value, json};
use testkit::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

fn spec(changes: Value, code: &str) -> Value {
    let mut spec = json!({
        "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "i", "command": ["exit", code] }] } },
    });
    let members = changes.as_object().cloned().unwrap_or_default();
    members.into_iter().for_each(|(name, value)| spec[name] = value);
    spec
}

fn job(name: &str, changes: Value, code: &str) -> Value {
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "default" },
        "spec": spec(changes, code) })
}

fn is(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

async fn until_over(cluster: &Cluster, name: &str, kind: &str) -> Value {
    let key = Key::new("default", name);
    cluster
        .until("the job is over", 60 * MINUTE, async |cluster| {
            is(&cluster.get(resources::JOBS, &key).await, kind)
        })
        .await;
    cluster.get(resources::JOBS, &key).await
}

#[tokio::test(start_paused = true)]
async fn jobs_run_to_their_end_and_then_all_is_quiet() {
    let cluster = Cluster::start(11, 2).await;
    let cases = [
        (job("one", json!({}), "0"), "Complete", json!({ "succeeded": 1 })),
        (
            job("many", json!({ "completions": 25, "parallelism": 6 }), "0"),
            "Complete",
            json!({ "succeeded": 25 }),
        ),
        (
            job("indexed", json!({ "completions": 7, "parallelism": 3, "completionMode": "Indexed" }), "0"),
            "Complete",
            json!({ "succeeded": 7, "completedIndexes": "0-6" }),
        ),
        (job("bad", json!({ "backoffLimit": 2 }), "3"), "Failed", json!({ "failed": 3 })),
        (
            job(
                "each",
                json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1 }),
                "1",
            ),
            "Failed",
            json!({ "failed": 6, "failedIndexes": "0-2" }),
        ),
    ];
    for (document, ..) in &cases {
        cluster.create(resources::JOBS, "default", document.clone()).await;
    }
    for (document, kind, expected) in &cases {
        let job = until_over(&cluster, document["metadata"]["name"].as_str().unwrap(), kind).await;
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&job["status"][name], value, "{job}");
        }
        assert_eq!(job["status"]["uncountedTerminatedPods"], json!({}), "{job}");
    }
    for pod in cluster.list(resources::PODS, "default").await {
        assert!(pod["metadata"].get("finalizers").is_none(), "{pod}");
    }
    cluster.env.clock.sleep(MINUTE).await;
    cluster.expect_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_job_leaves_nothing() {
    let cluster = Cluster::start(12, 1).await;
    let document = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "long", "namespace": "default" },
        "spec": { "parallelism": 3, "completions": 3, "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "i" }] } } } });
    cluster.create(resources::JOBS, "default", document).await;
    let key = Key::new("default", "long");
    cluster
        .until("its pods run", MINUTE, async |cluster| {
            cluster.get(resources::JOBS, &key).await["status"]["ready"] == 3
        })
        .await;
    let how = Delete { propagation: "Background", ..Delete::default() };
    cluster.client.delete(resources::JOBS, &key, how).await.unwrap();
    cluster
        .until("its pods are gone", 5 * MINUTE, async |cluster| {
            cluster.list(resources::PODS, "default").await.is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_waits_and_goes_on() {
    let cluster = Cluster::start(13, 1).await;
    cluster
        .create(
            resources::JOBS,
            "default",
            job("late", json!({ "suspend": true, "activeDeadlineSeconds": 30 }), "0"),
        )
        .await;
    let key = Key::new("default", "late");
    cluster
        .until("it is suspended", MINUTE, async |cluster| {
            is(&cluster.get(resources::JOBS, &key).await, "Suspended")
        })
        .await;
    cluster.env.clock.sleep(5 * MINUTE).await;
    assert!(cluster.list(resources::PODS, "default").await.is_empty());
    cluster.patch(resources::JOBS, &key, json!({ "spec": { "suspend": false } })).await;
    let job = until_over(&cluster, "late", "Complete").await;
    assert!(!is(&job, "Suspended"), "{job}");
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_makes_its_jobs_on_time_and_keeps_the_last() {
    let cluster = Cluster::start(14, 1).await;
    let cron = json!({ "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": "tick", "namespace": "default" },
        "spec": { "schedule": "*/5 * * * *", "successfulJobsHistoryLimit": 2, "jobTemplate": { "spec": spec(json!({}), "0") } } });
    cluster.create(resources::CRON_JOBS, "default", cron).await;
    cluster.env.clock.sleep(63 * MINUTE).await;
    let jobs = cluster.list(resources::JOBS, "default").await;
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert!(jobs.iter().all(|job| is(job, "Complete")));
    let key = Key::new("default", "tick");
    let status = cluster.get(resources::CRON_JOBS, &key).await["status"].clone();
    assert_eq!(status["lastScheduleTime"], "2026-01-01T01:00:00Z", "{status}");
    assert!(status.get("active").is_none(), "{status}");
    cluster.patch(resources::CRON_JOBS, &key, json!({ "spec": { "suspend": true } })).await;
    cluster.expect_rest().await;
}
