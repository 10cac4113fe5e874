//! How far a Deployment is.

use std::time::Duration;

use client::plan::Op;
use client::{resources, time};
use env::WallTime;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::{Object, Status};
use serde_json::json;

use super::model::{Model, REVISION};

/// What a Deployment is going to say of itself.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it says now.
    pub seen: Counts,
    /// Its conditions, as the plan has them so far.
    pub conditions: Vec<DeploymentCondition>,
    /// How often a name for a set was taken.
    pub collisions: Option<i32>,
    /// The number of its newest set.
    pub revision: Option<String>,
}

/// The numbers in a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods.
    pub replicas: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
}

impl Draft {
    /// What it says now.
    pub fn of(deployment: &Deployment) -> Draft {
        let status = deployment.status.clone().unwrap_or_default();
        Draft {
            seen: Counts {
                replicas: status.replicas.unwrap_or(0),
                updated: status.updated_replicas.unwrap_or(0),
                ready: status.ready_replicas.unwrap_or(0),
                available: status.available_replicas.unwrap_or(0),
            },
            conditions: status.conditions.unwrap_or_default(),
            collisions: status.collision_count,
            revision: None,
        }
    }

    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    fn reason(&self, kind: &str) -> &str {
        self.condition(kind).and_then(|condition| condition.reason.as_deref()).unwrap_or_default()
    }

    /// Sets a condition to a status, with a reason and a message. One that keeps both stays as it is.
    pub fn set(&mut self, kind: &str, status: &str, (reason, message): (&str, &str), now: WallTime) {
        let at = Some(Time(time::timestamp(now)));
        let known = self.condition(kind).cloned();
        if known.as_ref().is_some_and(|old| old.status == status && old.reason.as_deref() == Some(reason)) {
            return;
        }
        let kept = known.filter(|old| old.status == status).and_then(|old| old.last_transition_time);
        self.conditions.retain(|condition| condition.type_ != kind);
        self.conditions.push(DeploymentCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_update_time: at.clone(),
            last_transition_time: kept.or(at),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
        });
    }

    fn remove(&mut self, kind: &str) {
        self.conditions.retain(|condition| condition.type_ != kind);
    }
}

const PROGRESSING: &str = "Progressing";
const FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// How long a new set is waited for to tell of itself.
const FIRST_SET_TELLS: Duration = Duration::from_secs(2);

/// Whether it is watched for progress.
pub fn has_deadline(model: &Model) -> bool {
    model.spec().progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
}

/// Says that it was paused or goes on.
pub fn note_pause(model: &mut Model) {
    if !has_deadline(model) || model.draft.reason(PROGRESSING) == TIMED_OUT {
        return;
    }
    let is_noted = model.draft.reason(PROGRESSING) == "DeploymentPaused";
    let is_paused = model.spec().paused == Some(true);
    let now = model.now;
    if is_paused && !is_noted {
        model.draft.set(PROGRESSING, "Unknown", ("DeploymentPaused", "Deployment is paused"), now);
    } else if !is_paused && is_noted {
        model.draft.set(PROGRESSING, "Unknown", ("DeploymentResumed", "Deployment is resumed"), now);
    }
}

fn counts(model: &Model) -> Counts {
    let sum =
        |number: fn(&super::model::SetStatus) -> i32| model.sets.iter().map(|set| number(&set.status)).sum();
    Counts {
        replicas: sum(|status| status.replicas),
        updated: model.newest().map_or(0, |set| set.status.replicas),
        ready: sum(|status| status.ready),
        available: sum(|status| status.available),
    }
}

/// Whether all its pods are of the newest template and available, and it has said so of its newest spec.
pub fn is_complete(model: &Model) -> bool {
    let observed =
        model.deployment.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    all_replaced(model, model.draft.seen) && observed >= model.object.header().generation
}

fn all_replaced(model: &Model, counts: Counts) -> bool {
    let wanted = model.wanted();
    counts.updated == wanted && counts.replicas == wanted && counts.available == wanted
}

/// Adds the status to the plan: with progress if `rolling`.
pub fn write(model: &mut Model, rolling: bool) {
    if model.plan.status.is_some() {
        return;
    }
    if waits_for_first_set(model) {
        model.plan.requeue(FIRST_SET_TELLS);
        return;
    }
    let counts = counts(model);
    note_availability(model, counts);
    if rolling {
        note_progress(model, counts);
        note_failure(model);
    }
    let document = document(model, counts);
    match op(model, &document) {
        Ok(op) => model.plan.status = op,
        Err(status) => model.plan.retry = Some(status.message),
    }
    if rolling && model.plan.status.is_none() {
        look_again(model, counts);
    }
}

/// A new Deployment tells nothing before its set has: that comes in a moment, and one write then serves for two.
fn waits_for_first_set(model: &Model) -> bool {
    let has_told =
        model.deployment.status.as_ref().is_some_and(|status| status.observed_generation.is_some());
    let [set] = model.sets.as_slice() else { return false };
    let is_new = model.now.since(set.created) < FIRST_SET_TELLS;
    !has_told && model.draft.collisions.is_none() && set.status.observed_generation == 0 && is_new
}

fn note_availability(model: &mut Model, counts: Counts) {
    let now = model.now;
    if counts.available >= model.wanted() - model.max_unavailable() {
        let reason = ("MinimumReplicasAvailable", "Deployment has minimum availability.");
        model.draft.set("Available", "True", reason, now);
    } else {
        let reason = ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.");
        model.draft.set("Available", "False", reason, now);
    }
}

