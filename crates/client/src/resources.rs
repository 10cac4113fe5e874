//! The built-in resources, derived from the typed kinds so that `client.get::<Pod>(…)` knows where pods live.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::autoscaling::{v1 as autoscaling_v1, v2 as autoscaling_v2};
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::certificates::v1 as certificates;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::flowcontrol::v1 as flowcontrol;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::node::v1 as node;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::api::resource::v1 as dynamic;
use k8s_openapi::api::scheduling::v1 as scheduling;
use k8s_openapi::api::storage::v1 as storage;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as registration;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Resource;

/// Where objects of a kind live, as a number the compiler can see.
pub trait Scope {
    /// Whether they live in namespaces.
    const NAMESPACED: bool;
}

impl Scope for k8s_openapi::NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl Scope for k8s_openapi::ClusterResourceScope {
    const NAMESPACED: bool = false;
}

/// A typed kind that knows its resource. Every `k8s-openapi` kind that can be stored is one.
pub trait Typed: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// How the API addresses objects of the kind.
    const RESOURCE: Resource;
}

impl<T> Typed for T
where
    T: k8s_openapi::Resource + Serialize + DeserializeOwned + Send + Sync + 'static,
    T::Scope: Scope,
{
    const RESOURCE: Resource = Resource {
        group: T::GROUP,
        version: T::VERSION,
        plural: T::URL_PATH_SEGMENT,
        kind: T::KIND,
        namespaced: <T::Scope as Scope>::NAMESPACED,
    };
}

/// Names resources and collects those that are stored, in one table.
macro_rules! resources {
    (stored { $($stored:ident: $stored_type:ty;)* } asked { $($asked:ident: $asked_type:ty;)* }) => {
        $(#[doc = concat!("`", stringify!($stored_type), "` objects.")]
        pub const $stored: Resource = <$stored_type as Typed>::RESOURCE;)*
        $(#[doc = concat!("`", stringify!($asked_type), "`: a question that is answered, not stored.")]
        pub const $asked: Resource = <$asked_type as Typed>::RESOURCE;)*

        /// Every built-in resource whose objects are stored, each once (events and autoscalers in one of their two
        /// forms), by group and plural.
        pub const ALL: &[Resource] = &[$($stored),*];
    };
}

