//! Which rules belong to which kind: one line for each.

use crate::{
    Kind, admission, apps, autoscaling, batch, certificates, coordination, core, discovery, extension,
    flowcontrol, networking, node_group, policy_group, rbac, resource, review, scheduling, storage,
};

/// The rules of a kind, if it is one that has rules.
pub fn rules(group: &str, version: &str, kind: &str) -> Option<&'static dyn Kind> {
    let asked = (group, version, kind);
    [core_kinds, workloads, networks, access, extensions, devices]
        .into_iter()
        .find_map(|family| family(asked))
}

/// Group, version and kind.
type Asked<'a> = (&'a str, &'a str, &'a str);
type Found = Option<&'static dyn Kind>;

fn core_kinds(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("", "v1", "Binding") => &core::binding::Binding,
        ("", "v1", "ComponentStatus") => &core::component_status::ComponentStatus,
        ("", "v1", "ConfigMap") => &core::config_map::ConfigMap,
        ("", "v1", "Endpoints") => &core::endpoints::Endpoints,
        ("", "v1", "Event") => &core::event::Event,
        ("", "v1", "LimitRange") => &core::limit_range::LimitRange,
        ("", "v1", "Namespace") => &core::namespace::Namespace,
        ("", "v1", "Node") => &core::node::Node,
        ("", "v1", "PersistentVolume") => &core::persistent_volume::PersistentVolume,
        ("", "v1", "PersistentVolumeClaim") => &core::volume_claim::PersistentVolumeClaim,
        ("", "v1", "Pod") => &core::pod::Pod,
        ("", "v1", "PodTemplate") => &core::pod_template::PodTemplate,
        ("", "v1", "ReplicationController") => &core::replication_controller::ReplicationController,
        ("", "v1", "ResourceQuota") => &core::resource_quota::ResourceQuota,
        ("", "v1", "Secret") => &core::secret::Secret,
        ("", "v1", "Service") => &core::service::Service,
        ("", "v1", "ServiceAccount") => &core::service_account::ServiceAccount,
        ("events.k8s.io", "v1", "Event") => &core::event::EventV1,
        _ => return None,
    })
}

fn workloads(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("apps", "v1", "ControllerRevision") => &apps::controller_revision::ControllerRevision,
        ("apps", "v1", "DaemonSet") => &apps::daemon_set::DaemonSet,
        ("apps", "v1", "Deployment") => &apps::deployment::Deployment,
        ("apps", "v1", "ReplicaSet") => &apps::replica_set::ReplicaSet,
        ("apps", "v1", "StatefulSet") => &apps::stateful_set::StatefulSet,
        ("autoscaling", "v1", "Scale") => &apps::scale::Scale,
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => {
            &autoscaling::horizontal_pod_autoscaler::HorizontalPodAutoscalerV1
        }
        ("autoscaling", "v2", "HorizontalPodAutoscaler") => {
            &autoscaling::horizontal_pod_autoscaler::HorizontalPodAutoscaler
        }
        ("batch", "v1", "CronJob") => &batch::cron_job::CronJob,
        ("batch", "v1", "Job") => &batch::job::Job,
        ("policy", "v1", "Eviction") => &policy_group::eviction::Eviction,
        ("policy", "v1", "PodDisruptionBudget") => &policy_group::pod_disruption_budget::PodDisruptionBudget,
        ("scheduling.k8s.io", "v1", "PriorityClass") => &scheduling::priority_class::PriorityClass,
        ("node.k8s.io", "v1", "RuntimeClass") => &node_group::runtime_class::RuntimeClass,
        ("coordination.k8s.io", "v1", "Lease") => &coordination::lease::Lease,
        _ => return None,
    })
}

