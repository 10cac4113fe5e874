//! What the scheduler asks of nodes, and a node with what is on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Entry;
use client::cache::Facts;
use machinery::{Object, Status};
use serde::Deserialize;
use smol_str::SmolStr;

use crate::pod::{Pod, Taint};
use crate::resources::Amounts;
use crate::text::{Text, Texts};

/// A node in the cache.
pub type NodeEntry = Arc<Entry<NodeFacts>>;

/// What is asked of nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// What pods may use.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods: i64,
    /// `spec.unschedulable`
    pub unschedulable: bool,
    /// `spec.taints`
    pub taints: Box<[Taint]>,
    /// The sizes of the images it has, by each of their names.
    pub images: BTreeMap<SmolStr, i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Slim {
    spec: Spec,
    status: SlimStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    taints: Vec<SlimTaint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SlimTaint {
    key: Text,
    value: Text,
    effect: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SlimStatus {
    allocatable: Texts,
    images: Vec<Image>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Image {
    names: Vec<Text>,
    size_bytes: i64,
}

impl Facts for NodeFacts {
    fn of(object: &Object) -> Result<NodeFacts, Status> {
        let slim: Slim = client::cache::read(object)?;
        let pods = slim.status.allocatable.iter().find(|(name, _)| *name == "pods");
        let pods = pods.and_then(|(_, text)| machinery::quantity::Quantity::parse(text).ok());
        let images = slim.status.images.into_iter();
        Ok(NodeFacts {
            allocatable: Amounts::of(slim.status.allocatable.iter()),
            pods: pods.map_or(0, machinery::quantity::Quantity::value),
            unschedulable: slim.spec.unschedulable,
            taints: slim
                .spec
                .taints
                .into_iter()
                .map(|taint| Taint { key: taint.key.0, value: taint.value.0, effect: taint.effect.0 })
                .collect(),
            images: images
                .flat_map(|image| image.names.into_iter().map(move |name| (name.0, image.size_bytes)))
                .collect(),
        })
    }
}

/// A node with what is on it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node.
    pub entry: NodeEntry,
    /// What its pods ask for together.
    pub requested: Amounts,
    /// The same with defaults: processor and memory.
    pub scored: (i64, i64),
    /// Its pods, those that were promised to it included.
    pub pods: Vec<Pod>,
    /// How many of its pods have affinities or anti-affinities to others.
    pub with_affinity: usize,
    /// How many of its pods keep others away.
    pub with_anti_affinity: usize,
}

impl Node {
    /// A node without pods.
    pub fn new(entry: NodeEntry) -> Node {
        Node {
            entry,
            requested: Amounts::default(),
            scored: (0, 0),
            pods: Vec::new(),
            with_affinity: 0,
            with_anti_affinity: 0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &SmolStr {
        &self.entry.object.header().name
    }

    /// A label of it.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.entry.object.header().label(key)
    }

    /// Puts a pod on it.
    pub fn add(&mut self, pod: Pod) {
        let facts = &pod.facts;
        self.requested.add(&facts.requests);
        self.scored.0 += facts.scored.0;
        self.scored.1 += facts.scored.1;
        let (near, apart) = affinities(&pod);
        self.with_affinity += usize::from(near || apart);
        self.with_anti_affinity += usize::from(apart);
        self.pods.push(pod);
    }

    /// Takes a pod off it.
    pub fn remove(&mut self, uid: &str) -> Option<Pod> {
        let position = self.pods.iter().position(|pod| pod.object.header().uid == uid)?;
        let pod = self.pods.swap_remove(position);
        self.requested.subtract(&pod.facts.requests);
        self.scored.0 -= pod.facts.scored.0;
        self.scored.1 -= pod.facts.scored.1;
        let (near, apart) = affinities(&pod);
        self.with_affinity -= usize::from(near || apart);
        self.with_anti_affinity -= usize::from(apart);
        Some(pod)
    }
}

/// Whether a pod wants to be near others, and whether it must be apart from some.
fn affinities(pod: &Pod) -> (bool, bool) {
    let Some(affinity) = &pod.facts.affinity else { return (false, false) };
    let near = !affinity.near.is_empty()
        || !affinity.preferred_near.is_empty()
        || !affinity.preferred_apart.is_empty();
    (near, !affinity.apart.is_empty())
}
