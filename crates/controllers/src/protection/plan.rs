//! Whether something may go, and who uses it.

use std::sync::Arc;

use client::plan::{Op, Plan};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use machinery::Object;
use serde_json::json;

/// What is held while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protected {
    /// A claim, while a pod mounts it.
    Claim,
    /// A volume, while it is bound.
    Volume,
    /// A class of volume attributes, while a claim or a volume has it.
    Class,
}

impl Protected {
    fn finalizer(self) -> &'static str {
        match self {
            Protected::Claim => "kubernetes.io/pvc-protection",
            Protected::Volume => "kubernetes.io/pv-protection",
            Protected::Class => "kubernetes.io/vac-protection",
        }
    }
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// What it is.
    pub kind: Protected,
    /// The object.
    pub object: Object,
    /// Who uses it, if it is to go and somebody does.
    pub user: Option<String>,
}

/// Decides about one object.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let header = view.object.header();
    let finalizer = view.kind.finalizer();
    let holds = header.finalizers.iter().any(|held| held == finalizer);
    let mut finalizers: Vec<&str> = header.finalizers.iter().map(|held| held.as_str()).collect();
    match (header.deleting, holds, &view.user) {
        (false, false, _) => {
            plan.because("it must not go while it is in use");
            finalizers.push(finalizer);
        }
        (true, true, None) => {
            plan.because("nobody uses it any more");
            finalizers.retain(|held| *held != finalizer);
        }
        (true, true, Some(user)) => {
            plan.because(format!("{user} uses it"));
            return plan;
        }
        _ => return plan,
    }
    let op = Op::update(view.kind.resource(), &view.object, |document| {
        document["metadata"]["finalizers"] = json!(finalizers);
    });
    match op {
        Ok(op) => plan.push(op.tolerating(&[404])),
        Err(status) => plan.retry = Some(status.message),
    }
    plan
}

/// The pod, if it uses a claim: it names it, or has it made for itself, is on a node, and is not over.
pub fn pod_that_uses(pod: &Pod, claim: &Object) -> Option<String> {
    let (spec, header) = (pod.spec.as_ref()?, claim.header());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed"))
        || spec.node_name.as_deref().unwrap_or_default().is_empty()
    {
        return None;
    }
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let is_owner = header.owners.iter().any(|owner| Some(owner.uid.as_str()) == pod.metadata.uid.as_deref());
    let uses = spec.volumes.iter().flatten().any(|volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.as_str());
        let made =
            volume.ephemeral.is_some() && is_owner && header.name == format!("{pod_name}-{}", volume.name);
        named == Some(header.name.as_str()) || made
    });
    uses.then(|| format!("pod {pod_name}"))
}

/// The claim a volume is bound to.
pub fn claim_of(volume: &PersistentVolume) -> Option<String> {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let name = claim.and_then(|claim| claim.name.as_deref()).unwrap_or_default();
    (phase == Some("Bound")).then(|| format!("claim {name}"))
}

/// Who has a class of volume attributes, or is about to.
pub fn user_of_class(
    name: &str,
    claims: &[Arc<PersistentVolumeClaim>],
    volumes: &[Arc<PersistentVolume>],
) -> Option<String> {
    let is_it = |class: Option<&String>| class.is_some_and(|class| class == name);
    let by_claim = claims.iter().find(|claim| {
        let status = claim.status.as_ref();
        let target = status.and_then(|status| status.modify_volume_status.as_ref());
        is_it(claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_ref()))
            || is_it(status.and_then(|status| status.current_volume_attributes_class_name.as_ref()))
            || is_it(target.and_then(|target| target.target_volume_attributes_class_name.as_ref()))
    });
    let by_volume = volumes.iter().find(|volume| {
        is_it(volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_ref()))
    });
    let name = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        metadata.name.clone().unwrap_or_default()
    };
    by_claim
        .map(|claim| format!("claim {}", name(&claim.metadata)))
        .or_else(|| by_volume.map(|volume| format!("volume {}", name(&volume.metadata))))
}
