//! Sets of fields, and their form in `managedFields`.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::element;
use crate::Value;
use crate::value::Map;

/// A set of fields, as a tree of the steps to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    nodes: BTreeMap<SmolStr, Node>,
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
        self.nodes.get(step)
    }

    /// Whether it has the field at the end of this step.
    pub fn has(&self, step: &str) -> bool {
        self.nodes.get(step).is_some_and(|node| node.member)
    }

    /// The steps and what is known of them.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Node)> {
        self.nodes.iter()
    }

    /// Adds what is known of a step, unless that is nothing.
    pub(super) fn put(&mut self, step: impl FnOnce() -> SmolStr, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(step(), node);
        }
    }

    /// Adds the field at the end of a path of names.
    pub(super) fn insert(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.nodes.entry(element::field(first)).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Adds all of another set.
    pub(super) fn unite(&mut self, other: &Set) {
        for (step, theirs) in &other.nodes {
            let ours = self.nodes.entry(step.clone()).or_default();
            ours.member |= theirs.member;
            ours.below.unite(&theirs.below);
        }
    }

    /// Removes the fields of another set; what lies below them stays.
    pub(super) fn subtract(&mut self, other: &Set) {
        for (step, theirs) in &other.nodes {
            let Some(ours) = self.nodes.get_mut(step) else { continue };
            ours.member &= !theirs.member;
            ours.below.subtract(&theirs.below);
            if ours.is_empty() {
                self.nodes.remove(step);
            }
        }
    }

    /// Removes the fields of another set and all that lies below them.
    pub(super) fn subtract_deeply(&mut self, other: &Set) {
        for (step, theirs) in &other.nodes {
            if theirs.member {
                self.nodes.remove(step);
                continue;
            }
            let Some(ours) = self.nodes.get_mut(step) else { continue };
            ours.below.subtract_deeply(&theirs.below);
            if ours.is_empty() {
                self.nodes.remove(step);
            }
        }
    }

    /// What both sets have.
    pub(super) fn intersect(&self, other: &Set) -> Set {
        let mut both = Set::default();
        for (step, ours) in &self.nodes {
            let Some(theirs) = other.nodes.get(step) else { continue };
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
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|(step, _)| element::rank(step));
        nodes
    }

    /// The set as `fieldsV1`.
    pub fn to_value(&self) -> Value {
        let members = self.ordered().into_iter().map(|(step, node)| {
            let mut below = node.below.to_value();
            if let (true, Value::Object(map)) = (node.member && !node.below.is_empty(), &mut below) {
                let mut entries = vec![(SmolStr::new_static("."), Value::object())];
                entries.append(&mut std::mem::take(map).into_entries());
                *map = Map::from_entries(entries);
            }
            (step.clone(), below)
        });
        Value::Object(Map::from_entries(members.collect()))
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
            set.nodes.insert(step.clone(), Node { member, below: Set::from_value(below)? });
        }
        Some(set)
    }
}
