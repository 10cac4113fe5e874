//! Making the pods that are missing, and mending those that are there.

use client::plan::{Note, Op};
use client::resources;

use super::identity::{self, pod_name};
use super::model::{BURST, Model};
use super::storage;
use crate::pod::{Phase, Pod};

/// What one ordinal needs, and why those after it wait, if they are to be in order.
#[derive(Default)]
struct Need {
    claims: Vec<Op>,
    op: Option<Op>,
    waits: Option<String>,
}

/// Makes and mends pods. `false` if what follows has to wait for that.
pub fn settle(model: &mut Model<'_>) -> bool {
    if model.is_ordered() { in_order(model) } else { at_once(model) }
}

fn in_order(model: &mut Model<'_>) -> bool {
    for ordinal in model.range() {
        let need = need(model, ordinal);
        model.plan.push_together(need.claims);
        if let Some(op) = need.op {
            model.plan.push(op);
        }
        if let Some(why) = need.waits {
            model.plan.because(why);
            return false;
        }
    }
    true
}

/// In batches of 1, 2, 4, …: if nothing can be made, only one failure is had.
fn at_once(model: &mut Model<'_>) -> bool {
    let mut needs = Vec::new();
    let mut missing = 0;
    for ordinal in model.range() {
        let is_missing = !model.pods.contains_key(&ordinal);
        if is_missing && missing == BURST {
            break;
        }
        missing += usize::from(is_missing);
        let need = need(model, ordinal);
        if need.op.is_some() || !need.claims.is_empty() {
            model.plan.reasons.extend(need.waits.clone());
            needs.push(need);
        }
    }
    let mut batch = 1;
    while !needs.is_empty() {
        let rest = needs.split_off(batch.min(needs.len()));
        let (claims, ops): (Vec<_>, Vec<_>) = needs.into_iter().map(|need| (need.claims, need.op)).unzip();
        model.plan.push_together(claims.into_iter().flatten().collect());
        model.plan.push_together(ops.into_iter().flatten().collect());
        needs = rest;
        batch *= 2;
    }
    true
}

fn need(model: &mut Model<'_>, ordinal: i32) -> Need {
    let Some(pod) = model.pods.get(&ordinal).cloned() else { return missing(model, ordinal) };
    let facts = &pod.facts;
    if facts.phase.is_terminal() {
        // How it ended does not matter: its ordinal is to run. The next one is made when this one is gone.
        let waits = Some(format!("replaces {}, which has ended", pod.object.header().name));
        let op = facts.deletion.is_none().then(|| model.removal(&pod));
        return Need { op, waits, ..Need::default() };
    }
    let mut claims = Vec::new();
    if facts.phase == Phase::Pending {
        claims = storage::missing(model, ordinal);
    }
    if model.is_ordered()
        && let Some(why) = model.unsettled(&pod)
    {
        return Need { claims, op: None, waits: Some(why) };
    }
    mend(model, ordinal, &pod, claims)
}

fn mend(model: &Model<'_>, ordinal: i32, pod: &Pod, mut claims: Vec<Op>) -> Need {
    claims.extend(storage::keep_policy(model, ordinal, Some(pod), false));
    Need { claims, op: identity::repair(model, ordinal, pod), waits: None }
}

fn missing(model: &mut Model<'_>, ordinal: i32) -> Need {
    let header = model.owner.object.header();
    let name = pod_name(&header.name, ordinal);
    if let Some(obstacle) = storage::obstacle(model, ordinal) {
        let text = format!("create Pod {name} in StatefulSet {} failed error: {obstacle}", header.name);
        model.plan.notes.push(Note::warning(&model.about(), "FailedCreate", text));
        // Nobody tells the set when a claim is gone.
        model.plan.retry = Some(obstacle.clone());
        return Need { waits: Some(format!("cannot make {name}: {obstacle}")), ..Need::default() };
    }
    let mut claims = storage::missing(model, ordinal);
    claims.extend(storage::keep_policy(model, ordinal, None, false));
    let op = Op::create(resources::PODS, &header.namespace, &identity::new_pod(model, ordinal));
    let op = model.told(op, "create", &name);
    Need { claims, op: Some(op), waits: Some(format!("{name} is missing; makes it")) }
}
