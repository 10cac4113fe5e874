//! Which rules belong to which kind: one line for each.

use crate::{Kind, apps, coordination, core, discovery};

/// The rules of a kind, if it is one that has rules.
pub fn rules(group: &str, version: &str, kind: &str) -> Option<&'static dyn Kind> {
    let rules: &'static dyn Kind = match (group, version, kind) {
        ("", "v1", "Binding") => &core::binding::Binding,
        ("", "v1", "ConfigMap") => &core::config_map::ConfigMap,
        ("", "v1", "Endpoints") => &core::endpoints::Endpoints,
        ("", "v1", "Event") => &core::event::Event,
        ("", "v1", "Namespace") => &core::namespace::Namespace,
        ("", "v1", "Node") => &core::node::Node,
        ("", "v1", "PersistentVolumeClaim") => &core::volume_claim::PersistentVolumeClaim,
        ("", "v1", "Pod") => &core::pod::Pod,
        ("", "v1", "PodTemplate") => &core::pod_template::PodTemplate,
        ("", "v1", "Secret") => &core::secret::Secret,
        ("", "v1", "Service") => &core::service::Service,
        ("", "v1", "ServiceAccount") => &core::service_account::ServiceAccount,
        ("apps", "v1", "ControllerRevision") => &apps::controller_revision::ControllerRevision,
        ("apps", "v1", "DaemonSet") => &apps::daemon_set::DaemonSet,
        ("apps", "v1", "Deployment") => &apps::deployment::Deployment,
        ("apps", "v1", "ReplicaSet") => &apps::replica_set::ReplicaSet,
        ("apps", "v1", "StatefulSet") => &apps::stateful_set::StatefulSet,
        ("autoscaling", "v1", "Scale") => &apps::scale::Scale,
        ("coordination.k8s.io", "v1", "Lease") => &coordination::lease::Lease,
        ("discovery.k8s.io", "v1", "EndpointSlice") => &discovery::endpoint_slice::EndpointSlice,
        ("events.k8s.io", "v1", "Event") => &core::event::EventV1,
        _ => return None,
    };
    Some(rules)
}
