//! Certificates for nodes: the server approves and signs what a node asks for in its own name. Everything else that is
//! asked for is left to others.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Cache, Call, Client, Key, Write, resources};
use env::Env;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use machinery::time::Timestamp;
use machinery::{Object, Status};
use serde_json::json;

use super::token;
use crate::pki::Pair;
use crate::pki::requests::{self, Said, Use};

/// What the users of nodes are called, before the node's name.
pub const NODE: &str = "system:node:";
/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// Who signs certificates that nodes show to the server.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Who signs certificates that nodes' own servers show.
pub const SERVER_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// Who asks for a certificate, from whom, and for what use.
#[derive(Clone, Debug, Default)]
struct Asked<'a> {
    user: &'a str,
    groups: &'a [String],
    signer: &'a str,
    usages: &'a [String],
}

/// Works until the tasks of `env` stop.
pub async fn run(client: Client, ca: Pair, env: Env) {
    let transport = client.transport();
    let requests: Cache = Cache::of(resources::CERTIFICATE_SIGNING_REQUESTS).start(transport.clone(), &env);
    requests.synced().await;
    let mut changes = requests.changes();
    loop {
        let key = changes.next().await;
        let Some(entry) = requests.get(&key) else { continue };
        if let Err(status) = look(&client, &ca, &entry.object, &env).await {
            tracing::warn!(request = %key.name, %status, "a node's certificate could not be signed");
        }
    }
}

/// Takes one request a step further.
async fn look(client: &Client, ca: &Pair, object: &Object, env: &Env) -> Result<(), Status> {
    let request = object.view::<CertificateSigningRequest>()?;
    let status = request.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let has = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind);
    if status.certificate.is_some() || has("Denied") || has("Failed") {
        return Ok(());
    }
    let pem = String::from_utf8(request.spec.request.0.clone()).unwrap_or_default();
    let Ok(said) = requests::read(&pem) else { return Ok(()) };
    let asked = Asked {
        user: request.spec.username.as_deref().unwrap_or_default(),
        groups: request.spec.groups.as_deref().unwrap_or_default(),
        signer: &request.spec.signer_name,
        usages: request.spec.usages.as_deref().unwrap_or_default(),
    };
    let Some(purpose) = decide(&asked, &said, &addresses(client).await?) else { return Ok(()) };
    let now = env.clock.now().secs();
    let object = if has("Approved") { object.clone() } else { approve(client, object, now).await? };
    match requests::sign(ca, &pem, purpose, now) {
        Ok(certificate) => issue(client, &object, &certificate).await,
        Err(error) => {
            tracing::warn!(request = %object.header().name, %error, "a request cannot be signed");
            Ok(())
        }
    }
}

/// The addresses of nodes, and whose they are.
async fn addresses(client: &Client) -> Result<BTreeMap<String, String>, Status> {
    let mut known = BTreeMap::new();
    for node in client.list::<Node>(Call::all("")).await? {
        let name = node.metadata.name.clone().unwrap_or_default();
        let addresses = node.status.as_ref().and_then(|status| status.addresses.clone()).unwrap_or_default();
        known.extend(addresses.into_iter().map(|address| (address.address, name.clone())));
    }
    Ok(known)
}

/// What the certificate is to be good for, if it is a node's own and all of it is in order.
fn decide(asked: &Asked<'_>, said: &Said, known: &BTreeMap<String, String>) -> Option<Use> {
    let node = said.name.strip_prefix(NODE).filter(|name| !name.is_empty())?;
    let names = said.names.as_ref()?;
    let in_group = |group: &str| asked.groups.iter().any(|one| one == group);
    let is_itself = asked.user == said.name && in_group(NODES);
    let only = |usages: &[&str]| asked.usages.iter().all(|usage| usages.contains(&usage.as_str()));
    let may = |usage: &str| asked.usages.iter().any(|one| one == usage);
    if said.groups != [NODES] {
        return None;
    }
    match asked.signer {
        CLIENT_SIGNER => {
            let may_ask = is_itself || in_group(token::GROUP);
            let in_order =
                only(&["digital signature", "key encipherment", "client auth"]) && may("client auth");
            (may_ask && in_order && names.is_empty()).then_some(Use::Client)
        }
        SERVER_SIGNER => {
            // A name or address that is another node's would let this one answer in its place.
            let is_own = |name: &String| match name.parse::<std::net::IpAddr>() {
                Ok(address) => !address.is_unspecified() && known.get(name).is_none_or(|owner| owner == node),
                Err(_) => name == node,
            };
            let in_order =
                only(&["digital signature", "key encipherment", "server auth"]) && may("server auth");
            let has_own_names = !names.is_empty() && names.iter().all(is_own);
            (is_itself && in_order && has_own_names).then_some(Use::Server)
        }
        _ => None,
    }
}

