//! `NodeRestriction`: a node changes itself, its pods and what belongs to them, and nothing else.
//!
//! What nodes may read is for the node authorizer to say; it sees no objects, so what depends on them is decided here.

mod audience;
mod pods;

use std::sync::Arc;

use machinery::field::go_quote;
use machinery::{Status, Value};

use super::certificates;
use super::{Operation, Plugin, Review, Step, Surroundings};
use crate::authz::Union;
use crate::authz::node::node_of;

/// Where nodes keep their heartbeats.
const LEASES: &str = "kube-node-lease";
/// Labels that nodes may never set on themselves, so that others can rely on them.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes that nodes set on themselves.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Domains of Kubernetes below which nodes set whatever they like.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Signers whose certificates say that somebody is a node.
const NODE_SIGNERS: [&str; 2] =
    ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

#[derive(Debug)]
pub(super) struct NodeRestriction {
    /// Who may do what.
    pub authorizer: Arc<Union>,
}

/// A write by a node.
#[derive(Clone, Copy)]
struct Writing<'a> {
    review: &'a Review<'a>,
    around: Surroundings<'a>,
    node: &'a str,
}

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        node_of(review.identity).is_some()
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let review: &'a Review<'a> = review;
        let node = node_of(review.identity)?;
        let writing = Writing { review, around, node };
        if review.served.is("", "serviceaccounts") && review.subresource == "token" {
            return Some(Box::pin(audience::check(writing, &self.authorizer)));
        }
        let refused = writing.check().err()?;
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

impl Writing<'_> {
    fn forbidden(&self, why: impl AsRef<str>) -> Status {
        Status::forbidden(self.review.served.resource(), self.review.name, why.as_ref())
    }

    /// The node's name as it stands in texts.
    fn quoted(&self) -> String {
        go_quote(self.node)
    }

    fn check(self) -> Result<(), Status> {
        let Writing { review, node, .. } = self;
        if node.is_empty() {
            let user = go_quote(&review.identity.name);
            return Err(self.forbidden(format!("could not determine node from user {user}")));
        }
        let served = review.served;
        match (served.group.as_str(), served.plural.as_str()) {
            ("", "pods") => pods::check(self),
            ("", "nodes") => self.check_node(),
            ("", "persistentvolumeclaims") => self.check_claim(),
            ("coordination.k8s.io", "leases") => self.check_lease(),
            ("storage.k8s.io", "csinodes") => self.check_own_name("CSINode"),
            ("resource.k8s.io", "resourceslices") => self.check_slice(),
            ("certificates.k8s.io", "certificatesigningrequests") => self.check_request(),
            _ => Ok(()),
        }
    }

    fn check_node(self) -> Result<(), Status> {
        let Writing { review, node, .. } = self;
        let quoted = self.quoted();
        if review.name != node {
            let other = go_quote(review.name);
            return Err(self.forbidden(format!("node {quoted} is not allowed to modify node {other}")));
        }
        let source = ["spec", "configSource"];
        let labels = ["metadata", "labels"];
        let forbidden = forbidden_labels(review.object.at(&labels), review.old.at(&labels)).join(", ");
        let has_source = !review.object.at(&source).is_null();
        match review.operation {
            Operation::Create if has_source => Err(self.forbidden(format!(
                "node {quoted} is not allowed to create pods with a non-nil configSource"
            ))),
            Operation::Create if !forbidden.is_empty() => Err(self
                .forbidden(format!("node {quoted} is not allowed to set the following labels: {forbidden}"))),
            Operation::Update if has_source && review.object.at(&source) != review.old.at(&source) => {
                Err(self.forbidden(format!(
                    "node {quoted} is not allowed to update configSource to a new non-nil configSource"
                )))
            }
            Operation::Update if !same_taints(&review.object, review.old) => {
                Err(self.forbidden(format!("node {quoted} is not allowed to modify taints")))
            }
            Operation::Update if !forbidden.is_empty() => {
                Err(self.forbidden(format!("is not allowed to modify labels: {forbidden}")))
            }
            _ => Ok(()),
        }
    }

    fn check_claim(self) -> Result<(), Status> {
        let review = self.review;
        if review.subresource != "status" {
            return Err(self.forbidden("may only update PVC status"));
        }
        if review.operation != Operation::Update {
            return Err(self.unexpected());
        }
        let plain = |claim: &Value| {
            let mut claim = claim.clone();
            for field in ["resourceVersion", "managedFields"] {
                claim.entry("metadata").remove(field);
            }
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                claim.entry("status").remove(field);
            }
            claim
        };
        let (new, old) = (plain(&review.object), plain(review.old));
        if new == old {
            return Ok(());
        }
        Err(self.forbidden(format!(
            "node {} is not allowed to update fields other than status.quantity and status.conditions",
            self.quoted()
        )))
    }

    fn check_lease(self) -> Result<(), Status> {
        if self.review.namespace != LEASES {
            let why = format!("can only access leases in the {} system namespace", go_quote(LEASES));
            return Err(self.forbidden(why));
        }
        self.check_own_name("node lease")
    }

    fn check_own_name(self, what: &str) -> Result<(), Status> {
        if self.review.name == self.node {
            return Ok(());
        }
        Err(self.forbidden(format!("can only access {what} with the same name as the requesting node")))
    }

    fn check_slice(self) -> Result<(), Status> {
        let (object, verb) = match self.review.operation {
            Operation::Create => (&self.review.object, "create"),
            Operation::Delete => (self.review.old, "delete"),
            _ => return Ok(()),
        };
        if object.at(&["spec", "nodeName"]).as_str() == Some(self.node) {
            return Ok(());
        }
        let why = format!("can only {verb} ResourceSlice with the same NodeName as the requesting node");
        Err(self.forbidden(why))
    }

    fn check_request(self) -> Result<(), Status> {
        let spec = self.review.object.get("spec");
        let signer = spec.get("signerName").str_or_empty();
        if self.review.operation != Operation::Create || !NODE_SIGNERS.contains(&signer) {
            return Ok(());
        }
        let subject = certificates::subject(spec)
            .map_err(|why| self.forbidden(format!("unable to parse csr: {why}")))?;
        let own = format!("system:node:{}", self.node);
        if subject.name == own {
            return Ok(());
        }
        Err(self.forbidden(format!("can only create a node CSR with CN={own}")))
    }

    fn unexpected(self) -> Status {
        self.forbidden(format!("unexpected operation {}", go_quote(self.review.operation.name())))
    }
}

fn same_taints(new: &Value, old: &Value) -> bool {
    let taints = ["spec", "taints"];
    new.at(&taints).items() == old.at(&taints).items()
}

/// The labels that were changed and that nodes may not change, sorted.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let keys = new.members().chain(old.members()).map(|(key, _)| key.as_str());
    let mut changed: Vec<String> =
        keys.filter(|key| new.get(key) != old.get(key) && is_forbidden(key)).map(str::to_owned).collect();
    changed.sort();
    changed.dedup();
    changed
}

fn is_forbidden(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let below = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if below(RESTRICTED) {
        return true;
    }
    let is_kubernetes = below("kubernetes.io") || below("k8s.io");
    is_kubernetes && !OWN_LABELS.contains(&label) && !OWN_DOMAINS.iter().any(|domain| below(domain))
}

#[cfg(test)]
mod tests;
