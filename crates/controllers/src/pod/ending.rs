//! What is asked of pods that end by themselves: when they did, and which part of a Job's work they did.

use client::time;
use env::WallTime;
use machinery::{Object, Status};
use serde::Deserialize;

/// What Jobs ask of a pod that may end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// `batch.kubernetes.io/job-completion-index`, if it is a number.
    pub index: Option<u32>,
    /// `batch.kubernetes.io/job-index-failure-count`
    pub index_failures: i32,
    /// `batch.kubernetes.io/job-index-ignored-failure-count`
    pub index_ignored: i32,
    /// When it ended, as far as that can be told; when it was made, if nothing else is known.
    pub at: WallTime,
    /// The restarts of all of its containers.
    pub restarts: i32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Slim {
    metadata: Metadata,
    spec: Spec,
    status: SlimStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    deletion_grace_period_seconds: Option<i64>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "batch.kubernetes.io/job-completion-index")]
    index: Option<String>,
    #[serde(rename = "batch.kubernetes.io/job-index-failure-count")]
    failures: Option<String>,
    #[serde(rename = "batch.kubernetes.io/job-index-ignored-failure-count")]
    ignored: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    init_containers: Vec<InitContainer>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct InitContainer {
    name: String,
    restart_policy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SlimStatus {
    conditions: Vec<Condition>,
    container_statuses: Vec<Container>,
    init_container_statuses: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: String,
    restart_count: i32,
    state: State,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    terminated: Option<Terminated>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Terminated {
    finished_at: Option<String>,
}

fn instant(text: Option<&String>) -> Option<WallTime> {
    text.and_then(|text| time::parse(text))
}

impl Ending {
    /// From the pod.
    pub fn of(pod: &Object) -> Result<Ending, Status> {
        let slim: Slim = client::cache::read(pod)?;
        let annotations = slim.metadata.annotations.as_ref();
        // What somebody else wrote there may be anything; what is no such number does not count.
        let count = |text: Option<&String>| {
            text.and_then(|text| text.parse().ok()).filter(|count| *count >= 0).unwrap_or(0)
        };
        let all = slim.status.container_statuses.iter().chain(&slim.status.init_container_statuses);
        Ok(Ending {
            index: annotations.and_then(|all| all.index.as_ref()?.parse().ok()),
            index_failures: count(annotations.and_then(|all| all.failures.as_ref())),
            index_ignored: count(annotations.and_then(|all| all.ignored.as_ref())),
            at: slim.ended(),
            restarts: all.fold(0, |sum, container| sum.saturating_add(container.restart_count)),
        })
    }
}

impl Slim {
    fn ended(&self) -> WallTime {
        let unready = self.status.conditions.iter().find(|condition| condition.r#type == "Ready");
        let unready = unready.filter(|condition| condition.status == "False");
        let asked = instant(self.metadata.deletion_timestamp.as_ref()).map(|deletion| {
            let grace = self.metadata.deletion_grace_period_seconds.unwrap_or(0);
            WallTime::from_secs(deletion.secs().saturating_sub(grace))
        });
        self.last_container_ended()
            .or_else(|| instant(unready.and_then(|condition| condition.last_transition_time.as_ref())))
            .or(asked)
            .or_else(|| instant(self.metadata.creation_timestamp.as_ref()))
            .unwrap_or_default()
    }

    /// `None` unless all have ended.
    fn last_container_ended(&self) -> Option<WallTime> {
        let is_sidecar = |status: &&Container| {
            self.spec.init_containers.iter().any(|container| {
                container.name == status.name && container.restart_policy.as_deref() == Some("Always")
            })
        };
        let sidecars = self.status.init_container_statuses.iter().filter(is_sidecar);
        let mut last = None;
        for container in self.status.container_statuses.iter().chain(sidecars) {
            let terminated = container.state.terminated.as_ref()?;
            last = last.max(Some(instant(terminated.finished_at.as_ref())?));
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixtures::{ago, object};
    use serde_json::{Value, json};

    fn ending(metadata: Value, spec: Value, status: Value) -> Ending {
        let mut metadata = metadata;
        metadata["name"] = json!("p");
        metadata["creationTimestamp"] = json!(ago(1_000));
        let document = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status });
        Ending::of(&object(&document)).unwrap()
    }

    #[test]
    fn the_end_is_told_by_the_best_witness() {
        let terminated = |secs: i64| json!({ "state": { "terminated": { "finishedAt": ago(secs) } } });
        let running = json!({ "name": "s", "state": { "running": {} } });
        let unready = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": ago(50) }]);
        let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": ago(50) }]);
        let deleted = json!({ "deletionTimestamp": ago(10), "deletionGracePeriodSeconds": 30 });
        let sidecar = json!({ "initContainers": [{ "name": "s", "restartPolicy": "Always" }] });
        let init = json!({ "initContainers": [{ "name": "s" }] });
        let cases = [
            (json!({}), json!({}), json!({}), 1_000),
            (json!({}), json!({}), json!({ "containerStatuses": [terminated(90), terminated(70)] }), 70),
            (
                json!({}),
                json!({}),
                json!({ "containerStatuses": [terminated(90), running], "conditions": unready }),
                50,
            ),
            (json!({}), json!({}), json!({ "conditions": ready }), 1_000),
            (deleted.clone(), json!({}), json!({ "conditions": ready }), 40),
            (deleted, json!({}), json!({ "conditions": unready }), 50),
            (
                json!({}),
                sidecar,
                json!({ "containerStatuses": [terminated(90)], "initContainerStatuses": [running],
                "conditions": unready }),
                50,
            ),
            (
                json!({}),
                init,
                json!({ "containerStatuses": [terminated(90)], "initContainerStatuses": [running] }),
                90,
            ),
            (
                json!({}),
                json!({}),
                json!({ "containerStatuses": [{ "state": { "terminated": {} } }] }),
                1_000,
            ),
        ];
        for (metadata, spec, status, secs) in cases {
            let at = ending(metadata.clone(), spec, status.clone()).at;
            assert_eq!(client::time::seconds(at), ago(secs), "{metadata} {status}");
        }
    }

    #[test]
    fn annotations_that_are_no_numbers_do_not_count() {
        for (text, index, failures) in [
            ("3", Some(3), 3),
            ("0", Some(0), 0),
            ("-1", None, 0),
            ("x", None, 0),
            ("99999999999", None, 0),
            ("", None, 0),
        ] {
            let annotations = json!({ "annotations": {
                "batch.kubernetes.io/job-completion-index": text,
                "batch.kubernetes.io/job-index-failure-count": text,
                "batch.kubernetes.io/job-index-ignored-failure-count": text,
            } });
            let ending = ending(annotations, json!({}), json!({}));
            assert_eq!(
                (ending.index, ending.index_failures, ending.index_ignored),
                (index, failures, failures)
            );
        }
    }

    #[test]
    fn restarts_of_all_containers_are_added_up() {
        let status = json!({ "containerStatuses": [{ "restartCount": 2 }, { "restartCount": 1 }],
            "initContainerStatuses": [{ "restartCount": 4 }] });
        assert_eq!(ending(json!({}), json!({}), status).restarts, 7);
    }
}
