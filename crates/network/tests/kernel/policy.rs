//! Policies with real packets: between pods, to the node and the world, and from the first packet on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cri::PodNetwork;
use network::netlink::Namespace;
use serde_json::{Value, json};

use crate::bench::{
    IMPATIENCE, NODE, PATIENCE, Pod, WORLD, ask_tcp, ask_udp, ip, request, serve_tcp, serve_udp,
};
use crate::cluster::{Cluster, until};

impl Cluster {
    fn namespace(&self, name: &str, labels: Value) {
        let metadata = json!({"name": name, "uid": name, "labels": labels});
        self.api.put("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }

    fn pod_object(&self, name: &str, app: &str, address: Option<std::net::IpAddr>) {
        let addresses: Vec<Value> =
            address.iter().map(|address| json!({"ip": address.to_string()})).collect();
        self.api.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": app}},
                "spec": {"nodeName": "n1", "containers": [
                    {"name": "c", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]},
                "status": {"podIPs": addresses},
            }),
        );
    }

    /// A pod the API knows, that serves on 8080 and 8081 over TCP and UDP.
    async fn known_pod(&self, name: &str, app: &str) -> Pod {
        self.pod_object(name, app, None);
        let namespace = Namespace::create().unwrap();
        let addresses = self.net.attach(request(&namespace, name, vec![])).await.unwrap();
        self.pod_object(name, app, Some(addresses[0]));
        for port in [8080, 8081] {
            serve_tcp(&namespace, SocketAddr::new(addresses[0], port), name);
            serve_udp(&namespace, SocketAddr::new(addresses[0], port), name);
        }
        Pod { namespace, addresses, sandbox: name.to_owned() }
    }

    fn policy(&self, name: &str, spec: Value) {
        self.api.put(
            "networkpolicies",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "default", "uid": name},
                "spec": spec,
            }),
        );
    }
}

fn ok(answer: &Result<String, String>) -> bool {
    answer.is_ok()
}

