//! What is removed, what is told, and when the namespace itself may go.

use std::collections::BTreeMap;
use std::time::Duration;

use client::plan::{Op, Plan, tree};
use client::{Delete, Key, Resource, resources, time};
use env::WallTime;
use machinery::Object;
use serde_json::{Value, json};

/// Who holds a namespace until it is empty.
const FINALIZER: &str = "kubernetes";
/// How soon it is looked again while something ends by itself.
const SOON: Duration = Duration::from_secs(1);
/// How soon it is looked again when nothing of what is left has to end by itself.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What is left of a resource.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// The resource.
    pub resource: Resource,
    /// Its objects.
    pub objects: Vec<Object>,
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The namespace, which is being deleted.
    pub namespace: Object,
    /// What is left in it: pods only, as long as there are any.
    pub remaining: Vec<Remaining>,
}

/// Decides about one namespace.
pub fn plan(view: &View, now: WallTime) -> Plan {
    match decide(view, now) {
        Ok(plan) => plan,
        Err(status) => Plan { retry: Some(status.message), ..Plan::default() },
    }
}

fn decide(view: &View, now: WallTime) -> Result<Plan, machinery::Status> {
    let mut plan = Plan::nothing();
    let document = tree(&view.namespace)?;
    let finalizers = document["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(plan);
    }
    if view.remaining.is_empty() {
        plan.because("it is empty");
        let kept: Vec<&Value> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        let mut op = Op::update(resources::NAMESPACES, &view.namespace, |document| {
            document["spec"]["finalizers"] = json!(kept);
        })?;
        op.call.subresource = "finalize";
        plan.push(op.tolerating(&[404]));
        return Ok(plan);
    }
    for remaining in &view.remaining {
        let name = remaining.resource.plural;
        plan.because(format!("{} {name} are left in it", remaining.objects.len()));
        plan.push_together(
            remaining
                .objects
                .iter()
                .filter(|object| !object.header().deleting)
                .map(|object| delete(remaining.resource, object))
                .collect(),
        );
    }
    plan.status = told(view, &document, now)?;
    plan.requeue(if has_to_wait(view) { SOON } else { AT_ONCE });
    Ok(plan)
}

/// Whether something is left that does not go just because it is deleted.
fn has_to_wait(view: &View) -> bool {
    view.remaining.iter().any(|remaining| {
        let lasts = |object: &Object| object.header().deleting || !object.header().finalizers.is_empty();
        remaining.resource == resources::PODS || remaining.objects.iter().any(lasts)
    })
}

fn delete(resource: Resource, object: &Object) -> Op {
    let how = Delete { uid: object.header().uid.to_string(), propagation: "Background", ..Delete::default() };
    // Replaced by another of its name (409): the next look finds that one.
    Op::delete_with(resource, &Key::of(object), how).tolerating(&[404, 409])
}

/// The conditions that say what the namespace waits for.
fn told(view: &View, document: &Value, now: WallTime) -> Result<Option<Op>, machinery::Status> {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for finalizer in
        view.remaining.iter().flat_map(|r| &r.objects).flat_map(|object| &object.header().finalizers)
    {
        *held.entry(finalizer).or_default() += 1;
    }
    let counts = view.remaining.iter().map(|remaining| {
        format!("{} has {} resource instances", remaining.resource_name(), remaining.objects.len())
    });
    let mut counts: Vec<String> = counts.collect();
    counts.sort();
    let content = format!("Some resources are remaining: {}", counts.join(", "));
    let holders: Vec<String> =
        held.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    let holding = format!("Some content in the namespace has finalizers remaining: {}", holders.join(", "));
    let finalizers = if held.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    } else {
        ("True", "SomeFinalizersRemain", holding.as_str())
    };
    let conditions = [
        (
            "NamespaceDeletionDiscoveryFailure",
            ("False", "ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            ("False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        ("NamespaceContentRemaining", ("True", "SomeResourcesRemain", content.as_str())),
        ("NamespaceFinalizersRemaining", finalizers),
    ];
    let known = document["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = |(kind, (status, reason, message)): (&str, (&str, &str, &str))| {
        let before =
            known.iter().find(|condition| condition["type"] == kind && condition["status"] == status);
        let since =
            before.map_or_else(|| json!(time::seconds(now)), |before| before["lastTransitionTime"].clone());
        json!({ "type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message })
    };
    let conditions: Vec<Value> = conditions.into_iter().map(condition).collect();
    let status = json!({ "phase": "Terminating", "conditions": conditions });
    Ok(Op::update_status(resources::NAMESPACES, &view.namespace, &status)?
        .map(|op| op.tolerating(&[404, 409])))
}

impl Remaining {
    /// `pods.`, `deployments.apps`: the resource with its group, as upstream's messages name it.
    fn resource_name(&self) -> String {
        format!("{}.{}", self.resource.plural, self.resource.group)
    }
}
