//! Sets of fields, and their form in `managedFields`.

use smol_str::SmolStr;

use super::element;
use crate::Value;
use crate::value::Map;

/// A set of fields, as a tree of the steps to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by step. Most sets have a few steps, and sets are made and dropped with every write.
    nodes: Vec<(SmolStr, Node)>,
}

/// What is known of a step: whether the set has the field itself, and what it has below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The field itself is in the set.
    pub member: bool,
    /// What is in the set below it.
    pub below: Set,
}

impl Node {
    /// Whether neither the field nor anything below it is in the set.
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What is known of a step.
    pub fn get(&self, step: &str) -> Option<&Node> {
        self.find(step).ok().map(|at| &self.nodes[at].1)
    }

    /// Where a step stands; where it would, if it is not there.
    fn find(&self, step: &str) -> Result<usize, usize> {
        // Sets are mostly built in order.
        match self.nodes.last() {
            Some((last, _)) if last.as_str() < step => Err(self.nodes.len()),
            _ => self.nodes.binary_search_by(|(other, _)| other.as_str().cmp(step)),
        }
    }

    /// The node of a step, made if it is not there.
    fn node(&mut self, step: &str) -> &mut Node {
        let at = self.find(step).unwrap_or_else(|at| {
            self.nodes.insert(at, (SmolStr::new(step), Node::default()));
            at
        });
        &mut self.nodes[at].1
    }

    /// Whether it has the field at the end of this step.
    pub fn has(&self, step: &str) -> bool {
        self.get(step).is_some_and(|node| node.member)
    }

    /// The steps and what is known of them.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Node)> {
        self.nodes.iter().map(|(step, node)| (step, node))
    }

    /// Adds what is known of a step, unless that is nothing.
    pub(super) fn put(&mut self, step: impl FnOnce() -> SmolStr, node: Node) {
        if node.is_empty() {
            return;
        }
        let step = step();
        match self.find(&step) {
            Ok(at) => self.nodes[at].1 = node,
            Err(at) => self.nodes.insert(at, (step, node)),
        }
    }

    /// Adds the field at the end of a path of names.
    pub(super) fn insert(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.node(&element::field(first));
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Adds all of another set.
    pub(super) fn unite(&mut self, other: &Set) {
        if self.nodes.is_empty() {
            self.clone_from(other);
            return;
        }
        for (step, theirs) in &other.nodes {
            let ours = self.node(step);
            ours.member |= theirs.member;
            ours.below.unite(&theirs.below);
        }
    }

    /// Removes the fields of another set; what lies below them stays.
    pub(super) fn subtract(&mut self, other: &Set) {
        for (step, theirs) in &other.nodes {
            let Ok(at) = self.find(step) else { continue };
            let ours = &mut self.nodes[at].1;
            ours.member &= !theirs.member;
            ours.below.subtract(&theirs.below);
            if ours.is_empty() {
                self.nodes.remove(at);
            }
        }
    }

    /// Removes the fields of another set and all that lies below them.
    pub(super) fn subtract_deeply(&mut self, other: &Set) {
        for (step, theirs) in &other.nodes {
            let Ok(at) = self.find(step) else { continue };
            if theirs.member {
                self.nodes.remove(at);
                continue;
            }
            let ours = &mut self.nodes[at].1;
            ours.below.subtract_deeply(&theirs.below);
            if ours.is_empty() {
                self.nodes.remove(at);
            }
        }
    }

    /// What both sets have.
    pub(super) fn intersect(&self, other: &Set) -> Set {
        let mut both = Set::default();
        for (step, ours) in &self.nodes {
            let Some(theirs) = other.get(step) else { continue };
            let below = ours.below.intersect(&theirs.below);
            both.put(|| step.clone(), Node { member: ours.member && theirs.member, below });
        }
        both
    }

    /// The paths as conflicts show them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (step, node) in self.ordered() {
            let path = format!("{prefix}{}", element::show(step));
            if node.member {
                paths.push(path.clone());
            }
            node.below.collect_paths(&path, paths);
        }
    }

    fn ordered(&self) -> Vec<(&SmolStr, &Node)> {
        let mut nodes: Vec<_> = self.iter().collect();
        if !nodes.is_sorted_by_key(|(step, _)| element::rank(step)) {
            nodes.sort_by_key(|(step, _)| element::rank(step));
        }
        nodes
    }

    /// The set as `fieldsV1`.
    pub fn to_value(&self) -> Value {
        self.to_value_with(false)
    }

    /// `with_self`: whether the field that this lies below is in the set too.
    fn to_value_with(&self, with_self: bool) -> Value {
        let mut entries = Vec::with_capacity(self.nodes.len() + usize::from(with_self));
        if with_self {
            entries.push((SmolStr::new_static("."), Value::object()));
        }
        entries.extend(self.ordered().into_iter().map(|(step, node)| {
            let with_self = node.member && !node.below.is_empty();
            (step.clone(), node.below.to_value_with(with_self))
        }));
        Value::Object(Map::from_entries(entries))
    }

    /// The set that a `fieldsV1` describes; `None` if it describes none.
    pub fn from_value(value: &Value) -> Option<Set> {
        let mut set = Set::default();
        for (step, below) in value.as_object()?.iter().filter(|(step, _)| *step != ".") {
            let known = matches!(step.as_bytes(), [b'f' | b'k' | b'v' | b'i', b':', ..]);
            if !known {
                return None;
            }
            let members = below.as_object()?;
            let member = members.is_empty() || members.contains_key(".");
            let below = Set::from_value(below)?;
            let node = set.node(step);
            *node = Node { member, below };
        }
        Some(set)
    }
}
