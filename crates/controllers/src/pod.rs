//! What controllers ask of pods again and again, worked out once per revision. A pod as a typed struct would cost
//! a hundred times the memory and be decoded for every look.

pub mod ending;

use client::cache::Facts;
use client::{Entry, time};
use env::WallTime;
use machinery::{Object, Status};
use serde::Deserialize;
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;

use ending::Ending;

/// A pod in the cache.
pub type Pod = Arc<Entry<PodFacts>>;

/// The index of pods by the node they are bound to.
pub const BY_NODE: &str = "node";

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Not all of its containers were started.
    #[default]
    Pending,
    /// At least one container runs or restarts.
    Running,
    /// All containers ended well.
    Succeeded,
    /// A container ended badly and is not restarted.
    Failed,
    /// Its node does not answer.
    Unknown,
}

impl Phase {
    /// Whether it is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// A port with a name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPort {
    /// Its name; empty if it has none.
    pub name: SmolStr,
    /// Its number.
    pub number: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: SmolStr,
}

/// What is asked of pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// `status.phase`
    pub phase: Phase,
    /// Its condition `Ready` is true.
    pub is_ready: bool,
    /// Since when its condition `Ready` is what it is.
    pub ready_changed: Option<WallTime>,
    /// `spec.nodeName`
    pub node: SmolStr,
    /// `metadata.creationTimestamp`
    pub created: WallTime,
    /// `metadata.deletionTimestamp`
    pub deletion: Option<WallTime>,
    /// The most restarts of any of its containers.
    pub restarts: i32,
    /// `controller.kubernetes.io/pod-deletion-cost`
    pub deletion_cost: i32,
    /// `spec.hostname`
    pub hostname: SmolStr,
    /// `spec.subdomain`
    pub subdomain: SmolStr,
    /// `status.podIPs`
    pub ips: Box<[SmolStr]>,
    /// The named ports of its containers, those of sidecars after those of others.
    pub ports: Box<[PodPort]>,
    /// `status.reason`
    pub reason: SmolStr,
    /// `spec.restartPolicy` is `Never` or `OnFailure`.
    pub may_end: bool,
    /// The names of its volumes that are claims, and of their claims.
    pub claims: Box<[(SmolStr, SmolStr)]>,
    /// The only node its affinity lets it be on; empty if there are others.
    pub only_node: SmolStr,
    /// Since when it is said that something is about to end it, other than its node.
    pub disrupted: Option<WallTime>,
    /// What is asked of pods that may end.
    pub ending: Option<Box<Ending>>,
}

impl PodFacts {
    /// Whether it counts: not over, not on its way out.
    pub fn is_active(&self) -> bool {
        !self.phase.is_terminal() && self.deletion.is_none()
    }

    /// When it has been ready for `min_ready`; `None` if it is not ready.
    pub fn available_at(&self, min_ready: Duration) -> Option<WallTime> {
        let since = self.ready_changed.unwrap_or_default();
        self.is_ready.then(|| since.plus(min_ready))
    }

    /// Whether it has been ready for `min_ready`.
    pub fn is_available(&self, min_ready: Duration, now: WallTime) -> bool {
        let Some(at) = self.available_at(min_ready) else { return false };
        min_ready.is_zero() || (self.ready_changed.is_some() && at <= now)
    }
}

