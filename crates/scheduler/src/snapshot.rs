//! The cluster as the scheduler sees it, kept up to date change by change.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::Object;
use machinery::selector::LabelSelector;
use smol_str::SmolStr;

use crate::node::{Node, NodeEntry};
use crate::pod::Pod;

/// How many pods of a selection may be disrupted.
#[derive(Clone, Debug)]
pub struct Budget {
    /// In this namespace.
    pub namespace: SmolStr,
    /// These pods.
    pub selector: LabelSelector,
    /// So many.
    pub allowed: i64,
}

/// All that a decision depends on. Clones share the nodes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    nodes: Vec<Arc<Node>>,
    by_name: BTreeMap<SmolStr, usize>,
    /// Pods of nodes that are not known (yet).
    strays: BTreeMap<SmolStr, Vec<Pod>>,
    /// Pods that were promised a node, by node.
    nominated: BTreeMap<SmolStr, Vec<Pod>>,
    namespaces: BTreeMap<SmolStr, Object>,
    image_nodes: BTreeMap<SmolStr, usize>,
    /// What Services and owners of pods select, by namespace and name of the resource's object.
    selectors: BTreeMap<(SmolStr, &'static str, SmolStr), LabelSelector>,
    budgets: BTreeMap<(SmolStr, SmolStr), Budget>,
    /// How many pods keep others away, on all nodes.
    with_anti_affinity: usize,
    /// Where the next search begins.
    pub next_start: usize,
}

impl Snapshot {
    /// All nodes.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.by_name.get(name).map(|index| &self.nodes[*index])
    }

    /// A namespace.
    pub fn namespace(&self, name: &str) -> Option<&Object> {
        self.namespaces.get(name)
    }

    /// How many nodes have an image.
    pub fn nodes_with_image(&self, image: &str) -> usize {
        self.image_nodes.get(image).copied().unwrap_or(0)
    }

    /// Whether any pod keeps others away.
    pub fn has_anti_affinity(&self) -> bool {
        self.with_anti_affinity > 0
    }

    /// What the objects of a kind select in a namespace.
    pub fn selectors(
        &self,
        namespace: &SmolStr,
        kind: &'static str,
    ) -> impl Iterator<Item = (&SmolStr, &LabelSelector)> {
        let start = (namespace.clone(), kind, SmolStr::default());
        let namespace = namespace.clone();
        self.selectors
            .range(start..)
            .take_while(move |((of, a_kind, _), _)| *of == namespace && *a_kind == kind)
            .map(|((_, _, name), selector)| (name, selector))
    }

    /// What one object selects.
    pub fn selector(
        &self,
        namespace: &SmolStr,
        kind: &'static str,
        name: &SmolStr,
    ) -> Option<&LabelSelector> {
        self.selectors.get(&(namespace.clone(), kind, name.clone()))
    }

    /// Remembers what an object selects, or forgets it.
    pub fn set_selector(&mut self, key: (SmolStr, &'static str, SmolStr), selector: Option<LabelSelector>) {
        match selector {
            Some(selector) => self.selectors.insert(key, selector),
            None => self.selectors.remove(&key),
        };
    }

    /// The budgets of a namespace.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values()
    }

    /// Remembers a budget, or forgets it.
    pub fn set_budget(&mut self, namespace: SmolStr, name: SmolStr, budget: Option<Budget>) {
        match budget {
            Some(budget) => self.budgets.insert((namespace, name), budget),
            None => self.budgets.remove(&(namespace, name)),
        };
    }

    /// Remembers a namespace, or forgets it.
    pub fn set_namespace(&mut self, name: &SmolStr, object: Option<&Object>) {
        match object {
            Some(object) => self.namespaces.insert(name.clone(), object.clone()),
            None => self.namespaces.remove(name),
        };
    }

    /// The pods that were promised a node.
    pub fn nominated(&self, node: &str) -> &[Pod] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }

    /// Remembers that a pod was promised a node.
    pub fn nominate(&mut self, node: &SmolStr, pod: Pod) {
        self.forget_nomination(&pod.object.header().uid);
        self.nominated.entry(node.clone()).or_default().push(pod);
    }

    /// Forgets what a pod was promised.
    pub fn forget_nomination(&mut self, uid: &str) {
        self.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.object.header().uid != uid);
            !pods.is_empty()
        });
    }

    /// Takes in a node as it is now.
    pub fn set_node(&mut self, entry: NodeEntry) {
        let name = entry.object.header().name.clone();
        self.count_images(&entry, 1);
        if let Some(index) = self.by_name.get(&name).copied() {
            let old = std::mem::replace(&mut Arc::make_mut(&mut self.nodes[index]).entry, entry);
            self.count_images(&old, -1);
            return;
        }
        let mut node = Node::new(entry);
        for pod in self.strays.remove(&name).unwrap_or_default() {
            node.add(pod);
        }
        self.with_anti_affinity += node.with_anti_affinity;
        self.by_name.insert(name, self.nodes.len());
        self.nodes.push(Arc::new(node));
    }

    /// Forgets a node; its pods are kept until they go.
    pub fn remove_node(&mut self, name: &str) {
        let Some(index) = self.by_name.remove(name) else { return };
        let node = self.nodes.swap_remove(index);
        if let Some(moved) = self.nodes.get(index) {
            self.by_name.insert(moved.name().clone(), index);
        }
        self.with_anti_affinity -= node.with_anti_affinity;
        self.count_images(&node.entry, -1);
        if !node.pods.is_empty() {
            self.strays.insert(SmolStr::new(name), node.pods.clone());
        }
    }

    fn count_images(&mut self, entry: &NodeEntry, change: isize) {
        for image in entry.facts.images.keys() {
            let count = self.image_nodes.entry(image.clone()).or_default();
            *count = count.saturating_add_signed(change);
            if *count == 0 {
                self.image_nodes.remove(image);
            }
        }
    }

    /// Puts a pod on a node.
    pub fn add_pod(&mut self, node: &SmolStr, pod: Pod) {
        match self.by_name.get(node) {
            Some(index) => {
                let node = Arc::make_mut(&mut self.nodes[*index]);
                let before = node.with_anti_affinity;
                node.add(pod);
                self.with_anti_affinity += node.with_anti_affinity - before;
            }
            None => self.strays.entry(node.clone()).or_default().push(pod),
        }
    }

    /// Takes a pod off a node.
    pub fn remove_pod(&mut self, node: &SmolStr, uid: &str) {
        if let Some(index) = self.by_name.get(node) {
            let node = Arc::make_mut(&mut self.nodes[*index]);
            let before = node.with_anti_affinity;
            node.remove(uid);
            self.with_anti_affinity -= before - node.with_anti_affinity;
        } else if let Some(pods) = self.strays.get_mut(node) {
            pods.retain(|pod| pod.object.header().uid != uid);
            if pods.is_empty() {
                self.strays.remove(node);
            }
        }
    }

    /// The same cluster, with some pods taken off a node.
    pub fn without(&self, node: &str, uids: &[SmolStr]) -> Snapshot {
        let mut other = self.clone();
        let node = SmolStr::new(node);
        uids.iter().for_each(|uid| other.remove_pod(&node, uid));
        other
    }
}
