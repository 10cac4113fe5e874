//! What a StatefulSet says of itself.

use client::plan::Op;
use client::resources;
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use machinery::Status;

use super::identity::revision_of;
use super::model::Model;
use crate::pod::Pod;

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Adds to the plan what the status becomes, and when to look again. `before` is what it was, `removed` how many pods
/// of the current revision the plan removes.
pub fn write(model: &mut Model<'_>, before: &StatefulSetStatus, collisions: i32, removed: i32) {
    let status = counted(model, before, collisions, removed);
    let min_ready = model.min_ready();
    let later = pods(model).filter_map(|pod| pod.facts.available_at(min_ready));
    let next = later.filter(|at| *at > model.now).min();
    if let Some(at) = next {
        model.plan.requeue(at.since(model.now));
    }
    let object = model.owner.object.clone();
    match Op::update_status(resources::STATEFUL_SETS, &object, &status) {
        Ok(op) => model.plan.status = op,
        Err(status) => model.plan.retry = Some(status.message),
    }
    // It names a revision: if that could not be made, it must not be written.
    if model.newest.0.object.is_some() {
        let decide =
            move |_: &Status| Op::update_status(resources::STATEFUL_SETS, &object, &status).ok().flatten();
        model.plan.after_failure = Some(Box::new(decide));
    }
}

fn pods<'m>(model: &'m Model<'_>) -> impl Iterator<Item = &'m Pod> {
    model.pods.values().chain(model.condemned.iter().map(|(_, pod)| pod))
}

fn counted(
    model: &Model<'_>,
    before: &StatefulSetStatus,
    collisions: i32,
    removed: i32,
) -> StatefulSetStatus {
    let (current, newest) = (&model.current.0.name, &model.newest.0.name);
    let staying = || pods(model).filter(|pod| pod.facts.deletion.is_none());
    let mut status = StatefulSetStatus {
        observed_generation: Some(model.owner.object.header().generation),
        replicas: count(pods(model).count()),
        ready_replicas: Some(count(pods(model).filter(|pod| Model::is_ready(pod)).count())),
        available_replicas: Some(count(pods(model).filter(|pod| model.is_available(pod)).count())),
        current_replicas: Some(count(staying().filter(|pod| revision_of(pod) == current).count()) - removed),
        updated_replicas: Some(count(staying().filter(|pod| revision_of(pod) == newest).count())),
        current_revision: Some(current.to_string()),
        update_revision: Some(newest.to_string()),
        collision_count: Some(collisions),
        conditions: before.conditions.clone(),
    };
    let wanted = model.wanted();
    let all = [Some(status.replicas), status.ready_replicas, status.updated_replicas];
    if model.is_rolling() && all.iter().all(|number| *number == Some(wanted)) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
    status
}