/// The value of [`BY_NODE`]; nobody looks for those that have none.
pub fn node_name(_object: &Object, facts: &PodFacts) -> Vec<SmolStr> {
    if facts.node.is_empty() { Vec::new() } else { vec![facts.node.clone()] }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Slim {
    metadata: Metadata,
    spec: Spec,
    status: SlimStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "controller.kubernetes.io/pod-deletion-cost")]
    deletion_cost: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: SmolString,
    hostname: SmolString,
    subdomain: SmolString,
    restart_policy: SmolString,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    volumes: Vec<Volume>,
    affinity: Option<Box<Affinity>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    name: SmolString,
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: SmolString,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Terms>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Terms {
    node_selector_terms: Vec<Term>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Term {
    match_fields: Vec<FieldMatch>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldMatch {
    key: SmolString,
    operator: SmolString,
    values: Vec<SmolString>,
}

impl Affinity {
    /// The node that every term names, as pods of DaemonSets have it.
    fn only_node(&self) -> Option<SmolStr> {
        let terms = &self.node_affinity.as_ref()?.required.as_ref()?.node_selector_terms;
        let named = |term: &Term| {
            let named = term.match_fields.iter().find(|field| {
                field.key.0 == "metadata.name" && field.operator.0 == "In" && field.values.len() == 1
            });
            named.map(|field| field.values[0].0.clone())
        };
        let first = named(terms.first()?)?;
        terms.iter().all(|term| named(term).as_ref() == Some(&first)).then_some(first)
    }
}

/// Text that is small most of the time.
#[derive(Default)]
struct SmolString(SmolStr);

impl<'de> Deserialize<'de> for SmolString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(SmolString(SmolStr::new(text)))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    ports: Vec<Port>,
    restart_policy: SmolString,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: SmolString,
    container_port: i32,
    protocol: SmolString,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SlimStatus {
    phase: SmolString,
    reason: SmolString,
    #[serde(rename = "podIP")]
    pod_ip: SmolString,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodIp {
    ip: SmolString,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: SmolString,
    status: SmolString,
    reason: SmolString,
    last_transition_time: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    restart_count: i32,
}

impl Facts for PodFacts {
    fn of(object: &Object) -> Result<PodFacts, Status> {
        let slim: Slim = client::cache::read(object)?;
        let mut facts = slim.into_facts();
        if facts.may_end {
            facts.ending = Some(Box::new(Ending::of(object)?));
        }
        Ok(facts)
    }
}

impl Slim {
    fn into_facts(self) -> PodFacts {
        let Slim { metadata, spec, status } = self;
        let instant = |text: Option<String>| text.and_then(|text| time::parse(&text));
        let disrupted = status.conditions.iter().find(|condition| condition.r#type.0 == "DisruptionTarget");
        let disrupted = disrupted
            .filter(|condition| condition.status.0 == "True" && condition.reason.0 != "TerminationByKubelet");
        let disrupted = disrupted.map(|condition| {
            condition.last_transition_time.as_deref().and_then(time::parse).unwrap_or_default()
        });
        let claims = spec
            .volumes
            .into_iter()
            .filter_map(|volume| Some((volume.name.0, volume.persistent_volume_claim?.claim_name.0)));
        let only_node = spec.affinity.as_deref().and_then(Affinity::only_node).unwrap_or_default();
        let ready = status.conditions.into_iter().find(|condition| condition.r#type.0 == "Ready");
        let is_ready = ready.as_ref().is_some_and(|condition| condition.status.0 == "True");
        let sidecars = spec.init_containers.into_iter().filter(|init| init.restart_policy.0 == "Always");
        let ports = spec.containers.into_iter().chain(sidecars).flat_map(|container| container.ports);
        let named = ports.filter(|port| !port.name.0.is_empty()).map(|port| PodPort {
            name: port.name.0,
            number: port.container_port,
            protocol: if port.protocol.0.is_empty() { SmolStr::new_static("TCP") } else { port.protocol.0 },
        });
        let mut ips: Vec<SmolStr> = status.pod_ips.into_iter().map(|ip| ip.ip.0).collect();
        if ips.is_empty() && !status.pod_ip.0.is_empty() {
            ips.push(status.pod_ip.0);
        }
        let containers = status.container_statuses.iter().chain(&status.init_container_statuses);
        let cost = metadata.annotations.and_then(|annotations| annotations.deletion_cost);
        PodFacts {
            phase: match status.phase.0.as_str() {
                "Running" => Phase::Running,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                "Unknown" => Phase::Unknown,
                _ => Phase::Pending,
            },
            is_ready,
            ready_changed: instant(ready.and_then(|condition| condition.last_transition_time)),
            node: spec.node_name.0,
            created: instant(metadata.creation_timestamp).unwrap_or_default(),
            deletion: instant(metadata.deletion_timestamp),
            restarts: containers.map(|container| container.restart_count).max().unwrap_or(0),
            deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
            hostname: spec.hostname.0,
            subdomain: spec.subdomain.0,
            ips: ips.into(),
            ports: named.collect(),
            reason: status.reason.0,
            may_end: matches!(spec.restart_policy.0.as_str(), "Never" | "OnFailure"),
            claims: claims.collect(),
            only_node,
            disrupted,
            ending: None,
        }
    }
}
