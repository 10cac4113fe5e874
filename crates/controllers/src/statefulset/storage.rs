//! The claims of a StatefulSet's pods: made before the pod, and given to whoever's end is to be theirs.

use client::plan::{Note, Op};
use client::{Key, resources};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use machinery::Object;
use machinery::object::OwnerRef;
use serde_json::{Value, json};

use super::identity::pod_name;
use super::model::Model;
use crate::pod::Pod;

/// The name of a pod's claim.
pub fn claim_name(template: &PersistentVolumeClaim, set: &str, ordinal: i32) -> String {
    format!("{}-{set}-{ordinal}", template_name(template))
}

fn template_name(template: &PersistentVolumeClaim) -> &str {
    template.metadata.name.as_deref().unwrap_or_default()
}

fn templates<'a>(model: &Model<'a>) -> &'a [PersistentVolumeClaim] {
    model.spec.volume_claim_templates.as_deref().unwrap_or_default()
}

/// The claims of an ordinal: template, name, and the claim if there is one.
fn claims_of<'a>(
    model: &Model<'a>,
    ordinal: i32,
) -> impl Iterator<Item = (&'a PersistentVolumeClaim, String, Option<&'a Object>)> {
    let (set, claims) = (model.owner.object.header().name.clone(), model.claims);
    templates(model).iter().map(move |template| {
        let name = claim_name(template, &set, ordinal);
        let claim = claims.get(name.as_str());
        (template, name, claim)
    })
}

/// The volumes of a pod that are its claims.
pub fn volumes(model: &Model<'_>, ordinal: i32) -> Vec<Value> {
    claims_of(model, ordinal)
        .map(|(template, name, _)| {
            json!({ "name": template_name(template), "persistentVolumeClaim": { "claimName": name } })
        })
        .collect()
}

/// Whether a pod uses the claims it should.
pub fn has_claims(model: &Model<'_>, ordinal: i32, pod: &Pod) -> bool {
    claims_of(model, ordinal).all(|(template, name, _)| {
        let volume = template_name(template);
        pod.facts.claims.iter().any(|(own, claim)| own == volume && *claim == name)
    })
}

/// Why the pod of an ordinal cannot be made yet, as far as its claims are concerned.
pub fn obstacle(model: &Model<'_>, ordinal: i32) -> Option<String> {
    let pod = pod_name(&model.owner.object.header().name, ordinal);
    for (_, name, claim) in claims_of(model, ordinal) {
        let Some(claim) = claim else { continue };
        let header = claim.header();
        if header.deleting {
            return Some(format!("pvc {name} is being deleted"));
        }
        // It goes with a pod that is no more: the garbage collector will take it.
        if model.goes_when_scaled() && header.owners.iter().any(|owner| is_pod(owner, &pod)) {
            return Some(format!("pvc {name} belongs to a pod that is gone, and goes with it"));
        }
    }
    None
}

/// The writes that make the claims of an ordinal that are missing.
pub fn missing(model: &Model<'_>, ordinal: i32) -> Vec<Op> {
    let header = model.owner.object.header();
    let pod = pod_name(&header.name, ordinal);
    let absent = claims_of(model, ordinal).filter(|(_, _, claim)| claim.is_none());
    absent
        .map(|(template, name, _)| {
            let text = |what: &str| format!("create Claim {name} {what} in StatefulSet {}", header.name);
            let done = format!("{} success", text(&format!("Pod {pod}")));
            let failed = format!("{} failed error: {{error}}", text(&format!("for Pod {pod}")));
            let body = new_claim(model, template, &name);
            // That it exists means that the cache is behind.
            Op::create(resources::PERSISTENT_VOLUME_CLAIMS, &header.namespace, &body)
                .tolerating(&[409])
                .on_success(Note::normal(&model.about(), "SuccessfulCreate", done))
                .on_failure(Note::warning(&model.about(), "FailedCreate", failed))
        })
        .collect()
}

