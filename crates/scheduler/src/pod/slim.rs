//! Reading what is needed of a pod and nothing more.

use std::collections::BTreeMap;

use env::WallTime;
use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{HostPort, PodFacts, SCHEDULER_NAME, Toleration, affinity};
use crate::resources::{Amounts, DEFAULT_CPU, DEFAULT_MEMORY};
use crate::text::{Text, Texts};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Slim {
    metadata: Metadata,
    spec: Spec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Text,
    scheduler_name: Text,
    priority: i32,
    preemption_policy: Text,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: Texts,
    resources: Resources,
    tolerations: Vec<SlimToleration>,
    node_selector: BTreeMap<Text, Text>,
    affinity: Option<Box<core::Affinity>>,
    topology_spread_constraints: Vec<core::TopologySpreadConstraint>,
    scheduling_gates: Vec<Gate>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    image: Text,
    resources: Resources,
    ports: Vec<Port>,
    restart_policy: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resources {
    requests: Texts,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    host_port: i32,
    #[serde(rename = "hostIP")]
    host_ip: Text,
    protocol: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SlimToleration {
    key: Text,
    operator: Text,
    value: Text,
    effect: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Gate {
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: Text,
    start_time: Option<String>,
    nominated_node_name: Text,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: Text,
    status: Text,
    reason: Text,
    message: String,
}

impl Slim {
    pub(super) fn into_facts(self) -> Result<PodFacts, String> {
        let Slim { metadata, spec, status } = self;
        let instant = |text: Option<String>| text.and_then(|text| client::time::parse(&text));
        let requests = requests(&spec);
        let scored = scored(&spec, &requests);
        let scheduled = status.conditions.into_iter().find(|condition| condition.r#type.0 == "PodScheduled");
        let affinity = spec.affinity.map(|affinity| affinity::Affinity::compile(&affinity)).transpose()?;
        let spread = spec.topology_spread_constraints.iter().map(affinity::Spread::compile);
        Ok(PodFacts {
            node: spec.node_name.0,
            is_ours: matches!(spec.scheduler_name.0.as_str(), "" | SCHEDULER_NAME),
            is_over: matches!(status.phase.0.as_str(), "Succeeded" | "Failed"),
            created: instant(metadata.creation_timestamp).unwrap_or(WallTime(0)),
            started: instant(status.start_time),
            priority: spec.priority,
            may_preempt: spec.preemption_policy.0 != "Never",
            nominated: status.nominated_node_name.0,
            requests,
            scored,
            ports: ports(&spec.containers).chain(ports(&spec.init_containers)).collect(),
            tolerations: spec.tolerations.into_iter().map(SlimToleration::into_toleration).collect(),
            node_selector: spec.node_selector.into_iter().map(|(key, value)| (key.0, value.0)).collect(),
            affinity: affinity.map(Box::new),
            spread: spread.collect::<Result<_, _>>()?,
            containers: spec.containers.len() + spec.init_containers.len(),
            images: spec
                .containers
                .into_iter()
                .chain(spec.init_containers)
                .map(|container| container.image.0)
                .collect(),
            gates: spec.scheduling_gates.into_iter().map(|gate| gate.name.0).collect(),
            scheduled: scheduled
                .map(|condition| Box::new((condition.status.0, condition.reason.0, condition.message))),
        })
    }
}

impl SlimToleration {
    fn into_toleration(self) -> Toleration {
        Toleration {
            key: self.key.0,
            any_value: self.operator.0 == "Exists",
            value: self.value.0,
            effect: self.effect.0,
        }
    }
}

fn ports(containers: &[Container]) -> impl Iterator<Item = HostPort> {
    containers.iter().flat_map(|container| &container.ports).filter(|port| port.host_port > 0).map(|port| {
        HostPort {
            ip: if port.host_ip.0.is_empty() {
                SmolStr::new_static("0.0.0.0")
            } else {
                port.host_ip.0.clone()
            },
            protocol: if port.protocol.0.is_empty() {
                SmolStr::new_static("TCP")
            } else {
                port.protocol.0.clone()
            },
            port: port.host_port,
        }
    })
}

/// What a pod needs at its greediest moment: while it is prepared, or while it runs; sidecars run through both.
fn greediest(spec: &Spec, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut running = Amounts::default();
    spec.containers.iter().for_each(|container| running.add(&of(container)));
    let (mut sidecars, mut preparing) = (Amounts::default(), Amounts::default());
    for container in &spec.init_containers {
        let mut needed = of(container);
        if container.restart_policy.0 == "Always" {
            running.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        preparing.raise_to(&needed);
    }
    running.raise_to(&preparing);
    running
}

fn requests(spec: &Spec) -> Amounts {
    let mut requests = greediest(spec, |container| Amounts::of(container.resources.requests.iter()));
    // What the pod as a whole asks for counts instead of its containers' sum.
    let whole = Amounts::of(spec.resources.requests.iter());
    for (name, _) in spec.resources.requests.iter() {
        match name.as_str() {
            "cpu" => requests.cpu = whole.cpu,
            "memory" => requests.memory = whole.memory,
            _ => {}
        }
    }
    requests.add(&Amounts::of(spec.overhead.iter()));
    requests
}

fn scored(spec: &Spec, requests: &Amounts) -> (i64, i64) {
    let has = |texts: &Texts, name: &str| texts.iter().any(|(key, _)| key == name);
    let overhead = Amounts::of(spec.overhead.iter());
    let assumed = greediest(spec, |container| {
        let requests = &container.resources.requests;
        let mut amounts = Amounts::of(requests.iter());
        if !has(requests, "cpu") {
            amounts.cpu = DEFAULT_CPU;
        }
        if !has(requests, "memory") {
            amounts.memory = DEFAULT_MEMORY;
        }
        amounts
    });
    let whole = &spec.resources.requests;
    let cpu = if has(whole, "cpu") { requests.cpu } else { assumed.cpu + overhead.cpu };
    let memory = if has(whole, "memory") { requests.memory } else { assumed.memory + overhead.memory };
    (cpu, memory)
}
