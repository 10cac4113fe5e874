//! Which nodes a DaemonSet's pods are for.

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};
use machinery::object::Header;
use machinery::selector::{Operator, Requirement};

use crate::node::Node;
use crate::tainteviction::plan::bears;

/// What pods of DaemonSets bear without saying so: they are there for the node, however it is.
const ALWAYS_BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// What those bear that use the node's own network.
const BORNE_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a node is to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// A pod is to be there.
    Wanted,
    /// No pod is to come, but one that is there may stay.
    MayStay,
    /// No pod is to be there.
    Unwanted,
}

/// What a template asks of nodes.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    node_name: Option<String>,
    labels: Vec<(String, String)>,
    /// Of which one must hold; `None` if it does not say.
    terms: Option<Vec<Term>>,
    tolerations: Vec<Toleration>,
}

#[derive(Clone, Debug, Default)]
struct Term {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

/// Adds what pods of DaemonSets always bear, in place of what says the same for a limited time.
pub fn add_tolerations(spec: &mut PodSpec) {
    let on_host = (spec.host_network == Some(true)).then_some(BORNE_ON_HOST_NETWORK);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in ALWAYS_BORNE.into_iter().chain(on_host) {
        let always = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let says_the_same = |other: &&mut Toleration| {
            other.key == always.key
                && other.effect == always.effect
                && other.operator == always.operator
                && other.value.as_deref().unwrap_or_default().is_empty()
        };
        match tolerations.iter_mut().find(says_the_same) {
            Some(limited) => *limited = always,
            None => tolerations.push(always),
        }
    }
}

/// Ties a pod to one node, whatever nodes it was for. The scheduler still decides when it may go there.
pub fn tie(spec: &mut PodSpec, node: &str) {
    let only = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![only]), ..NodeSelectorTerm::default() };
    let affinity = spec.affinity.get_or_insert_with(Affinity::default);
    let nodes = affinity.node_affinity.get_or_insert_default();
    nodes.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

impl Rules {
    /// What the pods of a template ask.
    pub fn of(template: &PodSpec) -> Rules {
        let mut spec = template.clone();
        add_tolerations(&mut spec);
        let affinity = spec.affinity.and_then(|affinity| affinity.node_affinity);
        let required = affinity.and_then(|nodes| nodes.required_during_scheduling_ignored_during_execution);
        Rules {
            node_name: spec.node_name.filter(|name| !name.is_empty()),
            labels: spec.node_selector.into_iter().flatten().collect(),
            // A term that is no term fits no node.
            terms: required
                .map(|required| required.node_selector_terms.iter().filter_map(Term::read).collect()),
            tolerations: spec.tolerations.unwrap_or_default(),
        }
    }

    /// What a node is to them.
    pub fn judge(&self, node: &Node) -> Fit {
        let header = node.object.header();
        let is_chosen = self.node_name.as_ref().is_none_or(|name| *name == header.name)
            && self.labels.iter().all(|(key, value)| header.label(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(header)));
        if !is_chosen {
            return Fit::Unwanted;
        }
        let is_borne = |taint: &Taint| self.tolerations.iter().any(|toleration| bears(toleration, taint));
        let mut unborne = node.facts.taints.iter().filter(|taint| !is_borne(taint));
        let drives_out = |taint: &&Taint| taint.effect == "NoExecute";
        let keeps_off = |taint: &&Taint| matches!(taint.effect.as_str(), "NoExecute" | "NoSchedule");
        if unborne.clone().any(|taint| drives_out(&taint)) {
            Fit::Unwanted
        } else if unborne.any(|taint| keeps_off(&taint)) {
            Fit::MayStay
        } else {
            Fit::Wanted
        }
    }
}

impl Term {
    /// `None` if it asks nothing, or nothing that makes sense.
    fn read(term: &NodeSelectorTerm) -> Option<Term> {
        let read = |all: &Option<Vec<NodeSelectorRequirement>>| -> Option<Vec<Requirement>> {
            all.iter().flatten().map(requirement).collect()
        };
        let term = Term { labels: read(&term.match_expressions)?, fields: read(&term.match_fields)? };
        (!term.labels.is_empty() || !term.fields.is_empty()).then_some(term)
    }

    fn matches(&self, node: &Header) -> bool {
        let field = |key: &str| (key == "metadata.name").then_some(node.name.as_str());
        self.labels.iter().all(|asked| asked.matches(node.label(asked.key())))
            && self.fields.iter().all(|asked| asked.matches(field(asked.key())))
    }
}

fn requirement(asked: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match asked.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = asked.values.iter().flatten().map(Into::into).collect();
    client::selector::requirement(&asked.key, operator, values).ok()
}
