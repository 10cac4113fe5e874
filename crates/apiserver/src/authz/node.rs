//! What kubelets may do: what concerns their own node, the pods bound to it, and what those pods use.

mod graph;

use std::sync::{Mutex, PoisonError};

use machinery::field::go_quote;

use self::graph::Graph;
use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::cache::Caches;
use crate::identity::Identity;

/// The group of all nodes.
pub const NODES: &str = "system:nodes";
/// What the users of nodes are called: this, and the node's name.
pub const NODE: &str = "system:node:";
/// Where nodes keep their heartbeats.
const LEASES: &str = "kube-node-lease";

/// The name of the node that an identity is; `None` if it is none. A member of the group without a name is nobody.
pub fn node_of(identity: &Identity) -> Option<&str> {
    if !identity.is_in(NODES) {
        return None;
    }
    identity.name.strip_prefix(NODE)
}

/// Decides what nodes may do.
#[derive(Debug)]
pub struct Nodes {
    graph: Mutex<Graph>,
    rules: Vec<Rule>,
}

impl Nodes {
    /// On these caches.
    pub fn new(caches: &Caches) -> Nodes {
        Nodes { graph: Mutex::new(Graph::new(caches)), rules: rules() }
    }

    /// An object that only nodes may read whose pods use it.
    fn related(&self, asked: &Attributes<'_>, node: &str, verbs: &[&str]) -> Decision {
        if !verbs.contains(&asked.verb) {
            return no(format!("can only {} this resource", verbs.join("/")));
        }
        if asked.name.is_empty() {
            return no("No Object name found".to_owned());
        }
        if !asked.subresource.is_empty() && asked.resource != "serviceaccounts" {
            return no("cannot read subresource".to_owned());
        }
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        graph.catch_up();
        if graph.uses(node, asked.resource, asked.namespace, asked.name) {
            return Decision::Allow(String::new());
        }
        no(format!("no relationship found between node '{node}' and this object"))
    }

    /// Nodes read their own node and no other.
    fn node(&self, asked: &Attributes<'_>, node: &str) -> Decision {
        if !matches!(asked.verb, "get" | "list" | "watch") || !asked.subresource.is_empty() {
            return self.by_rules(asked);
        }
        let meant = if asked.name.is_empty() { selected(asked, "metadata.name") } else { Some(asked.name) };
        match meant {
            Some(name) if name == node => Decision::Allow(String::new()),
            Some(name) => no(format!("node '{node}' cannot read '{name}', only its own Node object")),
            None => no(format!("node '{node}' cannot read all nodes, only its own Node object")),
        }
    }

    /// Nodes read the pods that are bound to them and no others.
    fn pod(&self, asked: &Attributes<'_>, node: &str) -> Decision {
        match (asked.verb, asked.subresource) {
            ("get", "") => self.related(asked, node, &["get"]),
            ("list" | "watch", "") if selected(asked, "spec.nodeName") == Some(node) => {
                Decision::Allow(String::new())
            }
            ("list" | "watch", "") => {
                no("can only list/watch pods with spec.nodeName field selector".to_owned())
            }
            _ => self.by_rules(asked),
        }
    }

    /// Nodes see and change the slices of devices that are theirs.
    fn resource_slice(&self, asked: &Attributes<'_>, node: &str) -> Decision {
        match asked.verb {
            _ if !asked.subresource.is_empty() => no("cannot access a ResourceSlice subresource".to_owned()),
            "create" => Decision::Allow(String::new()),
            "get" | "update" | "patch" | "delete" => {
                self.related(asked, node, &["get", "update", "patch", "delete"])
            }
            "list" | "watch" | "deletecollection" if selected(asked, "spec.nodeName") == Some(node) => {
                Decision::Allow(String::new())
            }
            "list" | "watch" | "deletecollection" => {
                let verbs = "list/watch/deletecollection";
                no(format!("can only {verbs} resourceslices with spec.nodeName field selector"))
            }
            _ => no("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, \
                     patch, delete, deletecollection"
                .to_owned()),
        }
    }

