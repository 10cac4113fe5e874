//! Where a pod wants to be, and near whom: compiled once, matched often.

use k8s_openapi::api::core::v1 as core;
use machinery::object::Header;
use machinery::selector::{LabelSelector, Operator, Requirement};
use smol_str::SmolStr;

/// Something wished for, and how much.
#[derive(Clone, Debug)]
pub struct Weighted<T> {
    /// How much.
    pub weight: i64,
    /// What.
    pub wish: T,
}

/// Where a pod wants to be, and near whom.
#[derive(Clone, Debug, Default)]
pub struct Affinity {
    /// Nodes it must be on: any of these; `None` if it does not say.
    pub nodes: Option<Vec<NodeTerm>>,
    /// Nodes it would like.
    pub preferred_nodes: Vec<Weighted<NodeTerm>>,
    /// Pods it must be near: all of these.
    pub near: Vec<Term>,
    /// Pods it must not be near.
    pub apart: Vec<Term>,
    /// Pods it would like to be near.
    pub preferred_near: Vec<Weighted<Term>>,
    /// Pods it would like not to be near.
    pub preferred_apart: Vec<Weighted<Term>>,
}

/// Which nodes: those whose labels and fields meet all requirements.
#[derive(Clone, Debug)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    names: Vec<NameRule>,
}

/// Which names a node may have. Names may be longer than labels' values.
#[derive(Clone, Debug)]
struct NameRule {
    is_any_of: bool,
    names: Vec<SmolStr>,
}

/// Which pods, and what "near" means.
#[derive(Clone, Debug)]
pub struct Term {
    /// Which pods.
    pub selector: LabelSelector,
    /// In these namespaces; empty, with no selector either, means that of the pod itself.
    namespaces: Vec<SmolStr>,
    /// And in those whose labels match.
    pub namespace_selector: Option<LabelSelector>,
    /// Nodes with the same value of this label are near each other.
    pub topology_key: SmolStr,
}

/// How a pod wants to be spread over nodes.
#[derive(Clone, Debug)]
pub struct Spread {
    /// How uneven it may be.
    pub max_skew: i64,
    /// Nodes with the same value of this label are one place.
    pub topology_key: SmolStr,
    /// Whether it must be kept.
    pub is_hard: bool,
    /// Which pods are counted.
    pub selector: LabelSelector,
    /// How many places there must at least be.
    pub min_domains: i64,
    /// Whether only nodes the pod may be on are counted.
    pub honor_affinity: bool,
    /// Whether only nodes whose taints the pod bears are counted.
    pub honor_taints: bool,
}

impl Affinity {
    /// From the typed form.
    pub fn compile(affinity: &core::Affinity) -> Result<Affinity, String> {
        let nodes = affinity.node_affinity.as_ref();
        let required =
            nodes.and_then(|nodes| nodes.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred =
            nodes.and_then(|nodes| nodes.preferred_during_scheduling_ignored_during_execution.as_ref());
        let near = affinity.pod_affinity.clone().unwrap_or_default();
        let apart = affinity.pod_anti_affinity.clone().unwrap_or_default();
        Ok(Affinity {
            nodes: required
                .map(|selector| selector.node_selector_terms.iter().map(NodeTerm::compile).collect())
                .transpose()?,
            preferred_nodes: preferred
                .into_iter()
                .flatten()
                .map(|term| {
                    let wish = NodeTerm::compile(&term.preference)?;
                    Ok(Weighted { weight: i64::from(term.weight), wish })
                })
                .collect::<Result<_, String>>()?,
            near: terms(near.required_during_scheduling_ignored_during_execution)?,
            apart: terms(apart.required_during_scheduling_ignored_during_execution)?,
            preferred_near: wishes(near.preferred_during_scheduling_ignored_during_execution)?,
            preferred_apart: wishes(apart.preferred_during_scheduling_ignored_during_execution)?,
        })
    }
}

fn terms(terms: Option<Vec<core::PodAffinityTerm>>) -> Result<Vec<Term>, String> {
    terms.iter().flatten().map(Term::compile).collect()
}

fn wishes(terms: Option<Vec<core::WeightedPodAffinityTerm>>) -> Result<Vec<Weighted<Term>>, String> {
    let compile = |term: &core::WeightedPodAffinityTerm| {
        let wish = Term::compile(&term.pod_affinity_term)?;
        Ok(Weighted { weight: i64::from(term.weight), wish })
    };
    terms.iter().flatten().map(compile).collect()
}

fn requirements(
    expressions: Option<&Vec<core::NodeSelectorRequirement>>,
) -> Result<Vec<Requirement>, String> {
    let compile = |expression: &core::NodeSelectorRequirement| {
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan,
            "Lt" => Operator::LessThan,
            other => return Err(format!("{other:?} is not a valid node selector operator")),
        };
        let values = expression.values.iter().flatten().map(SmolStr::new).collect();
        client::selector::requirement(&expression.key, operator, values)
    };
    expressions.into_iter().flatten().map(compile).collect()
}