fn stopped(answer: &Result<String, String>) -> bool {
    matches!(answer, Err(error) if error == "TimedOut" || error == "WouldBlock")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_in() {
    let cluster = Cluster::new().await;
    cluster.namespace("default", json!({"team": "a"}));
    let server = cluster.known_pod("server", "server").await;
    let (friend, foe) = (cluster.known_pod("friend", "friend").await, cluster.known_pod("foe", "foe").await);
    let at = |port| SocketAddr::new(server.address(), port);
    let from = |pod: &Pod, port| ask_tcp(&pod.namespace, at(port), IMPATIENCE);
    assert!(from(&foe, 8080).is_ok());

    let subjects = json!({"matchLabels": {"app": "server"}});
    cluster.policy("p", json!({"podSelector": subjects}));
    until(|| from(&foe, 8080), stopped).await;
    assert!(stopped(&from(&friend, 8080)));
    let node = ask_tcp(&cluster.machine.namespace, at(8080), PATIENCE);
    assert!(node.is_ok(), "the node's own probes pass: {node:?}");
    assert!(from(&server, 8080).is_ok(), "a pod reaches itself");

    let by_name = json!([{"port": "web"}]);
    let friends = json!([{"podSelector": {"matchLabels": {"app": "friend"}}}]);
    cluster.policy("p", json!({"podSelector": subjects, "ingress": [{"from": friends, "ports": by_name}]}));
    until(|| from(&friend, 8080), ok).await;
    assert!(stopped(&from(&friend, 8081)));
    assert!(stopped(&from(&foe, 8080)));
    assert!(stopped(&ask_udp(&friend.namespace, at(8080), IMPATIENCE)));

    // Labels change while everything runs.
    cluster.pod_object("foe", "friend", Some(foe.address()));
    until(|| from(&foe, 8080), ok).await;
    let teams = json!([{"namespaceSelector": {"matchLabels": {"team": "a"}}}]);
    let span = json!([{"port": 8080, "endPort": 8090}, {"port": 8080, "endPort": 8085, "protocol": "UDP"}]);
    cluster.policy("p", json!({"podSelector": subjects, "ingress": [{"from": teams, "ports": span}]}));
    until(|| from(&friend, 8081), ok).await;
    assert!(ask_udp(&friend.namespace, at(8080), PATIENCE).is_ok());
    cluster.namespace("default", json!({"team": "b"}));
    until(|| from(&friend, 8081), stopped).await;

    let block = json!([{"ipBlock": {"cidr": "10.99.0.0/16", "except": [format!("{}/32", foe.address())]}}]);
    cluster.policy("p", json!({"podSelector": subjects, "ingress": [{"from": block}]}));
    until(|| from(&friend, 8081), ok).await;
    assert!(stopped(&from(&foe, 8081)));
    if let Some(ruleset) = cluster.machine.ruleset() {
        assert!(ruleset.contains("chain in {"), "{ruleset}");
    }
    cluster.api.remove("networkpolicies", "default", "p");
    until(|| from(&foe, 8081), ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_they_may_go() {
    let cluster = Cluster::new().await;
    cluster.namespace("default", json!({}));
    let (client, server) =
        (cluster.known_pod("client", "client").await, cluster.known_pod("server", "server").await);
    serve_tcp(&cluster.machine.world, SocketAddr::new(ip(WORLD), 80), "world");
    serve_tcp(&cluster.machine.namespace, SocketAddr::new(ip(NODE), 80), "node");
    let to = |address, port| ask_tcp(&client.namespace, SocketAddr::new(address, port), IMPATIENCE);
    cluster.api.service("web", json!({"clusterIP": "10.96.3.3", "ports": [{"name": "web", "port": 80}]}));
    cluster.api.endpoints("web", &[(server.address(), "n1")], ("web", "TCP", 8080));
    until(|| to(ip("10.96.3.3"), 80), ok).await;

    let subjects = json!({"matchLabels": {"app": "client"}});
    cluster.policy("p", json!({"podSelector": subjects, "policyTypes": ["Egress"]}));
    until(|| to(ip("10.96.3.3"), 80), stopped).await;
    for (address, port) in [(server.address(), 8080), (ip(WORLD), 80), (ip(NODE), 80)] {
        assert!(stopped(&to(address, port)), "{address}");
    }
    let back = ask_tcp(&server.namespace, SocketAddr::new(client.address(), 8080), PATIENCE);
    assert!(back.is_ok(), "what comes in is another matter, and is answered: {back:?}");
    let names = ask_udp(&client.namespace, "10.96.0.10:53".parse().unwrap(), IMPATIENCE);
    assert!(stopped(&names), "no query, so no answer, but nothing is refused: {names:?}");

    let servers = json!([{"podSelector": {"matchLabels": {"app": "server"}}}]);
    let rules = json!([{"to": servers, "ports": [{"port": "web"}]}, {"to": [{"ipBlock": {"cidr": format!("{WORLD}/32")}}]}]);
    cluster.policy("p", json!({"podSelector": subjects, "policyTypes": ["Egress"], "egress": rules}));
    until(|| to(ip("10.96.3.3"), 80), ok).await;
    assert!(to(ip(WORLD), 80).is_ok());
    assert!(stopped(&to(server.address(), 8081)));
    assert!(stopped(&to(ip(NODE), 80)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_meets_its_policies_with_its_first_packet() {
    let cluster = Cluster::new().await;
    cluster.namespace("default", json!({}));
    let server = cluster.known_pod("server", "server").await;
    let subjects = json!({"matchLabels": {"app": "locked"}});
    cluster.policy("p", json!({"podSelector": subjects, "policyTypes": ["Egress"]}));
    let target = SocketAddr::new(server.address(), 8080);
    // The policy is in force once one pod has met it.
    let first = cluster.known_pod("first", "locked").await;
    until(|| ask_tcp(&first.namespace, target, IMPATIENCE), stopped).await;
    for number in 0..5 {
        let name = format!("pod{number}");
        let namespace = Namespace::create().unwrap();
        // It sends from before it has a network.
        let (done, leaked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sender = {
            let (namespace, done, leaked) = (namespace.clone(), done.clone(), leaked.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    if ask_udp(&namespace, target, Duration::from_millis(5)).is_ok() {
                        leaked.store(true, Ordering::SeqCst);
                    }
                }
            })
        };
        cluster.pod_object(&name, "locked", None);
        cluster.net.attach(request(&namespace, &name, vec![])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        done.store(true, Ordering::SeqCst);
        sender.join().unwrap();
        assert!(!leaked.load(Ordering::SeqCst), "a packet of {name} got through");
    }
    let unknown = Namespace::create().unwrap();
    cluster.net.attach(request(&unknown, "unknown", vec![])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_policy_meets_pods_whose_addresses_are_not_told_yet() {
    let cluster = Cluster::new().await;
    cluster.namespace("default", json!({}));
    let server = cluster.known_pod("server", "server").await;
    let target = SocketAddr::new(server.address(), 8080);
    cluster.pod_object("new", "locked", None);
    let namespace = Namespace::create().unwrap();
    cluster.net.attach(request(&namespace, "new", vec![])).await.unwrap();
    until(|| ask_tcp(&namespace, target, PATIENCE), ok).await;
    let subjects = json!({"matchLabels": {"app": "locked"}});
    cluster.policy("p", json!({"podSelector": subjects, "policyTypes": ["Egress"]}));
    until(|| ask_tcp(&namespace, target, IMPATIENCE), stopped).await;
    cluster.api.remove("networkpolicies", "default", "p");
    until(|| ask_tcp(&namespace, target, PATIENCE), ok).await;
}
