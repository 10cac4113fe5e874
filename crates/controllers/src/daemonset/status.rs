//! What a DaemonSet says of itself.

use client::plan::Op;
use client::resources;
use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::place::Fit;
use super::plan::Model;

/// Adds to the plan what the status becomes, whether its steps succeed or not, and when to look again.
pub fn write(model: &mut Model<'_>, before: &DaemonSetStatus, collisions: Option<i32>) {
    let status = counted(model, before, collisions);
    let min_ready = model.min_ready();
    let later = model.pods.values().flatten().filter_map(|pod| pod.facts.available_at(min_ready));
    let next = later.filter(|at| *at > model.now).min();
    if let Some(at) = next {
        model.plan.requeue(at.since(model.now));
    }
    let object = model.owner.object.clone();
    match Op::update_status(resources::DAEMON_SETS, &object, &status) {
        Ok(op) => model.plan.status = op,
        Err(status) => model.plan.retry = Some(status.message),
    }
    model.plan.after_failure = Some(Box::new(move |_: &machinery::Status| {
        Op::update_status(resources::DAEMON_SETS, &object, &status).ok().flatten()
    }));
}

fn counted(model: &Model<'_>, before: &DaemonSetStatus, collisions: Option<i32>) -> DaemonSetStatus {
    let mut status = DaemonSetStatus {
        observed_generation: Some(model.owner.object.header().generation),
        collision_count: collisions,
        conditions: before.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    let (mut available, mut updated) = (0, 0);
    for (node, fit) in &model.fits {
        let eldest = model.pods.get(node).and_then(|pods| pods.first());
        if *fit != Fit::Wanted {
            status.number_misscheduled += i32::from(eldest.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = eldest else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.facts.is_ready);
        available += i32::from(model.is_available(pod));
        updated += i32::from(model.is_newest(pod));
    }
    status.number_available = Some(available);
    status.updated_number_scheduled = Some(updated);
    status.number_unavailable = Some(status.desired_number_scheduled - available);
    status
}
