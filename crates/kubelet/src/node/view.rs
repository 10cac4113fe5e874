//! The node as the API has it: labels, taints and resources that others gave it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use client::{Cache, Key, resources};
use k8s_openapi::api::core::v1::{Node, Taint};
use machinery::Object;

use crate::admission::{self, Refusal};
use crate::amounts::Amounts;
use crate::kit::Kit;
use crate::pod::PodView;

/// What admission needs to know.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    allocatable: Amounts,
}

/// The node, followed.
#[derive(Debug)]
pub(crate) struct NodeView {
    kit: Arc<Kit>,
    cache: Cache,
    own_labels: Arc<BTreeMap<String, String>>,
    /// What was looked up, if that was newer than what was seen.
    looked: Mutex<Option<Object>>,
}

impl NodeView {
    /// Begins to watch the node. `labels` are those it has from us.
    pub fn start(kit: &Arc<Kit>, labels: Arc<BTreeMap<String, String>>) -> NodeView {
        let selector = format!("metadata.name={}", kit.config.node_name);
        let cache =
            Cache::of(resources::NODES).fields(&selector).start(kit.client.transport().clone(), &kit.env);
        NodeView { kit: kit.clone(), cache, own_labels: labels, looked: Mutex::default() }
    }

    fn key(&self) -> Key {
        Key::new("", &self.kit.config.node_name)
    }

    /// Looks at the API's newest.
    pub async fn look(&self) {
        match self.kit.client.object(resources::NODES, &self.key()).await {
            Ok(object) => {
                *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(object);
            }
            Err(status) => tracing::warn!("the node's labels could not be looked up: {status}"),
        }
    }

    /// Why the pod may not run here, if it may not.
    pub fn admit(&self, pod: &PodView, others: &[PodView]) -> Option<Refusal> {
        let known = self.known();
        let node = admission::Node {
            name: &self.kit.config.node_name,
            labels: &known.labels,
            allocatable: &known.allocatable,
            taints: &known.taints,
            sysctls: &self.kit.config.allowed_unsafe_sysctls,
        };
        admission::admit(pod, others, &node).err()
    }

    fn known(&self) -> Known {
        let seen = self.cache.get(&self.key()).map(|entry| entry.object.clone());
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let newest = seen.into_iter().chain(looked).max_by_key(|object| object.header().revision);
        let mut known = Known {
            labels: self.own_labels.as_ref().clone(),
            taints: Vec::new(),
            allocatable: self.kit.machine.allocatable.clone(),
        };
        let Some(node) = newest.and_then(|object| object.view::<Node>().ok()) else { return known };
        if let Some(labels) = &node.metadata.labels {
            known.labels = labels.clone();
        }
        known.taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let announced = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let extended = announced.into_iter().flatten().filter(|(name, _)| admission::is_extended(name));
        known.allocatable.extend(extended.map(|(name, amount)| (name.clone(), amount.clone())));
        known
    }
}