    fn by_rules(&self, asked: &Attributes<'_>) -> Decision {
        if self.rules.iter().any(|rule| rule.allows(asked)) {
            Decision::Allow(String::new())
        } else {
            no(String::new())
        }
    }

    /// An object that has the node's own name, or belongs to it.
    fn own(&self, asked: &Attributes<'_>, node: &str, what: &str) -> Decision {
        let verbs = ["get", "create", "update", "patch", "delete"];
        if !verbs.contains(&asked.verb) {
            return no(format!("can only get, create, update, patch, or delete a {what}"));
        }
        if asked.verb != "create" && asked.name != node {
            return no(format!("can only access {what} with the same name as the requesting node"));
        }
        Decision::Allow(String::new())
    }
}

impl Authorizer for Nodes {
    fn authorize(&self, asked: &Attributes<'_>) -> Decision {
        let Some(node) = node_of(asked.identity) else { return Decision::NoOpinion(String::new()) };
        if node.is_empty() {
            return no(format!("unknown node for user {}", go_quote(&asked.identity.name)));
        }
        match (asked.is_resource, asked.group, asked.resource, asked.subresource) {
            (true, "", "nodes", _) => self.node(asked, node),
            (true, "", "pods", _) => self.pod(asked, node),
            (true, "resource.k8s.io", "resourceslices", _) => self.resource_slice(asked, node),
            (true, "storage.k8s.io", "volumeattachments", _) => self.related(asked, node, &["get"]),
            (true, "", "secrets" | "configmaps", _) => self.related(asked, node, &["get", "list", "watch"]),
            (true, "", "persistentvolumeclaims", "status") => match asked.verb {
                "update" | "patch" => {
                    self.related(&Attributes { subresource: "", verb: "get", ..*asked }, node, &["get"])
                }
                _ => no("can only update or patch the status of a claim".to_owned()),
            },
            (true, "", "persistentvolumeclaims" | "persistentvolumes", _)
            | (true, "resource.k8s.io", "resourceclaims", _) => self.related(asked, node, &["get"]),
            (true, "", "serviceaccounts", "token") => self.related(asked, node, &["create"]),
            (true, "coordination.k8s.io", "leases", _) if asked.namespace == LEASES => {
                self.own(asked, node, "lease")
            }
            (true, "storage.k8s.io", "csinodes", _) => self.own(asked, node, "CSINode"),
            _ => self.by_rules(asked),
        }
    }
}

/// The value that a field must have, if the request says so.
fn selected<'a>(asked: &Attributes<'a>, field: &str) -> Option<&'a str> {
    asked.selectors?.fields.exact(field)
}

/// What a pod refers to in its namespace: resource and name.
pub fn references(pod: &machinery::Value) -> std::collections::BTreeSet<(&'static str, String)> {
    graph::used_by(pod)
}

fn no(why: String) -> Decision {
    Decision::NoOpinion(why)
}

/// What every node may do, whatever it runs; NodeRestriction narrows the writes.
fn rules() -> Vec<Rule> {
    const RULES: [(&str, &str, &str); 13] = [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews"),
        ("get,list,watch", "", "services"),
        ("create", "", "nodes"),
        ("patch,update", "", "nodes/status"),
        ("patch,update", "", "nodes"),
        ("create,patch,update", "", "events"),
        ("create,delete", "", "pods"),
        ("patch,update", "", "pods/status"),
        ("create", "", "pods/eviction"),
        ("create,get,list,watch", "certificates.k8s.io", "certificatesigningrequests"),
        ("get,list,watch", "node.k8s.io", "runtimeclasses"),
        ("get,list,watch", "storage.k8s.io", "csidrivers"),
    ];
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    RULES
        .iter()
        .map(|(verbs, group, resources)| Rule {
            verbs: list(verbs),
            groups: list(group),
            resources: list(resources),
            ..Rule::default()
        })
        .collect()
}

#[cfg(test)]
mod tests;
