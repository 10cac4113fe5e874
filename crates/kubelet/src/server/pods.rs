//! The pods of the node, and where a request finds one.

use client::{Cache, Key};
use cri::{Container, ContainerState};
use machinery::{Reason, Status};
use serde_json::{Value, json};

use super::{Answer, Server, whole};
use crate::kit::Kit;
use crate::pod::PodView;

/// All pods as the API has them.
pub(super) fn list(pods: &Cache) -> Answer {
    let mut body = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    for (position, entry) in pods.list().iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(entry.object.body());
    }
    body.extend_from_slice(b"]}");
    whole(200, "application/json", body)
}

/// Pods as the runtime has them: names and images of what runs.
pub(super) fn running(kit: &Kit) -> Answer {
    let items: Vec<Value> = kit
        .observer
        .pods()
        .into_iter()
        .filter_map(|pod| {
            let observed = kit.observer.pod(&pod.uid);
            let containers: Vec<Value> = observed
                .running()
                .map(|container| json!({"name": container.name, "image": container.image_ref, "resources": {}}))
                .collect();
            (!containers.is_empty()).then(|| {
                json!({
                    "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                    "spec": {"containers": containers},
                    "status": {},
                })
            })
        })
        .collect();
    super::json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// The configuration, as far as others ask for it.
pub(super) fn configz(kit: &Kit) -> Value {
    let config = &kit.config;
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "maxPods": config.max_pods,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "resolvConf": config.resolv_conf,
        "nodeStatusUpdateFrequency": "10s",
        "nodeLeaseDurationSeconds": 40,
    }})
}

/// The pod of a request.
pub(super) fn find(server: &Server, namespace: &str, name: &str) -> Result<PodView, Status> {
    let entry = server.pods.get(&Key::new(namespace, name));
    let missing =
        || Status::new(404, Reason::NotFound, format!("pod \"{name}_{namespace}\" does not exist\n"));
    PodView::new(&entry.ok_or_else(missing)?.object)
}

/// The running container of a request.
pub(super) fn running_container(server: &Server, pod: &PodView, name: &str) -> Result<Container, Status> {
    let observed = server.kit.observer.pod(pod.runtime_uid());
    match observed.latest(name) {
        Some(container) if container.state == ContainerState::Running => Ok(container.clone()),
        Some(_) => {
            let text = format!("cannot exec in a stopped state: container {name:?} is not running");
            Err(Status::new(500, Reason::InternalError, text))
        }
        None => Err(Status::new(500, Reason::InternalError, format!("container not found ({name:?})"))),
    }
}
