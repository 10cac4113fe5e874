//! Whether an object goes, and how.

use client::plan::{Op, Plan};
use client::{Delete, Key, Resource};
use machinery::Object;
use machinery::object::OwnerRef;
use serde_json::{Value, json};

/// On an owner that goes when those that block it are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// On an owner that leaves its dependents behind.
const ORPHAN: &str = "orphan";

/// What became of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there.
    Present,
    /// It goes, and waits for its dependents to go first.
    Waiting,
    /// It is gone for certain.
    Absent,
    /// It cannot be told, so nothing may be done about it.
    Unknown,
}

/// An owner of an object.
#[derive(Clone, Debug)]
pub struct Owner {
    /// As the object names it.
    pub reference: OwnerRef,
    /// What became of it.
    pub state: OwnerState,
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// What the object is.
    pub resource: Resource,
    /// The object.
    pub object: Object,
    /// Its owners; not looked at for one that goes anyway.
    pub owners: Vec<Owner>,
    /// What it owns.
    pub dependents: Vec<(Resource, Object)>,
}

fn holds(object: &Object, finalizer: &str) -> bool {
    object.header().finalizers.iter().any(|held| held == finalizer)
}

/// Whether it goes only after its dependents.
pub fn waits_for_dependents(object: &Object) -> bool {
    object.header().deleting && holds(object, FOREGROUND)
}

/// Decides about one object.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    if view.object.header().deleting {
        if holds(&view.object, ORPHAN) {
            orphan(&mut plan, view);
        } else if holds(&view.object, FOREGROUND) {
            release(&mut plan, view);
        }
    } else {
        collect(&mut plan, view);
    }
    plan
}

/// A patch of the metadata of an object as it was seen.
fn patch(resource: Resource, object: &Object, mut metadata: Value) -> Op {
    metadata["resourceVersion"] = json!(object.header().revision.to_string());
    metadata["uid"] = json!(object.header().uid.as_str());
    Op::patch(resource, &Key::of(object), &json!({ "metadata": metadata })).tolerating(&[404])
}

fn without_finalizer(view: &View, finalizer: &str) -> Op {
    let kept = view.object.header().finalizers.iter().filter(|held| *held != finalizer);
    let kept: Vec<&str> = kept.map(|held| held.as_str()).collect();
    patch(view.resource, &view.object, json!({ "finalizers": kept }))
}

fn references<'a>(owners: impl Iterator<Item = &'a OwnerRef>) -> Value {
    let reference = |owner: &OwnerRef| {
        let mut reference = json!({ "apiVersion": owner.api_version.as_str(), "kind": owner.kind.as_str(),
            "name": owner.name.as_str(), "uid": owner.uid.as_str() });
        if owner.controller {
            reference["controller"] = json!(true);
        }
        if owner.block_owner_deletion {
            reference["blockOwnerDeletion"] = json!(true);
        }
        reference
    };
    Value::Array(owners.map(reference).collect())
}

/// Its dependents forget it, and then it goes.
fn orphan(plan: &mut Plan, view: &View) {
    let uid = &view.object.header().uid;
    plan.because(format!("it leaves {} dependents behind", view.dependents.len()));
    let forgetting = view.dependents.iter().map(|(resource, dependent)| {
        let kept = references(dependent.header().owners.iter().filter(|owner| owner.uid != *uid));
        patch(*resource, dependent, json!({ "ownerReferences": kept }))
    });
    plan.push_together(forgetting.collect());
    plan.push(without_finalizer(view, ORPHAN));
}

/// It goes when nothing blocks it any more.
fn release(plan: &mut Plan, view: &View) {
    let uid = &view.object.header().uid;
    let blocks = |dependent: &Object| {
        dependent.header().owners.iter().any(|owner| owner.uid == *uid && owner.block_owner_deletion)
    };
    let blocking = view.dependents.iter().filter(|(_, dependent)| blocks(dependent)).count();
    if blocking == 0 {
        plan.because("nothing that blocks its deletion is left");
        plan.push(without_finalizer(view, FOREGROUND));
    } else {
        plan.because(format!("waits for {blocking} dependents that block its deletion"));
    }
}

fn collect(plan: &mut Plan, view: &View) {
    let in_state = |state: OwnerState| view.owners.iter().filter(move |owner| owner.state == state);
    let is_kept =
        view.owners.iter().any(|owner| matches!(owner.state, OwnerState::Present | OwnerState::Unknown));
    let gone = in_state(OwnerState::Absent).chain(in_state(OwnerState::Waiting)).count();
    if view.owners.is_empty() || gone == 0 {
        return;
    }
    if is_kept {
        plan.because(format!("{gone} of its owners are gone, others are not"));
        let kept = view
            .owners
            .iter()
            .filter(|owner| matches!(owner.state, OwnerState::Present | OwnerState::Unknown));
        let kept = references(kept.map(|owner| &owner.reference));
        plan.push(patch(view.resource, &view.object, json!({ "ownerReferences": kept })));
        return;
    }
    let waits = in_state(OwnerState::Waiting).next().is_some();
    if waits && !view.dependents.is_empty() {
        plan.because("its owner waits for it, and it has dependents of its own");
        if view.dependents.iter().any(|(_, dependent)| waits_for_dependents(dependent)) {
            // Two that wait for each other would wait for ever.
            unblock(plan, view);
        }
        plan.push(delete(view, "Foreground"));
        return;
    }
    plan.because("none of its owners is left");
    let propagation = if holds(&view.object, ORPHAN) {
        "Orphan"
    } else if holds(&view.object, FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    plan.push(delete(view, propagation));
}

/// The object no longer blocks its owners.
fn unblock(plan: &mut Plan, view: &View) {
    let mut owners: Vec<OwnerRef> = view.object.header().owners.to_vec();
    owners.iter_mut().for_each(|owner| owner.block_owner_deletion = false);
    let references = references(owners.iter());
    let body =
        json!({ "metadata": { "uid": view.object.header().uid.as_str(), "ownerReferences": references } });
    plan.push(Op::patch(view.resource, &Key::of(&view.object), &body).tolerating(&[404]));
}

fn delete(view: &View, propagation: &'static str) -> Op {
    let how = Delete { uid: view.object.header().uid.to_string(), propagation, ..Delete::default() };
    Op::delete_with(view.resource, &Key::of(&view.object), how).tolerating(&[404, 409])
}
