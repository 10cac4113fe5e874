//! The pods of a Job: whose they are, which are made, and which are removed.

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::Object;
use serde_json::{Value, json};

use super::tally::{FINALIZER, Member, Tally};
use crate::claim::{Claim, Owner};
use crate::pod::Pod;
use crate::template;

/// Which piece of the work a pod does.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest beginning of a generated name.
const PREFIX_MAX: usize = 58;

/// Sorts out whose the pods are: plans adoptions and releases, and answers with those that are ours then.
pub fn claim(plan: &mut Plan, owner: &Owner<'_>, pods: &[Pod]) -> Vec<Pod> {
    let mut ours = Vec::new();
    let (mut adoptions, mut releases) = (Vec::new(), Vec::new());
    for pod in pods {
        match owner.claim(&pod.object, |_| true) {
            Claim::Ignore => {}
            Claim::Keep => ours.push(pod.clone()),
            // It does its part from now on, and is counted as soon as it is seen with the finalizer.
            Claim::Adopt => {
                adoptions.push(adopt(owner, &pod.object));
                ours.push(pod.clone());
            }
            Claim::Release => releases.push(release(owner, &pod.object)),
        }
    }
    if !adoptions.is_empty() {
        plan.because(format!("takes in {} pods that nobody owns", adoptions.len()));
        plan.confirm(owner.resource, owner.object);
        plan.push_together(adoptions);
    }
    if !releases.is_empty() {
        plan.because(format!("lets go of {} pods it does not select any more", releases.len()));
        plan.push_together(releases);
    }
    ours
}

fn adopt(owner: &Owner<'_>, pod: &Object) -> Op {
    let patch = json!({ "metadata": {
        "uid": pod.header().uid.as_str(),
        "ownerReferences": [owner.reference()],
        "finalizers": [FINALIZER],
    } });
    Op::strategic_patch(resources::PODS, &Key::of(pod), &patch)
}

fn release(owner: &Owner<'_>, pod: &Object) -> Op {
    let reference = json!({ "$patch": "delete", "uid": owner.object.header().uid.as_str() });
    let patch = json!({ "metadata": {
        "uid": pod.header().uid.as_str(),
        "ownerReferences": [reference],
        "$deleteFromPrimitiveList/finalizers": [FINALIZER],
    } });
    // Gone (404) or replaced by another of its name (422): either way it is not ours.
    Op::strategic_patch(resources::PODS, &Key::of(pod), &patch).tolerating(&[404, 422])
}

/// Lets a pod go that was counted.
pub fn release_counted(pod: &Object) -> Op {
    let patch = json!({ "metadata": {
        "uid": pod.header().uid.as_str(),
        "$deleteFromPrimitiveList/finalizers": [FINALIZER],
    } });
    Op::strategic_patch(resources::PODS, &Key::of(pod), &patch).tolerating(&[404, 422])
}

/// Removes a pod.
pub fn remove(job: &Object, pod: &Object) -> Op {
    let (about, key) = (About::object(job), Key::of(pod));
    let gone = format!("Deleted pod: {}", key.name);
    Op::delete(resources::PODS, &key, &pod.header().uid)
        .on_success(Note::normal(&about, "SuccessfulDelete", gone))
        .on_failure(Note::warning(&about, "FailedDelete", "Error deleting: {error}"))
}

/// A pod to be made.
pub struct Maker<'a> {
    /// The Job.
    pub owner: Owner<'a>,
    /// How pods look.
    pub template: &'a PodTemplateSpec,
    /// What its pods say.
    pub tally: &'a Tally,
    /// Each pod has an index of its own.
    pub is_indexed: bool,
    /// Each index has its own limit of failures.
    pub counts_by_index: bool,
}

impl Maker<'_> {
    /// The write that makes a pod, for an index where there are any.
    pub fn make(&self, index: Option<u32>) -> Op {
        let mut pod = template::pod(self.template, &self.owner);
        let finalizers = &mut pod["metadata"]["finalizers"];
        let mut all = finalizers.as_array().cloned().unwrap_or_default();
        if !all.iter().any(|finalizer| finalizer == FINALIZER) {
            all.push(json!(FINALIZER));
        }
        *finalizers = Value::Array(all);
        if self.is_indexed {
            add_index_variable(&mut pod["spec"]);
        }
        if let Some(index) = index {
            self.give_index(&mut pod, index);
        }
        let about = About::object(self.owner.object);
        Op::create(resources::PODS, &self.owner.object.header().namespace, &pod)
            .on_success(Note::normal(&about, "SuccessfulCreate", "Created pod: {name}"))
            .on_failure(Note::warning(&about, "FailedCreate", "Error creating: {error}"))
    }

    fn give_index(&self, pod: &mut Value, index: u32) {
        let job = &self.owner.object.header().name;
        pod["metadata"]["generateName"] = json!(indexed_prefix(job, index));
        pod["metadata"]["labels"][INDEX] = json!(index.to_string());
        pod["metadata"]["annotations"][INDEX] = json!(index.to_string());
        pod["spec"]["hostname"] = json!(format!("{job}-{index}"));
        if self.counts_by_index {
            let (failures, ignored) = failures_of(self.tally.awaiting_replacement.get(&index));
            pod["metadata"]["annotations"][FAILURES] = json!(failures.to_string());
            if ignored > 0 {
                pod["metadata"]["annotations"][IGNORED] = json!(ignored.to_string());
            }
        }
    }
}

/// The failures of an index, the one of its last pod included: those that count, and those that do not.
fn failures_of(last: Option<&Member>) -> (i32, i32) {
    let Some(last) = last else { return (0, 0) };
    let ending = last.ending();
    if last.failure.as_ref().is_some_and(|verdict| !verdict.counts()) {
        (ending.index_failures, ending.index_ignored.saturating_add(1))
    } else {
        (ending.index_failures.saturating_add(1), ending.index_ignored)
    }
}

/// The beginning of the name of a pod: `job-7-`.
fn indexed_prefix(job: &str, index: u32) -> String {
    let end = format!("-{index}-");
    let room = PREFIX_MAX - end.len();
    format!("{}{end}", job.get(..room).unwrap_or(job))
}

/// Tells containers their index, unless they were told otherwise.
fn add_index_variable(pod: &mut Value) {
    let variable = json!({
        "name": INDEX_VARIABLE,
        "valueFrom": { "fieldRef": { "fieldPath": format!("metadata.labels['{INDEX}']") } },
    });
    for list in ["initContainers", "containers"] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mut variables = container["env"].as_array().cloned().unwrap_or_default();
            if !variables.iter().any(|known| known["name"] == INDEX_VARIABLE) {
                variables.push(variable.clone());
                container["env"] = Value::Array(variables);
            }
        }
    }
}