resources! {
    stored {
        CONFIG_MAPS: core::ConfigMap;
        ENDPOINTS: core::Endpoints;
        EVENTS: core::Event;
        LIMIT_RANGES: core::LimitRange;
        NAMESPACES: core::Namespace;
        NODES: core::Node;
        PERSISTENT_VOLUME_CLAIMS: core::PersistentVolumeClaim;
        PERSISTENT_VOLUMES: core::PersistentVolume;
        PODS: core::Pod;
        POD_TEMPLATES: core::PodTemplate;
        REPLICATION_CONTROLLERS: core::ReplicationController;
        RESOURCE_QUOTAS: core::ResourceQuota;
        SECRETS: core::Secret;
        SERVICE_ACCOUNTS: core::ServiceAccount;
        SERVICES: core::Service;
        MUTATING_ADMISSION_POLICIES: admission::MutatingAdmissionPolicy;
        MUTATING_ADMISSION_POLICY_BINDINGS: admission::MutatingAdmissionPolicyBinding;
        MUTATING_WEBHOOK_CONFIGURATIONS: admission::MutatingWebhookConfiguration;
        VALIDATING_ADMISSION_POLICIES: admission::ValidatingAdmissionPolicy;
        VALIDATING_ADMISSION_POLICY_BINDINGS: admission::ValidatingAdmissionPolicyBinding;
        VALIDATING_WEBHOOK_CONFIGURATIONS: admission::ValidatingWebhookConfiguration;
        CUSTOM_RESOURCE_DEFINITIONS: extensions::CustomResourceDefinition;
        API_SERVICES: registration::APIService;
        CONTROLLER_REVISIONS: apps::ControllerRevision;
        DAEMON_SETS: apps::DaemonSet;
        DEPLOYMENTS: apps::Deployment;
        REPLICA_SETS: apps::ReplicaSet;
        STATEFUL_SETS: apps::StatefulSet;
        HORIZONTAL_POD_AUTOSCALERS: autoscaling_v2::HorizontalPodAutoscaler;
        CRON_JOBS: batch::CronJob;
        JOBS: batch::Job;
        CERTIFICATE_SIGNING_REQUESTS: certificates::CertificateSigningRequest;
        LEASES: coordination::Lease;
        ENDPOINT_SLICES: discovery::EndpointSlice;
        FLOW_SCHEMAS: flowcontrol::FlowSchema;
        PRIORITY_LEVEL_CONFIGURATIONS: flowcontrol::PriorityLevelConfiguration;
        INGRESS_CLASSES: networking::IngressClass;
        INGRESSES: networking::Ingress;
        IP_ADDRESSES: networking::IPAddress;
        NETWORK_POLICIES: networking::NetworkPolicy;
        SERVICE_CIDRS: networking::ServiceCIDR;
        RUNTIME_CLASSES: node::RuntimeClass;
        POD_DISRUPTION_BUDGETS: policy::PodDisruptionBudget;
        CLUSTER_ROLE_BINDINGS: rbac::ClusterRoleBinding;
        CLUSTER_ROLES: rbac::ClusterRole;
        ROLE_BINDINGS: rbac::RoleBinding;
        ROLES: rbac::Role;
        DEVICE_CLASSES: dynamic::DeviceClass;
        RESOURCE_CLAIMS: dynamic::ResourceClaim;
        RESOURCE_CLAIM_TEMPLATES: dynamic::ResourceClaimTemplate;
        RESOURCE_SLICES: dynamic::ResourceSlice;
        PRIORITY_CLASSES: scheduling::PriorityClass;
        CSI_DRIVERS: storage::CSIDriver;
        CSI_NODES: storage::CSINode;
        CSI_STORAGE_CAPACITIES: storage::CSIStorageCapacity;
        STORAGE_CLASSES: storage::StorageClass;
        VOLUME_ATTACHMENTS: storage::VolumeAttachment;
        VOLUME_ATTRIBUTES_CLASSES: storage::VolumeAttributesClass;
    }
    asked {
        EVENTS_V1: events::Event;
        HORIZONTAL_POD_AUTOSCALERS_V1: autoscaling_v1::HorizontalPodAutoscaler;
        BINDINGS: core::Binding;
        COMPONENT_STATUSES: core::ComponentStatus;
        SELF_SUBJECT_REVIEWS: authentication::SelfSubjectReview;
        TOKEN_REVIEWS: authentication::TokenReview;
        LOCAL_SUBJECT_ACCESS_REVIEWS: authorization::LocalSubjectAccessReview;
        SELF_SUBJECT_ACCESS_REVIEWS: authorization::SelfSubjectAccessReview;
        SELF_SUBJECT_RULES_REVIEWS: authorization::SelfSubjectRulesReview;
        SUBJECT_ACCESS_REVIEWS: authorization::SubjectAccessReview;
    }
}

/// The stored built-in resource of a kind, whichever version `api_version` names: what an owner reference points to.
pub fn of_kind(api_version: &str, kind: &str) -> Option<Resource> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    ALL.iter().copied().find(|resource| resource.kind == kind && resource.group == group)
}

/// A resource that a definition makes: its group, version, plural and kind.
///
/// [`Resource`] is copied everywhere and names only what lives for ever, so the texts are kept for ever too, each once:
/// a few bytes for each name that was ever defined.
pub fn custom(parts: [&str; 4], namespaced: bool) -> Resource {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let [group, version, plural, kind] = parts.map(|text| match kept.get(text) {
        Some(known) => *known,
        None => {
            let text: &'static str = Box::leak(text.into());
            kept.insert(text);
            text
        }
    });
    Resource { group, version, plural, kind, namespaced }
}

/// The names of custom resources that were ever asked for.
static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_kinds_know_their_place() {
        assert_eq!(PODS.api_version(), "v1");
        assert_eq!((PODS.namespaced, NODES.namespaced), (true, false));
        assert_eq!((DEPLOYMENTS.group, DEPLOYMENTS.plural), ("apps", "deployments"));
        assert_eq!(of_kind("apps/v1beta1", "Deployment"), Some(DEPLOYMENTS));
        assert_eq!(of_kind("v1", "Deployment"), None);
    }

    #[test]
    fn no_resource_is_named_twice() {
        let mut names: Vec<_> = ALL.iter().map(|resource| (resource.group, resource.plural)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
