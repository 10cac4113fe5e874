//! Tokens that a node asks for: only for its own pods, and only for those whom the pods' volumes name.

use machinery::field::go_quote;
use machinery::status::GroupName;
use machinery::{Status, Value};

use super::{Writing, pods};
use crate::admission::Operation;
use crate::authz::{Attributes, Decision, Union};

/// What somebody must be allowed to do to ask for tokens that are meant for whomever.
const VERB: &str = "request-serviceaccounts-token-audience";

pub(super) async fn check(writing: Writing<'_>, authorizer: &Union) -> Result<(), Status> {
    let review = writing.review;
    if review.operation != Operation::Create {
        return Ok(());
    }
    let spec = review.object.get("spec");
    let reference = spec.get("boundObjectRef");
    let text = |field: &str| reference.get(field).str_or_empty();
    if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
        return Err(writing.forbidden("node requested token not bound to a pod"));
    }
    if text("uid").is_empty() {
        return Err(writing.forbidden("node requested token with a pod binding without a uid"));
    }
    let pod = pods::find(writing, text("name"))?;
    if pod.at(&["metadata", "uid"]).as_str() != Some(text("uid")) {
        return Err(writing.forbidden(format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
             deleted and then recreated",
            text("uid")
        )));
    }
    if pod.at(&["spec", "nodeName"]).as_str() != Some(writing.node) {
        return Err(writing.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    let audience = match spec.get("audiences").items() {
        [] => "",
        [one] => one.str_or_empty(),
        _ => return Err(writing.forbidden("node may only request 0 or 1 audiences")),
    };
    if is_named(writing, &pod, audience) || may_ask_for(writing, audience, authorizer).await {
        return Ok(());
    }
    Err(writing.forbidden(format!("audience {} not found in pod spec volume", go_quote(audience))))
}

async fn may_ask_for(writing: Writing<'_>, audience: &str, authorizer: &Union) -> bool {
    let review = writing.review;
    let resource = GroupName { group: "", name: audience };
    let asked = Attributes {
        namespace: review.namespace,
        name: review.name,
        ..Attributes::of_resource(review.identity, VERB, resource)
    };
    matches!(authorizer.authorize(&asked).await, Decision::Allow(_))
}

/// Whether a volume of the pod is for the audience: a projected token, or a driver that asks for one.
fn is_named(writing: Writing<'_>, pod: &Value, audience: &str) -> bool {
    pod.at(&["spec", "volumes"]).items().iter().any(|volume| {
        let sources = volume.at(&["projected", "sources"]).items();
        let projected = sources.iter().any(|source| {
            let token = source.get("serviceAccountToken");
            !token.is_null() && token.get("audience").str_or_empty() == audience
        });
        projected || driver_of(writing, pod, volume).is_some_and(|driver| asks(writing, &driver, audience))
    })
}

/// The driver behind a volume: named in place, or by the volume that its claim is bound to.
fn driver_of(writing: Writing<'_>, pod: &Value, volume: &Value) -> Option<String> {
    if let Some(driver) = volume.at(&["csi", "driver"]).as_str() {
        return Some(driver.to_owned());
    }
    let claim = match volume.at(&["persistentVolumeClaim", "claimName"]).as_str() {
        Some(claim) => claim.to_owned(),
        None if !volume.get("ephemeral").is_null() => {
            let name = pod.at(&["metadata", "name"]).str_or_empty();
            format!("{name}-{}", volume.get("name").str_or_empty())
        }
        None => return None,
    };
    let caches = writing.around.caches;
    let key = format!("{}/{claim}", writing.review.namespace);
    let claim = caches.collection("core/persistentvolumeclaims")?.get(&key)?.object().to_value().ok()?;
    let name = claim.at(&["spec", "volumeName"]).str_or_empty();
    let bound = caches.collection("core/persistentvolumes")?.get(name)?.object().to_value().ok()?;
    bound.at(&["spec", "csi", "driver"]).as_str().map(str::to_owned)
}

fn asks(writing: Writing<'_>, driver: &str, audience: &str) -> bool {
    let drivers = writing.around.caches.collection("storage.k8s.io/csidrivers");
    let found = drivers.and_then(|drivers| drivers.get(driver));
    let document = found.and_then(|entry| entry.object().to_value().ok());
    document.is_some_and(|driver| {
        let requests = driver.at(&["spec", "tokenRequests"]).items();
        requests.iter().any(|request| request.get("audience").str_or_empty() == audience)
    })
}