fn new_claim(model: &Model<'_>, template: &PersistentVolumeClaim, name: &str) -> Value {
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    labels.extend(model.spec.selector.match_labels.clone().unwrap_or_default());
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": model.owner.object.header().namespace.as_str(),
            "labels": labels,
        },
        "spec": template.spec,
    });
    if let Some(annotations) = &template.metadata.annotations {
        claim["metadata"]["annotations"] = json!(annotations);
    }
    if model.goes_when_deleted() {
        claim["metadata"]["ownerReferences"] = json!([model.owner.reference()]);
    }
    claim
}

/// The writes that give the claims of an ordinal to whom the retention policy says. `pod` is the one that uses them,
/// and `is_condemned` whether it is one too many.
pub fn keep_policy(model: &Model<'_>, ordinal: i32, pod: Option<&Pod>, is_condemned: bool) -> Vec<Op> {
    claims_of(model, ordinal)
        .filter_map(|(_, _, claim)| retain(model, claim?, (ordinal, pod), is_condemned))
        .collect()
}

fn retain(
    model: &Model<'_>,
    claim: &Object,
    (ordinal, pod): (i32, Option<&Pod>),
    is_condemned: bool,
) -> Option<Op> {
    let set = model.owner.object.header();
    let pod_name = pod_name(&set.name, ordinal);
    let owners = &claim.header().owners;
    let is_ours = |owner: &&OwnerRef| is_set(owner, &set.name) || is_pod(owner, &pod_name);
    let strange = |owner: &OwnerRef| {
        if is_set(owner, &set.name) {
            owner.uid != set.uid
        } else if is_pod(owner, &pod_name) {
            pod.is_some_and(|pod| owner.uid != pod.object.header().uid)
        } else {
            owner.controller
        }
    };
    let (scaled, deleted) = (model.goes_when_scaled(), model.goes_when_deleted());
    // What somebody else manages, or a former set or pod of the name, is none of our business.
    let is_managed_by_others = (scaled || deleted) && owners.iter().any(strange);
    let new_owner = match (scaled && is_condemned, deleted) {
        _ if is_managed_by_others => None,
        (true, _) => pod.map(pod_reference),
        (false, true) => Some(model.owner.reference()),
        (false, false) => None,
    };
    let mut wanted: Vec<Value> = owners.iter().filter(|owner| !is_ours(owner)).map(reference).collect();
    wanted.extend(new_owner);
    let same = |owner: &OwnerRef| wanted.contains(&reference(owner));
    if owners.len() == wanted.len() && owners.iter().all(same) {
        return None;
    }
    let patch = json!({ "metadata": {
        "uid": claim.header().uid.as_str(),
        "resourceVersion": claim.header().revision.to_string(),
        "ownerReferences": wanted,
    } });
    Some(Op::patch(resources::PERSISTENT_VOLUME_CLAIMS, &Key::of(claim), &patch))
}

fn is_set(owner: &OwnerRef, name: &str) -> bool {
    owner.api_version == "apps/v1" && owner.kind == "StatefulSet" && owner.name == name
}

fn is_pod(owner: &OwnerRef, name: &str) -> bool {
    owner.api_version == "v1" && owner.kind == "Pod" && owner.name == name
}

fn pod_reference(pod: &Pod) -> Value {
    let header = pod.object.header();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "name": header.name.as_str(),
        "uid": header.uid.as_str(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn reference(owner: &OwnerRef) -> Value {
    let mut reference = json!({
        "apiVersion": owner.api_version.as_str(),
        "kind": owner.kind.as_str(),
        "name": owner.name.as_str(),
        "uid": owner.uid.as_str(),
    });
    if owner.controller {
        reference["controller"] = json!(true);
    }
    if owner.block_owner_deletion {
        reference["blockOwnerDeletion"] = json!(true);
    }
    reference
}
