//! What a set says of itself.

use client::plan::{Op, Plan};
use env::WallTime;
use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::ReplicationControllerStatus;
use machinery::Status;
use serde::Serialize;

use super::plan::View;
use crate::pod::Pod;

/// The status of a ReplicaSet or ReplicationController.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetStatus {
    replicas: i32,
    fully_labeled_replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating_replicas: Option<i32>,
    observed_generation: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
}

/// One of its conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    r#type: String,
    status: String,
    last_transition_time: String,
    reason: String,
    message: String,
}

macro_rules! from_typed {
    ($typed:ty, $terminating:expr) => {
        impl From<$typed> for SetStatus {
            fn from(status: $typed) -> SetStatus {
                let terminating: fn(&$typed) -> Option<i32> = $terminating;
                SetStatus {
                    replicas: status.replicas,
                    fully_labeled_replicas: status.fully_labeled_replicas.unwrap_or(0),
                    ready_replicas: status.ready_replicas.unwrap_or(0),
                    available_replicas: status.available_replicas.unwrap_or(0),
                    terminating_replicas: terminating(&status),
                    observed_generation: status.observed_generation.unwrap_or(0),
                    conditions: status
                        .conditions
                        .unwrap_or_default()
                        .into_iter()
                        .map(|condition| Condition {
                            r#type: condition.type_,
                            status: condition.status,
                            last_transition_time: condition
                                .last_transition_time
                                .map(|at| client::time::seconds(client::time::wall(at.0)))
                                .unwrap_or_default(),
                            reason: condition.reason.unwrap_or_default(),
                            message: condition.message.unwrap_or_default(),
                        })
                        .collect(),
                }
            }
        }
    };
}

from_typed!(ReplicaSetStatus, |status| status.terminating_replicas);
from_typed!(ReplicationControllerStatus, |_| None);

/// The pods that were counted.
pub(super) struct Counted<'a> {
    pub(super) active: &'a [Pod],
    pub(super) terminating: usize,
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Adds to the plan what the status becomes, whether its steps succeed or not, and when to look again.
pub(super) fn add(plan: &mut Plan, view: &View, counted: &Counted<'_>, now: WallTime) {
    let desired = &view.desired;
    let min_ready = desired.min_ready();
    let template_labels = desired.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let has_all_labels = |pod: &&Pod| {
        let header = pod.object.header();
        template_labels.into_iter().flatten().all(|(key, value)| header.label(key) == Some(value))
    };
    let active = || counted.active.iter();
    let mut status = SetStatus {
        replicas: count(counted.active.len()),
        fully_labeled_replicas: count(active().filter(has_all_labels).count()),
        ready_replicas: count(active().filter(|pod| pod.facts.is_ready).count()),
        available_replicas: count(active().filter(|pod| pod.facts.is_available(min_ready, now)).count()),
        // ReplicationControllers do not tell.
        terminating_replicas: (desired.resource == client::resources::REPLICA_SETS)
            .then(|| count(counted.terminating)),
        observed_generation: view.object.header().generation,
        conditions: desired.status.conditions.clone(),
    };
    let next_available =
        active().filter_map(|pod| pod.facts.available_at(min_ready)).filter(|at| *at > now).min();
    if let Some(at) = next_available {
        plan.requeue(at.since(now));
    }
    let failed = failed_status(&status, counted, desired.replicas, now);
    status.conditions.retain(|condition| condition.r#type != REPLICA_FAILURE);
    plan.status = write(view, &desired.status, &status, plan);
    let (object, resource) = (view.object.clone(), desired.resource);
    plan.after_failure = Some(Box::new(move |failure: &Status| {
        Op::update_status(resource, &object, &failed(failure)).ok().flatten()
    }));
}

/// The op that writes a status, if that says something new.
fn write(view: &View, old: &SetStatus, new: &SetStatus, plan: &mut Plan) -> Option<Op> {
    if old == new {
        return None;
    }
    match Op::update_status(view.desired.resource, &view.object, new) {
        Ok(op) => op,
        Err(status) => {
            plan.retry = Some(status.message);
            None
        }
    }
}

/// The status if pods could not be made or removed.
fn failed_status(
    status: &SetStatus,
    counted: &Counted<'_>,
    wanted: i32,
    now: WallTime,
) -> impl FnOnce(&Status) -> SetStatus + Send + use<> {
    let mut status = status.clone();
    let reason = if count(counted.active.len()) < wanted { "FailedCreate" } else { "FailedDelete" };
    move |failure| {
        if !status.conditions.iter().any(|condition| condition.r#type == REPLICA_FAILURE) {
            status.conditions.push(Condition {
                r#type: REPLICA_FAILURE.to_owned(),
                status: "True".to_owned(),
                last_transition_time: client::time::seconds(now),
                reason: reason.to_owned(),
                message: failure.message.clone(),
            });
        }
        status
    }
}
