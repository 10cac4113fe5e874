//! What nodes that join may do beside what every node may: ask for certificates with a token, and see what the network
//! of a node is made of.

use std::time::Duration;

use client::{Call, Client, Resource, Write, resources};
use env::Env;
use machinery::Status;
use serde_json::{Value, json};

use super::{known, token};
use crate::config::Addresses;

/// How long to wait before trying again: namespaces come a moment after the API.
const RETRY: Duration = Duration::from_millis(200);

/// Puts the roles, and what nodes have to know, in place; tries until it is done.
pub async fn ensure(client: Client, addresses: Addresses, env: Env) {
    while let Err(status) = put(&client, &addresses).await {
        tracing::debug!(%status, "what joining nodes need is not in place yet");
        env.clock.sleep(RETRY).await;
    }
}

async fn put(client: &Client, addresses: &Addresses) -> Result<(), Status> {
    for (resource, namespace, document) in documents() {
        let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let body = Write::Apply(document.to_string().into());
        client.write(resource, Call::object(namespace, &name), body).await?;
    }
    known::publish(client, addresses).await
}

/// The roles and their bindings, with the namespaces they are in.
fn documents() -> [(Resource, &'static str, Value); 5] {
    let nodes = ["system:nodes"];
    [
        (
            resources::CLUSTER_ROLE_BINDINGS,
            "",
            binding(
                ("ClusterRoleBinding", "ironclad:joining-nodes"),
                ("ClusterRole", "system:node-bootstrapper"),
                &[token::GROUP],
            ),
        ),
        (
            resources::CLUSTER_ROLES,
            "",
            role(
                ("ClusterRole", "ironclad:node-network"),
                json!([
                    {"apiGroups": [""], "resources": ["namespaces", "nodes", "pods", "services"],
                     "verbs": ["get", "list", "watch"]},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
                     "verbs": ["get", "list", "watch"]},
                    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"],
                     "verbs": ["get", "list", "watch"]},
                ]),
            ),
        ),
        (
            resources::CLUSTER_ROLE_BINDINGS,
            "",
            binding(
                ("ClusterRoleBinding", "ironclad:node-network"),
                ("ClusterRole", "ironclad:node-network"),
                &nodes,
            ),
        ),
        (
            resources::ROLES,
            known::NAMESPACE,
            role(
                ("Role", "ironclad:cluster"),
                json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [known::NAME], "verbs": ["get"]}]),
            ),
        ),
        (
            resources::ROLE_BINDINGS,
            known::NAMESPACE,
            binding(("RoleBinding", "ironclad:cluster"), ("Role", "ironclad:cluster"), &nodes),
        ),
    ]
}

fn role((kind, name): (&str, &str), rules: Value) -> Value {
    let metadata = json!({"name": name});
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules})
}

fn binding((kind, name): (&str, &str), (role_kind, role): (&str, &str), groups: &[&str]) -> Value {
    let group = |name: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": groups.iter().map(group).collect::<Vec<_>>(),
    })
}
