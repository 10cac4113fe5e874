//! The revision of the newest template: found or made, numbered highest, and only one of it.

use client::plan::{Op, Plan};
use client::{Key, resources};
use machinery::Status;
use serde_json::json;

use super::plan::View;
use crate::claim::Owner;
use crate::history::{self, Draft, REVISION_HASH, Revision};
use crate::pod::Pod;

/// The hash pods of a revision are labelled with. Very old revisions had none: their name serves.
pub fn hash_of(revision: &Revision) -> &str {
    revision.label(REVISION_HASH).unwrap_or(&revision.name)
}

/// What came of it.
#[derive(Debug)]
pub struct Chosen {
    /// The hash of the newest template.
    pub hash: String,
    /// Whether its revision is about to be made.
    pub is_new: bool,
    /// All other revisions, oldest first.
    pub old: Vec<Revision>,
}

/// Finds or makes the newest revision.
pub fn choose(
    plan: &mut Plan,
    owner: &Owner<'_>,
    view: &View,
    revisions: Vec<Revision>,
    pods: &[Pod],
) -> Result<Chosen, Status> {
    for revision in revisions.iter().filter(|revision| revision.label(REVISION_HASH).is_none()) {
        label(plan, revision);
    }
    let sorted = history::History::of(revisions).revisions;
    let (mut current, old): (Vec<Revision>, Vec<Revision>) =
        sorted.into_iter().partition(|revision| revision.data == view.data);
    let number = old.iter().map(|revision| revision.number).max().unwrap_or(0) + 1;
    let Some(mut kept) = current.pop() else {
        let draft = Draft { next: &view.next, number, data: &view.data, hash_label: REVISION_HASH };
        history::make(plan, owner, &draft)?;
        return Ok(Chosen { hash: view.next.hash.clone(), is_new: true, old });
    };
    for double in &current {
        merge(plan, double, &kept, pods);
    }
    if kept.number < number {
        history::renumber(plan, &mut kept, number);
    }
    Ok(Chosen { hash: hash_of(&kept).to_owned(), is_new: false, old })
}

fn label(plan: &mut Plan, revision: &Revision) {
    if let Some(object) = &revision.object {
        let patch = json!({ "metadata": {
            "uid": object.header().uid.as_str(),
            "labels": { REVISION_HASH: revision.name.as_str() },
        } });
        plan.push(Op::patch(resources::CONTROLLER_REVISIONS, &Key::of(object), &patch));
    }
}

/// Removes a revision that says what another does. Its pods become the other's first: they are as they should be.
fn merge(plan: &mut Plan, double: &Revision, kept: &Revision, pods: &[Pod]) {
    let Some(object) = &double.object else { return };
    plan.because(format!("revision {} says what {} does; keeps one", double.name, kept.name));
    let relabelled =
        pods.iter().filter(|pod| pod.object.header().label(REVISION_HASH) == Some(hash_of(double)));
    let ops = relabelled.map(|pod| {
        let patch = json!({ "metadata": {
            "uid": pod.object.header().uid.as_str(),
            "labels": { REVISION_HASH: hash_of(kept) },
        } });
        Op::patch(resources::PODS, &Key::of(&pod.object), &patch)
    });
    plan.push_together(ops.collect());
    plan.push(Op::delete(resources::CONTROLLER_REVISIONS, &Key::of(object), &object.header().uid));
}
