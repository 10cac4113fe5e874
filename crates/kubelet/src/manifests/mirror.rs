//! Pictures of static pods: each has one in the API, made anew when it is deleted or shows an older pod, and deleted when
//! its pod is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use client::{Cache, Call, Delete, Key, Write, resources};
use machinery::{Object, Status};
use serde_json::{Value, json};

use super::Manifests;
use crate::kit::Kit;
use crate::pod::MIRROR;

/// How soon it is looked again after something could not be written.
const PAUSE: Duration = Duration::from_secs(2);

/// What is to be done about a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make it, as this document says.
    Make(String),
    /// Delete it: this identity.
    Remove(String),
}

/// The pod that an object is a picture of, by identity, if it is one.
pub(crate) fn shown(object: &Object) -> Option<String> {
    let pod = object.view::<k8s_openapi::api::core::v1::Pod>().ok()?;
    pod.metadata.annotations.as_ref()?.get(MIRROR).cloned()
}

/// What is to be done so that each of `pods` has its picture, and nothing else has. `listed` are the API's pods on this
/// node, `owner` the node's identity.
pub(crate) fn plan(
    pods: &BTreeMap<Key, Object>,
    listed: &[Object],
    (node, owner): (&str, &str),
) -> BTreeMap<Key, Step> {
    let mut steps = BTreeMap::new();
    let mut taken = BTreeMap::new();
    for object in listed {
        let key = Key::of(object);
        let of = shown(object);
        taken.insert(key.clone(), of.clone());
        let Some(of) = of else { continue };
        let right = pods.get(&key).is_some_and(|pod| pod.header().uid == of);
        // Whoever deletes a picture gets a new one.
        if !right || object.header().deleting {
            steps.insert(key, Step::Remove(object.header().uid.to_string()));
        }
    }
    for (key, pod) in pods.iter().filter(|(key, _)| !taken.contains_key(key)) {
        match picture(pod, node, owner) {
            Ok(document) => {
                steps.insert(key.clone(), Step::Make(document));
            }
            Err(status) => tracing::error!(pod = %key, "it cannot be shown: {status}"),
        }
    }
    steps
}

fn picture(pod: &Object, node: &str, owner: &str) -> Result<String, Status> {
    let mut document: Value = serde_json::from_slice(pod.body()).map_err(Status::internal)?;
    let uid = pod.header().uid.as_str();
    let metadata = &mut document["metadata"];
    metadata["annotations"][MIRROR] = json!(uid);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("uid");
        metadata.remove("resourceVersion");
    }
    metadata["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner, "controller": true}]);
    Ok(document.to_string())
}

/// Keeps pictures for ever.
pub(crate) async fn keep(kit: Arc<Kit>, manifests: Manifests, pods: Cache) {
    pods.synced().await;
    let mut changes = pods.changes();
    loop {
        let owner = kit.machine.node_uid.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A picture without its owner would outlive the node.
        let done = if owner.is_empty() { false } else { once(&kit, &manifests, &pods, &owner).await };
        let again =
            async { if done { std::future::pending().await } else { kit.env.clock.sleep(PAUSE).await } };
        tokio::select! {
            biased;
            _ = changes.next() => {}
            () = kit.repaint.notified() => {}
            () = again => {}
        }
    }
}

/// Does what is to be done; answers whether all went well.
async fn once(kit: &Kit, manifests: &Manifests, pods: &Cache, owner: &str) -> bool {
    let listed: Vec<Object> = pods.list().iter().map(|entry| entry.object.clone()).collect();
    let mut well = true;
    for (key, step) in plan(&manifests.pods(), &listed, (&kit.config.node_name, owner)) {
        let written = match step {
            Step::Make(document) => {
                let call = Call::all(&key.namespace);
                kit.client.write(resources::PODS, call, Write::Create(document.into())).await
            }
            Step::Remove(uid) => {
                let how = Delete { grace_secs: Some(0), uid, ..Delete::default() };
                kit.client
                    .write(resources::PODS, Call::object(&key.namespace, &key.name), Write::Delete(how))
                    .await
            }
        };
        match written {
            Ok(_) => {}
            // It is there, or gone, already; the watch will show it.
            Err(status) if matches!(status.code, 404 | 409) => {}
            Err(status) => {
                tracing::warn!(pod = %key, "its picture in the API could not be kept: {status}");
                well = false;
            }
        }
    }
    well
}
