//! What a node may do to pods: make and remove the mirrors of its own static pods, and tell how its pods are.

use machinery::field::go_quote;
use machinery::status::GroupName;
use machinery::{Status, Value};

use super::Writing;
use crate::admission::Operation;
use crate::authz::node::references;

/// Marks the image of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn check(writing: Writing<'_>) -> Result<(), Status> {
    let review = writing.review;
    match (review.subresource, review.operation) {
        ("", Operation::Create) => create(writing),
        ("", Operation::Delete) => {
            let quoted = writing.quoted();
            let why = format!("node {quoted} can only delete pods with spec.nodeName set to itself");
            own(writing, review.old, why)
        }
        ("", _) => Err(writing.forbidden(format!(
            "unexpected operation {}, node {} can only create and delete mirror pods",
            go_quote(review.operation.name()),
            writing.quoted()
        ))),
        ("status", Operation::Update) => status(writing),
        ("status", _) => Err(writing.unexpected()),
        ("eviction", Operation::Create) => {
            let pod = find(writing, review.name)?;
            let why = format!("node {} can only evict pods with spec.nodeName set to itself", writing.node);
            own(writing, &pod, why)
        }
        ("eviction", _) => {
            Err(writing.forbidden(format!("unexpected operation {}", review.operation.name())))
        }
        (other, _) => Err(writing.forbidden(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            go_quote(other)
        ))),
    }
}

/// A pod as it is, or 404.
pub(super) fn find(writing: Writing<'_>, name: &str) -> Result<Value, Status> {
    let key = format!("{}/{name}", writing.review.namespace);
    let found = writing.around.caches.collection("core/pods").and_then(|pods| pods.get(&key));
    match found {
        Some(entry) => entry.object().to_value(),
        None => Err(Status::not_found(GroupName { group: "", name: "pods" }, name)),
    }
}

fn own(writing: Writing<'_>, pod: &Value, why: String) -> Result<(), Status> {
    if pod.at(&["spec", "nodeName"]).as_str() == Some(writing.node) {
        Ok(())
    } else {
        Err(writing.forbidden(why))
    }
}

fn status(writing: Writing<'_>) -> Result<(), Status> {
    let (new, old) = (&writing.review.object, writing.review.old);
    let quoted = writing.quoted();
    let why = format!("node {quoted} can only update pod status for pods with spec.nodeName set to itself");
    own(writing, old, why)?;
    let same = |path: &[&str]| {
        let (new, old) = (new.at(path), old.at(path));
        new == old || (new.is_empty() && old.is_empty())
    };
    if !same(&["metadata", "labels"]) {
        return Err(writing.forbidden(format!("node {quoted} cannot update labels through pod status")));
    }
    if !same(&["status", "resourceClaimStatuses"]) {
        return Err(writing.forbidden(format!("node {quoted} cannot update resource claim statues")));
    }
    if !same(&["status", "extendedResourceClaimStatus"]) {
        let why = format!("node {quoted} cannot update extended resource claim status");
        return Err(writing.forbidden(why));
    }
    Ok(())
}

fn create(writing: Writing<'_>) -> Result<(), Status> {
    let pod = &writing.review.object;
    let quoted = writing.quoted();
    if pod.at(&["metadata", "annotations", MIRROR]).is_null() {
        let why = format!(
            "pod does not have {} annotation, node {quoted} can only create mirror pods",
            go_quote(MIRROR)
        );
        return Err(writing.forbidden(why));
    }
    let why = format!("node {quoted} can only create pods with spec.nodeName set to itself");
    own(writing, pod, why)?;
    check_owner(writing, pod)?;
    refers(pod).map_or(Ok(()), |what| {
        Err(writing.forbidden(format!("node {quoted} can not create pods that reference {what}")))
    })
}

fn check_owner(writing: Writing<'_>, pod: &Value) -> Result<(), Status> {
    let quoted = writing.quoted();
    let refuse = |what: &str| Err(writing.forbidden(format!("node {quoted} {what}")));
    let owners = pod.at(&["metadata", "ownerReferences"]).items();
    let owner = match owners {
        [] => return refuse("can only create pods with an owner reference set to itself"),
        [owner] => owner,
        _ => return refuse("can only create pods with a single owner reference set to itself"),
    };
    let text = |field: &str| owner.get(field).str_or_empty();
    if text("apiVersion") != "v1" || text("kind") != "Node" || text("name") != writing.node {
        return refuse("can only create pods with an owner reference set to itself");
    }
    if !owner.get("controller").is_true() {
        return refuse("can only create pods with a controller owner reference set to itself");
    }
    if owner.get("blockOwnerDeletion").is_true() {
        return refuse("must not set blockOwnerDeletion on an owner reference");
    }
    let node = writing.around.caches.collection("core/nodes").and_then(|nodes| nodes.get(writing.node));
    let Some(node) = node else {
        return Err(Status::not_found(GroupName { group: "", name: "nodes" }, writing.node));
    };
    let uid = node.object().header().uid.as_str();
    if text("uid") != uid {
        return Err(writing.forbidden(format!(
            "node {} UID mismatch: expected {} got {uid}",
            writing.node,
            text("uid")
        )));
    }
    Ok(())
}

/// What a mirror pod must not refer to and does: through it, its node would get to read it.
fn refers(pod: &Value) -> Option<&'static str> {
    let used = references(pod);
    let uses = |resource: &str| used.iter().any(|(used, _)| *used == resource);
    let volumes = || pod.at(&["spec", "volumes"]).items().iter();
    let bundles = |volume: &Value| {
        let sources = volume.at(&["projected", "sources"]).items();
        sources.iter().any(|source| !source.get("clusterTrustBundle").is_null())
    };
    if uses("serviceaccounts") {
        Some("a service account")
    } else if uses("secrets") {
        Some("secrets")
    } else if uses("configmaps") {
        Some("configmaps")
    } else if volumes().any(bundles) {
        Some("clustertrustbundles")
    } else if volumes().any(|volume| !volume.get("persistentVolumeClaim").is_null()) {
        Some("persistentvolumeclaims")
    } else if !pod.at(&["spec", "resourceClaims"]).items().is_empty() {
        Some("resourceclaims")
    } else {
        None
    }
}