fn networks(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("networking.k8s.io", "v1", "Ingress") => &networking::ingress::Ingress,
        ("networking.k8s.io", "v1", "IngressClass") => &networking::ingress_class::IngressClass,
        ("networking.k8s.io", "v1", "IPAddress") => &networking::ip_address::IpAddress,
        ("networking.k8s.io", "v1", "NetworkPolicy") => &networking::network_policy::NetworkPolicy,
        ("networking.k8s.io", "v1", "ServiceCIDR") => &networking::service_cidr::ServiceCidr,
        ("discovery.k8s.io", "v1", "EndpointSlice") => &discovery::endpoint_slice::EndpointSlice,
        _ => return None,
    })
}

fn access(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("rbac.authorization.k8s.io", "v1", "ClusterRole") => &rbac::role::ClusterRole,
        ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding") => &rbac::binding::ClusterRoleBinding,
        ("rbac.authorization.k8s.io", "v1", "Role") => &rbac::role::Role,
        ("rbac.authorization.k8s.io", "v1", "RoleBinding") => &rbac::binding::RoleBinding,
        ("authentication.k8s.io", "v1", "SelfSubjectReview") => &review::token::SelfSubjectReview,
        ("authentication.k8s.io", "v1", "TokenRequest") => &review::token::TokenRequest,
        ("authentication.k8s.io", "v1", "TokenReview") => &review::token::TokenReview,
        ("authorization.k8s.io", "v1", "LocalSubjectAccessReview") => {
            &review::access::LocalSubjectAccessReview
        }
        ("authorization.k8s.io", "v1", "SelfSubjectAccessReview") => &review::access::SelfSubjectAccessReview,
        ("authorization.k8s.io", "v1", "SelfSubjectRulesReview") => &review::access::SelfSubjectRulesReview,
        ("authorization.k8s.io", "v1", "SubjectAccessReview") => &review::access::SubjectAccessReview,
        ("certificates.k8s.io", "v1", "CertificateSigningRequest") => {
            &certificates::certificate_signing_request::CertificateSigningRequest
        }
        ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema") => &flowcontrol::flow_schema::FlowSchema,
        ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration") => {
            &flowcontrol::priority_level::PriorityLevelConfiguration
        }
        _ => return None,
    })
}

fn extensions(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy") => {
            &admission::policy::MutatingAdmissionPolicy
        }
        ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding") => {
            &admission::binding::MutatingAdmissionPolicyBinding
        }
        ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration") => {
            &admission::webhook::MutatingWebhookConfiguration
        }
        ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy") => {
            &admission::policy::ValidatingAdmissionPolicy
        }
        ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding") => {
            &admission::binding::ValidatingAdmissionPolicyBinding
        }
        ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration") => {
            &admission::webhook::ValidatingWebhookConfiguration
        }
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition") => {
            &extension::custom_resource_definition::CustomResourceDefinition
        }
        ("apiregistration.k8s.io", "v1", "APIService") => &extension::api_service::ApiService,
        _ => return None,
    })
}

fn devices(asked: Asked<'_>) -> Found {
    Some(match asked {
        ("storage.k8s.io", "v1", "CSIDriver") => &storage::csi_driver::CsiDriver,
        ("storage.k8s.io", "v1", "CSINode") => &storage::csi_node::CsiNode,
        ("storage.k8s.io", "v1", "CSIStorageCapacity") => &storage::csi_storage_capacity::CsiStorageCapacity,
        ("storage.k8s.io", "v1", "StorageClass") => &storage::storage_class::StorageClass,
        ("storage.k8s.io", "v1", "VolumeAttachment") => &storage::volume_attachment::VolumeAttachment,
        ("storage.k8s.io", "v1", "VolumeAttributesClass") => {
            &storage::volume_attributes_class::VolumeAttributesClass
        }
        ("resource.k8s.io", "v1", "DeviceClass") => &resource::device_class::DeviceClass,
        ("resource.k8s.io", "v1", "ResourceClaim") => &resource::claim::ResourceClaim,
        ("resource.k8s.io", "v1", "ResourceClaimTemplate") => &resource::claim::ResourceClaimTemplate,
        ("resource.k8s.io", "v1", "ResourceSlice") => &resource::resource_slice::ResourceSlice,
        _ => return None,
    })
}