impl NodeTerm {
    fn compile(term: &core::NodeSelectorTerm) -> Result<NodeTerm, String> {
        Ok(NodeTerm {
            labels: requirements(term.match_expressions.as_ref())?,
            names: term.match_fields.iter().flatten().map(NameRule::compile).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a node meets it. One without requirements is met by none.
    pub fn matches(&self, node: &Header) -> bool {
        let is_empty = self.labels.is_empty() && self.names.is_empty();
        !is_empty
            && self.labels.iter().all(|requirement| requirement.matches(node.label(requirement.key())))
            && self.names.iter().all(|rule| rule.names.contains(&node.name) == rule.is_any_of)
    }
}

impl NameRule {
    fn compile(expression: &core::NodeSelectorRequirement) -> Result<NameRule, String> {
        let is_any_of = match (expression.key.as_str(), expression.operator.as_str()) {
            ("metadata.name", "In") => true,
            ("metadata.name", "NotIn") => false,
            (key, operator) => return Err(format!("nodes cannot be selected by {key:?} {operator:?}")),
        };
        let names = expression.values.iter().flatten().map(SmolStr::new).collect();
        Ok(NameRule { is_any_of, names })
    }
}

impl Term {
    fn compile(term: &core::PodAffinityTerm) -> Result<Term, String> {
        let namespace_selector = term.namespace_selector.as_ref();
        Ok(Term {
            selector: client::selector::of(term.label_selector.as_ref())?,
            namespaces: term.namespaces.iter().flatten().map(SmolStr::new).collect(),
            namespace_selector: namespace_selector
                .map(|selector| client::selector::of(Some(selector)))
                .transpose()?,
            topology_key: SmolStr::new(&term.topology_key),
        })
    }

    /// Whether it is about pods of this namespace, for a pod of the namespace `own`.
    fn is_about(&self, own: &str, namespace: &str, labels: Option<&Header>) -> bool {
        if self.namespaces.is_empty() && self.namespace_selector.is_none() {
            return own == namespace;
        }
        let by_labels = || {
            let selector = self.namespace_selector.as_ref();
            selector.is_some_and(|selector| {
                selector.is_everything()
                    || labels.is_some_and(|labels| client::selector::selects(selector, labels))
            })
        };
        self.namespaces.iter().any(|name| name == namespace) || by_labels()
    }

    /// Whether it is about the pod `other` (whose namespace has these `labels`), for a pod of the namespace `own`.
    pub fn matches(&self, own: &str, other: &Header, labels: Option<&Header>) -> bool {
        self.is_about(own, &other.namespace, labels) && client::selector::selects(&self.selector, other)
    }
}

impl Spread {
    /// From the typed form.
    pub fn compile(constraint: &core::TopologySpreadConstraint) -> Result<Spread, String> {
        Ok(Spread {
            max_skew: i64::from(constraint.max_skew),
            topology_key: SmolStr::new(&constraint.topology_key),
            is_hard: constraint.when_unsatisfiable == "DoNotSchedule",
            selector: client::selector::of(constraint.label_selector.as_ref())?,
            min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
            honor_affinity: constraint.node_affinity_policy.as_deref().unwrap_or("Honor") == "Honor",
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        })
    }
}