fn note_progress(model: &mut Model, counts: Counts) {
    if !has_deadline(model) {
        model.draft.remove(PROGRESSING);
        return;
    }
    let is_known_complete = counts.replicas == counts.updated && model.draft.reason(PROGRESSING) == COMPLETE;
    if is_known_complete {
        return;
    }
    let subject = match model.newest() {
        Some(set) => format!("ReplicaSet \"{}\"", set.name),
        None => format!("Deployment \"{}\"", model.object.header().name),
    };
    let now = model.now;
    if all_replaced(model, counts) {
        let text = format!("{subject} has successfully progressed.");
        model.draft.set(PROGRESSING, "True", (COMPLETE, &text), now);
    } else if has_progressed(model.draft.seen, counts) {
        let text = format!("{subject} is progressing.");
        let since = model.draft.condition(PROGRESSING).filter(|condition| condition.status == "True");
        let since = since.and_then(|condition| condition.last_transition_time.clone());
        model.draft.remove(PROGRESSING);
        model.draft.set(PROGRESSING, "True", ("ReplicaSetUpdated", &text), now);
        if let (Some(since), Some(condition)) = (since, model.draft.conditions.last_mut()) {
            condition.last_transition_time = Some(since);
        }
    } else if has_timed_out(model) {
        let text = format!("{subject} has timed out progressing.");
        model.plan.because(text.clone());
        model.draft.set(PROGRESSING, "False", (TIMED_OUT, &text), now);
    }
}

fn has_progressed(old: Counts, new: Counts) -> bool {
    new.updated > old.updated
        || new.replicas - new.updated < old.replicas - old.updated
        || new.ready > old.ready
        || new.available > old.available
}

/// When the time for progress is up.
fn deadline(model: &Model) -> Option<WallTime> {
    let condition = model.draft.condition(PROGRESSING)?;
    let since = time::wall(condition.last_update_time.as_ref()?.0);
    let seconds = model.spec().progress_deadline_seconds?;
    Some(since.plus(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

fn has_timed_out(model: &Model) -> bool {
    match model.draft.reason(PROGRESSING) {
        COMPLETE => false,
        TIMED_OUT => true,
        _ => deadline(model).is_some_and(|deadline| deadline < model.now),
    }
}

/// Looks again when the time for progress is up, for nothing else may happen until then.
fn look_again(model: &mut Model, counts: Counts) {
    let is_over = all_replaced(model, counts) || model.draft.reason(PROGRESSING) == TIMED_OUT;
    if !has_deadline(model) || is_over {
        return;
    }
    if let Some(deadline) = deadline(model) {
        let delay = deadline.since(model.now) + Duration::from_secs(1);
        model.plan.requeue(delay);
    }
}

fn note_failure(model: &mut Model) {
    let failure_of = |index: usize| {
        model.sets[index].status.conditions.iter().find(|condition| condition.type_ == FAILURE).cloned()
    };
    let newest = model.newest.and_then(failure_of);
    let failure = newest.or_else(|| (0..model.sets.len()).find_map(failure_of));
    let now = model.now;
    match failure {
        Some(failure) => {
            let (reason, message) = (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default());
            model.draft.set(FAILURE, &failure.status, (&reason, &message), now);
        }
        None => model.draft.remove(FAILURE),
    }
}

fn document(model: &Model, counts: Counts) -> DeploymentStatus {
    let total = model.sets.iter().map(|set| set.replicas).sum::<i32>();
    let terminating: Option<i32> = model.sets.iter().map(|set| set.status.terminating).sum();
    let some = |number: i32| (number != 0).then_some(number);
    DeploymentStatus {
        observed_generation: Some(model.object.header().generation),
        replicas: some(counts.replicas),
        updated_replicas: some(counts.updated),
        ready_replicas: some(counts.ready),
        available_replicas: some(counts.available),
        unavailable_replicas: some((total - counts.available).max(0)),
        terminating_replicas: terminating,
        conditions: Some(model.draft.conditions.clone()),
        collision_count: model.draft.collisions,
    }
}

/// The write, which also carries the number of the newest set, as upstream's does.
fn op(model: &Model, status: &DeploymentStatus) -> Result<Option<Op>, Status> {
    let annotations = model.deployment.metadata.annotations.as_ref();
    let known = annotations.and_then(|annotations| annotations.get(REVISION));
    let revision = model.draft.revision.as_ref().filter(|revision| Some(*revision) != known);
    let Some(revision) = revision else {
        return Op::update_status(resources::DEPLOYMENTS, &model.object, status);
    };
    Op::update_status_and_metadata(resources::DEPLOYMENTS, &model.object, status, |metadata| {
        metadata["annotations"][REVISION] = json!(revision);
    })
    .map(Some)
}

/// What it says if the newest set could not be made.
pub fn prepare_failure(model: &mut Model, name: &str) {
    let mut status = model.deployment.status.clone().unwrap_or_default();
    let mut draft = model.draft.clone();
    let (object, now, name): (Object, WallTime, String) = (model.object.clone(), model.now, name.to_owned());
    let is_watched = has_deadline(model);
    model.plan.after_failure = Some(Box::new(move |failure: &Status| {
        if !is_watched || failure.code == 409 {
            return None;
        }
        let text = format!("Failed to create new replica set \"{name}\": {}", failure.message);
        draft.set(PROGRESSING, "False", ("ReplicaSetCreateError", &text), now);
        status.conditions = Some(draft.conditions);
        Op::update_status(resources::DEPLOYMENTS, &object, &status).ok().flatten()
    }));
}
