//! The rules of a pod's specification, shared by pods and by everything that holds a template of one.

use std::collections::BTreeSet;

use machinery::names;

use crate::internal;
use crate::metadata::check_labels;
use crate::place::{Place, Raw};

pub mod amounts;
pub mod containers;
pub mod defaults;
mod environment;
mod image;
mod mounts;
mod network;
pub mod network_storage;
mod pod_level;
mod probes;
pub mod resources;
mod scheduling;
mod security;
mod systems;
pub mod template;
pub mod volumes;

pub use self::network::check_port_or_name;
pub use scheduling::{check_node_selector, check_node_selector_term, check_taint_effect, check_tolerations};

/// In whose specification: some rules hold only where a pod will run as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// A pod.
    Pod,
    /// A template of pods.
    Template,
}

/// What the checks of containers need to know of the pod around them.
pub(crate) struct Surroundings<'a> {
    /// Names of the volumes that are right, with the member that says where they come from.
    pub volumes: Vec<(&'a str, &'a str)>,
    /// Names of `spec.resourceClaims`.
    pub claims: Vec<&'a str>,
    /// `spec.terminationGracePeriodSeconds`
    pub grace_period: Option<i64>,
    /// `spec.restartPolicy`
    pub restart_policy: &'a str,
    /// Whether the pod shares the users of its host.
    pub host_users: bool,
    /// `spec.os.name`
    pub os: &'a str,
}

/// What is wrong with a pod's specification. `pod_name` is that of the pod, where there is a pod.
pub fn check(spec: Place<'_>, within: Within, pod_name: &str) {
    let volumes_at = spec.get("volumes");
    let volumes = volumes::check(volumes_at, within, pod_name);
    let claims_at = spec.get("resourceClaims");
    let claims = check_resource_claims(claims_at);
    let around = Surroundings {
        volumes,
        claims,
        grace_period: spec.get("terminationGracePeriodSeconds").number(),
        restart_policy: spec.get("restartPolicy").text(),
        host_users: spec.get("hostUsers").value().as_bool().unwrap_or(true),
        os: spec.value().at(&["os", "name"]).str_or_empty(),
    };
    containers::check_regular(spec.get("containers"), &around);
    containers::check_init(spec.get("initContainers"), spec.get("containers"), &around);
    containers::check_ephemeral(spec.get("ephemeralContainers"), spec, &around);
    pod_level::check(spec, &around.claims);
    spec.get("restartPolicy").required_one_of(&["Always", "OnFailure", "Never"]);
    spec.get("dnsPolicy").required_one_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    check_labels(spec.get("nodeSelector"));
    security::check_host_network(spec, within);
    security::check_pod(spec.get("securityContext"), spec);
    scheduling::check_affinity(spec.get("affinity"));
    network::check_dns(spec.get("dnsConfig"), spec.get("dnsPolicy").text());
    check_gates(spec);
    scheduling::check_spread(spec.get("topologySpreadConstraints"));
    systems::check_windows_host_process(spec);
    security::check_host_users(spec);
    check_names(spec);
    check_tolerations(spec.get("tolerations"));
    network::check_host_aliases(spec.get("hostAliases"));
    check_classes(spec);
    systems::check(spec);
    environment::check_files(spec);
}

fn check_gates(spec: Place<'_>) {
    for gate in spec.get("readinessGates").items() {
        let condition = gate.get("conditionType");
        condition.faults(names::qualified_name(condition.text()));
    }
    let mut seen = BTreeSet::new();
    for gate in spec.get("schedulingGates").items() {
        let name = gate.value().get("name").str_or_empty();
        for fault in names::qualified_name(name) {
            gate.invalid_as(name, fault);
        }
        if !seen.insert(name) {
            gate.duplicate_as(name);
        }
    }
}

fn check_names(spec: Place<'_>) {
    let check = |member: &str, rule: fn(&str) -> names::Faults| {
        let place = spec.get(member);
        if !place.text().is_empty() {
            place.faults(rule(place.text()));
        }
    };
    check("serviceAccountName", names::dns1123_subdomain);
    check("nodeName", names::dns1123_subdomain);
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.number().is_some_and(|seconds| !(1..=i64::from(i32::MAX)).contains(&seconds)) {
        deadline.invalid(names::between(1, i64::from(i32::MAX)));
    }
    check("hostname", names::dns1123_label);
    check("subdomain", names::dns1123_label);
    let hostname = spec.get("hostnameOverride");
    if hostname.is_set() {
        if spec.get("setHostnameAsFQDN").is_true() {
            hostname.forbidden("may not be specified when setHostnameAsFQDN is true");
        }
        if spec.get("hostNetwork").is_true() {
            hostname.forbidden("may not be specified when hostNetwork is true");
        }
        if hostname.text().len() > 64 {
            hostname.too_long(64);
        }
        hostname.faults(names::dns1123_subdomain(hostname.text()));
    }
}

fn check_classes(spec: Place<'_>) {
    let priority_class = spec.get("priorityClassName");
    if !priority_class.text().is_empty() {
        priority_class.faults(names::dns1123_subdomain(priority_class.text()));
    }
    let runtime_class = spec.get("runtimeClassName");
    if runtime_class.is_set() {
        runtime_class.faults(names::dns1123_subdomain(runtime_class.text()));
    }
    let preemption = spec.get("preemptionPolicy");
    if preemption.is_set() {
        check_preemption_policy(preemption);
    }
    let overhead = spec.get("overhead");
    if overhead.is_set() {
        resources::check_amounts(overhead.at("limits"));
    }
}

/// What is wrong with a preemption policy.
pub fn check_preemption_policy(policy: Place<'_>) {
    policy.required_one_of(&["PreemptLowerPriority", "Never"]);
}

fn check_resource_claims(claims: Place<'_>) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.get("name");
        if name.text().is_empty() {
            name.required("");
        } else if seen.contains(name.text()) {
            name.duplicate();
        } else {
            seen.insert(name.key());
            name.faults(names::dns1123_label(name.text()));
        }
        let (own, template) = (claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        let shown = || Raw(internal::show("PodResourceClaim", claim.value()));
        match (own.is_set(), template.is_set()) {
            (false, false) => claim
                .invalid_as(shown(), "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            (true, true) => claim.invalid_as(
                shown(),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            ),
            _ => {}
        }
        for named in [own, template].into_iter().filter(Place::is_set) {
            named.faults(names::dns1123_subdomain(named.text()));
        }
    }
    let names = claims.value().items().iter().map(|claim| claim.get("name").str_or_empty());
    names.filter(|name| !name.is_empty()).collect()
}
