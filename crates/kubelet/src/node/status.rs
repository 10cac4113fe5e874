//! Registers the node and keeps its status true: written when it changes, and every five minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use client::{Call, Write, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus,
};
use machinery::{Object, Status};
use serde_json::{Value, json};

use super::facts::Facts;
use crate::eviction::Pressure;
use crate::kit::Kit;
use crate::status::api_time;

/// What an API server must know that this node can do before it lets pods be changed so.
const DECLARED: [&str; 2] = ["GuaranteedQoSPodCPUResize", "RestartAllContainersOnContainerExits"];

/// How often it is looked whether anything changed.
const LOOK: Duration = Duration::from_secs(10);
/// How often it is written although nothing did.
const WRITE: Duration = Duration::from_secs(300);
/// The pause after a failure to register.
const PAUSE: Duration = Duration::from_millis(500);
/// As many images as upstream names.
const MOST_IMAGES: usize = 50;

/// Registers the node, then reports for ever. `port` is where its server listens.
pub(crate) async fn report(kit: Arc<Kit>, facts: Facts, labels: Arc<BTreeMap<String, String>>, port: u16) {
    let mut facts = facts;
    let (name, version) = kit.runtime.version();
    facts.info.container_runtime_version = format!("{name}://{version}");
    while let Err(status) = register(&kit, &facts, &labels, port).await {
        tracing::debug!("the node could not be registered yet: {status}");
        kit.env.clock.sleep(PAUSE).await;
    }
    let mut written: Option<(Value, WallTime)> = None;
    loop {
        let now = kit.env.clock.now();
        let conditions = conditions(&kit.pressures.now(), &obstacles(&kit).await, now);
        let shape = shape(&kit, &facts, port).await;
        let comparable = json!([&shape, without_times(&conditions)]);
        let due =
            written.as_ref().is_none_or(|(before, at)| *before != comparable || now.since(*at) >= WRITE);
        if due || is_given_up(&kit, &conditions).await {
            match write(&kit, &shape, conditions).await {
                Ok(()) => written = Some((comparable, now)),
                Err(status) if status.code == 404 => {
                    written = None;
                    if let Err(status) = register(&kit, &facts, &labels, port).await {
                        tracing::warn!("the node is gone and could not be registered again: {status}");
                    }
                }
                Err(status) => tracing::warn!("the node's status could not be written: {status}"),
            }
        }
        // Whichever comes first: both lead to the same look.
        tokio::select! {
            biased;
            () = kit.env.clock.sleep(LOOK) => {}
            () = kit.closing.changed() => {}
        }
    }
}

/// What keeps the node from running pods.
async fn obstacles(kit: &Kit) -> Vec<String> {
    kit.runtime.obstacles().await.into_iter().chain(kit.closing.obstacle()).collect()
}

/// Whether the API says something else of the node than we would: whoever missed us has written that we are lost.
async fn is_given_up(kit: &Kit, conditions: &[NodeCondition]) -> bool {
    let key = client::Key::new("", &kit.config.node_name);
    let Ok(Some(there)) = kit.client.find(resources::NODES, &key).await else { return false };
    let Ok(node) = there.view::<Node>() else { return false };
    let said: Vec<&NodeCondition> =
        node.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let is_said =
        |own: &NodeCondition| said.iter().any(|other| other.type_ == own.type_ && other.status == own.status);
    !conditions.iter().all(is_said)
}

fn without_times(conditions: &[NodeCondition]) -> Value {
    conditions
        .iter()
        .map(|condition| json!([condition.type_, condition.status, condition.reason, condition.message]))
        .collect()
}

/// What is well and what is not. Nothing here measures pressure: [`crate::eviction`] does.
fn conditions(short_of: &BTreeSet<Pressure>, obstacles: &[String], now: WallTime) -> Vec<NodeCondition> {
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(api_time(now)),
        last_transition_time: Some(api_time(now)),
    };
    let pressure = |pressure: Pressure| {
        let holds = short_of.contains(&pressure);
        let (reason, message) = match (pressure, holds) {
            (Pressure::Memory, false) => {
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")
            }
            (Pressure::Memory, true) => {
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
            }
            (Pressure::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            (Pressure::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            (Pressure::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            (Pressure::Pid, true) => ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        };
        condition(pressure.as_str(), holds, reason, message)
    };
    vec![
        pressure(Pressure::Memory),
        pressure(Pressure::Disk),
        pressure(Pressure::Pid),
        match obstacles {
            [] => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            [one] => condition("Ready", false, "KubeletNotReady", one),
            several => condition("Ready", false, "KubeletNotReady", &format!("[{}]", several.join(", "))),
        },
    ]
}

/// The status without its conditions.
async fn shape(kit: &Kit, facts: &Facts, port: u16) -> Value {
    let mut addresses: Vec<NodeAddress> = kit
        .config
        .node_ips
        .iter()
        .map(|ip| NodeAddress { type_: "InternalIP".to_owned(), address: ip.to_string() })
        .collect();
    addresses.push(NodeAddress { type_: "Hostname".to_owned(), address: kit.config.node_name.clone() });
    let endpoint = DaemonEndpoint { port: i32::from(port) };
    let status = NodeStatus {
        addresses: Some(addresses),
        capacity: Some(facts.capacity()),
        allocatable: Some(facts.allocatable()),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(endpoint) }),
        images: Some(images(kit).await),
        node_info: Some(facts.info.clone()),
        declared_features: Some(DECLARED.map(str::to_owned).to_vec()),
        features: Some(NodeFeatures { supplemental_groups_policy: Some(true) }),
        runtime_handlers: Some(handlers(kit)),
        ..NodeStatus::default()
    };
    serde_json::to_value(status).unwrap_or_default()
}