async fn approve(client: &Client, object: &Object, now: i64) -> Result<Object, Status> {
    let mut document = object.to_value()?;
    let condition = json!({
        "type": "Approved",
        "status": "True",
        "reason": "NodeJoins",
        "message": "This node asks in its own name.",
        "lastUpdateTime": Timestamp::from_secs(now).to_rfc3339(),
    });
    let condition = machinery::json::parse(condition.to_string().as_bytes()).map_err(Status::internal)?;
    document.at_mut(&["status", "conditions"]).make_array().push(condition);
    let call = Call::object("", &object.header().name).subresource("approval");
    let body = Write::Update(machinery::json::to_string(&document).into());
    client.write(resources::CERTIFICATE_SIGNING_REQUESTS, call, body).await
}

async fn issue(client: &Client, object: &Object, certificate: &str) -> Result<(), Status> {
    let key = Key::of(object);
    let patch = json!({"status": {"certificate": STANDARD.encode(certificate)}});
    match client.patch_status(resources::CERTIFICATE_SIGNING_REQUESTS, &key, &patch).await {
        // Somebody else has signed it meanwhile: it is as good.
        Err(status) if status.code != 409 && status.code != 422 => Err(status),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request in words: who asks (`token`, a node's name, or anybody), the signer, what the request says (name, groups,
    /// host names), and the usages.
    fn decided(who: &str, signer: &str, said: (&str, &str, &[&str]), usages: &str) -> Option<Use> {
        let (name, group, names) = said;
        let (user, groups) = match who {
            "token" => ("system:bootstrap:abcdef".to_owned(), vec![token::GROUP.to_owned()]),
            "anybody" => ("jane".to_owned(), vec!["system:authenticated".to_owned()]),
            node => (format!("{NODE}{node}"), vec![NODES.to_owned()]),
        };
        let usages: Vec<String> = usages.split(',').map(str::to_owned).collect();
        let asked = Asked { user: &user, groups: &groups, signer, usages: &usages };
        let said = Said {
            name: name.to_owned(),
            groups: group.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
            names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let known = BTreeMap::from([
            ("192.0.2.1".to_owned(), "n1".to_owned()),
            ("192.0.2.2".to_owned(), "n2".to_owned()),
        ]);
        decide(&asked, &said, &known)
    }

    const CLIENT: &str = "digital signature,client auth";
    const SERVER: &str = "digital signature,server auth";

    #[test]
    fn nodes_get_what_they_ask_for_in_their_own_name() {
        let (node, nodes) = ("system:node:n2", "system:nodes");
        for who in ["token", "n2"] {
            assert_eq!(decided(who, CLIENT_SIGNER, (node, nodes, &[]), CLIENT), Some(Use::Client), "{who}");
        }
        for names in [&["n2"][..], &["192.0.2.2", "n2"], &["192.0.2.9", "n2", "fd00::9"]] {
            assert_eq!(
                decided("n2", SERVER_SIGNER, (node, nodes, names), SERVER),
                Some(Use::Server),
                "{names:?}"
            );
        }
    }

    #[test]
    fn whatever_else_is_asked_for_is_left_alone() {
        let (node, nodes) = ("system:node:n2", "system:nodes");
        for (why, found) in [
            ("anybody", decided("anybody", CLIENT_SIGNER, (node, nodes, &[]), CLIENT)),
            ("another node", decided("n3", CLIENT_SIGNER, (node, nodes, &[]), CLIENT)),
            ("no node", decided("token", CLIENT_SIGNER, ("admin", nodes, &[]), CLIENT)),
            ("a nameless node", decided("token", CLIENT_SIGNER, ("system:node:", nodes, &[]), CLIENT)),
            (
                "more groups",
                decided("token", CLIENT_SIGNER, (node, "system:nodes,system:masters", &[]), CLIENT),
            ),
            ("other groups", decided("token", CLIENT_SIGNER, (node, "system:masters", &[]), CLIENT)),
            ("no group", decided("token", CLIENT_SIGNER, (node, "", &[]), CLIENT)),
            ("names", decided("token", CLIENT_SIGNER, (node, nodes, &["n2"]), CLIENT)),
            ("another use", decided("token", CLIENT_SIGNER, (node, nodes, &[]), "client auth,server auth")),
            ("no use", decided("token", CLIENT_SIGNER, (node, nodes, &[]), "digital signature")),
            (
                "another signer",
                decided("n2", "kubernetes.io/kube-apiserver-client", (node, nodes, &[]), CLIENT),
            ),
            ("a server by token", decided("token", SERVER_SIGNER, (node, nodes, &["n2"]), SERVER)),
            ("no name", decided("n2", SERVER_SIGNER, (node, nodes, &[]), SERVER)),
            ("another's name", decided("n2", SERVER_SIGNER, (node, nodes, &["n2", "kubernetes"]), SERVER)),
            ("another's address", decided("n2", SERVER_SIGNER, (node, nodes, &["192.0.2.1"]), SERVER)),
            ("any address", decided("n2", SERVER_SIGNER, (node, nodes, &["0.0.0.0"]), SERVER)),
            ("a client's use", decided("n2", SERVER_SIGNER, (node, nodes, &["n2"]), CLIENT)),
        ] {
            assert_eq!(found, None, "{why}");
        }
    }
}