fn handlers(kit: &Kit) -> Vec<NodeRuntimeHandler> {
    let describe = |handler: cri::Handler| NodeRuntimeHandler {
        name: Some(handler.name),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.recursive_readonly_mounts),
            user_namespaces: Some(handler.user_namespaces),
        }),
    };
    kit.runtime.handlers().into_iter().map(describe).collect()
}

async fn images(kit: &Kit) -> Vec<ContainerImage> {
    let mut images = match kit.runtime.list_images().await {
        Ok(images) => images,
        Err(error) => {
            tracing::debug!("images cannot be listed: {error}");
            Vec::new()
        }
    };
    // One whose name another has taken over has nothing to be called by.
    images.retain(|image| !image.digests.is_empty() || !image.tags.is_empty());
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    let named = images.into_iter().take(MOST_IMAGES).map(|image| ContainerImage {
        names: Some(image.digests.into_iter().chain(image.tags).take(5).collect()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    named.collect()
}

async fn register(
    kit: &Kit,
    facts: &Facts,
    labels: &BTreeMap<String, String>,
    port: u16,
) -> Result<(), Status> {
    let name = &kit.config.node_name;
    let key = client::Key::new("", name);
    let object = match kit.client.find(resources::NODES, &key).await? {
        Some(there) => adopt(kit, &there, labels).await?,
        None => create(kit, facts, labels, port).await?,
    };
    *kit.machine.node_uid.lock().unwrap_or_else(PoisonError::into_inner) = object.header().uid.to_string();
    Ok(())
}

/// A node that is there already gets the labels it should have; all else is left as it is.
async fn adopt(kit: &Kit, there: &Object, labels: &BTreeMap<String, String>) -> Result<Object, Status> {
    let right = labels.iter().all(|(name, value)| there.header().label(name) == Some(value));
    if right {
        return Ok(there.clone());
    }
    let key = client::Key::new("", &kit.config.node_name);
    kit.client.patch(resources::NODES, &key, &json!({"metadata": {"labels": labels}})).await
}

async fn create(
    kit: &Kit,
    facts: &Facts,
    labels: &BTreeMap<String, String>,
    port: u16,
) -> Result<Object, Status> {
    let taints: Vec<Value> = kit
        .config
        .taints
        .iter()
        .map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}))
        .collect();
    let mut status = shape(kit, facts, port).await;
    let conditions = conditions(&kit.pressures.now(), &obstacles(kit).await, kit.env.clock.now());
    status["conditions"] = serde_json::to_value(conditions).map_err(Status::internal)?;
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": kit.config.node_name,
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {},
        "status": status,
    });
    if !taints.is_empty() {
        node["spec"]["taints"] = Value::Array(taints);
    }
    kit.client.write(resources::NODES, Call::default(), Write::Create(node.to_string().into())).await
}

/// Writes what is ours. Maps are merged, so that resources others announced stay; so are conditions.
async fn write(kit: &Kit, shape: &Value, mut conditions: Vec<NodeCondition>) -> Result<(), Status> {
    let key = client::Key::new("", &kit.config.node_name);
    let there = kit.client.object(resources::NODES, &key).await?;
    let node = there.view::<Node>()?;
    let before = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    for condition in &mut conditions {
        let same = before
            .into_iter()
            .flatten()
            .find(|before| before.type_ == condition.type_ && before.status == condition.status);
        if let Some(same) = same {
            condition.last_transition_time = same.last_transition_time.clone();
        }
    }
    let order: Vec<Value> = conditions.iter().map(|condition| json!({"type": condition.type_})).collect();
    let mut status = shape.clone();
    status["conditions"] = serde_json::to_value(conditions).map_err(Status::internal)?;
    status["$setElementOrder/conditions"] = Value::Array(order);
    if let Some(addresses) = status["addresses"].as_array_mut() {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    let patch = json!({"status": status});
    let call = Call::object("", &kit.config.node_name).subresource("status");
    kit.client.write(resources::NODES, call, Write::StrategicPatch(patch.to_string().into())).await.map(drop)
}
