//! Two nodes: pods, Services and node ports across the tunnel between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use network::netlink::Links;
use network::podnet::PodNet;
use serde_json::json;

use crate::api::Api;
use crate::bench::{IMPATIENCE, Machine, PATIENCE, ask_tcp, ask_udp, ip, pod, serve_tcp, serve_udp, wire};
use crate::cluster::{until, until_true};

/// A node of a cluster of several.
struct Node {
    machine: Machine,
    net: Arc<PodNet>,
    env: Env,
}

impl Node {
    fn new(number: u8, api: &Arc<Api>, machine: Machine) -> Node {
        let mut config = machine.network_config();
        config.node_name = format!("n{number}");
        config.node_addresses = vec![ip(&format!("203.0.113.{number}"))];
        // The blocks come from the API.
        config.pod_blocks = vec![];
        let env = Env::real();
        let pods = config.pods(env.clone()).unwrap();
        let network::Pods::Ours(net) = pods.clone() else { unreachable!("no plugins are configured") };
        network::start(config, pods, api.clone(), &env).unwrap();
        api.put("nodes", node_object(number));
        Node { machine, net, env }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        network::teardown(&self.machine.instance, &self.machine.namespace, &self.machine.directory).unwrap();
    }
}

fn node_object(number: u8) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("n{number}"), "uid": format!("n{number}")},
        "spec": {"podCIDR": format!("10.99.{number}.0/24"), "podCIDRs": [format!("10.99.{number}.0/24")]},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("203.0.113.{number}")}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_two_nodes_reach_each_other_and_services_of_both() {
    let api = Arc::new(Api::default());
    api.pods(&["here", "there"]);
    let (first, second) = (Machine::new(), Machine::new());
    wire((&first.namespace, "between", "203.0.113.1"), (&second.namespace, "between", "203.0.113.2"));
    let (one, two) = (Node::new(1, &api, first), Node::new(2, &api, second));
    let (here, there) = (pod(&one.net, "here", vec![]).await, pod(&two.net, "there", vec![]).await);
    assert!(here.address().to_string().starts_with("10.99.1."), "{}", here.address());
    assert!(there.address().to_string().starts_with("10.99.2."), "{}", there.address());
    for pod in [&here, &there] {
        serve_tcp(&pod.namespace, SocketAddr::new(pod.address(), 8080), &pod.sandbox);
        serve_udp(&pod.namespace, SocketAddr::new(pod.address(), 8080), &pod.sandbox);
    }
    let at = SocketAddr::new(there.address(), 8080);
    until(|| ask_tcp(&here.namespace, at, IMPATIENCE), Result::is_ok).await;
    let from_here = format!("there {}", here.address());
    assert_eq!(
        ask_tcp(&here.namespace, at, PATIENCE),
        Ok(from_here.clone()),
        "the pod's own address is seen"
    );
    assert_eq!(ask_udp(&here.namespace, at, PATIENCE), Ok(from_here));
    assert!(ask_tcp(&one.machine.namespace, at, PATIENCE).is_ok(), "a node reaches the other's pods");

    let ports = json!([{"name": "web", "port": 80, "nodePort": 30080}]);
    api.service("web", json!({"clusterIP": "10.96.3.3", "type": "NodePort", "ports": ports}));
    api.endpoints("web", &[(there.address(), "n2")], ("web", "TCP", 8080));
    for (from, to) in [
        (&here.namespace, "10.96.3.3:80"),
        (&there.namespace, "10.96.3.3:80"),
        (&one.machine.namespace, "10.96.3.3:80"),
        (&one.machine.namespace, "127.0.0.1:30080"),
        (&one.machine.namespace, "203.0.113.2:30080"),
        (&here.namespace, "203.0.113.1:30080"),
        (&here.namespace, "203.0.113.2:30080"),
        (&two.machine.namespace, "203.0.113.1:30080"),
        (&one.machine.world, "192.0.2.1:30080"),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let answer = until(|| ask_tcp(from, to, IMPATIENCE), Result::is_ok).await;
        assert!(answer.starts_with("there "), "{to}: {answer}");
    }

    api.remove("nodes", "", "n2");
    let tunnel = || {
        let all = Links::of(&one.machine.namespace).unwrap().list().unwrap();
        all.iter().any(|link| link.kind == "vxlan")
    };
    until_true("the last way is gone, and with it the tunnel", || !tunnel()).await;
    api.put("nodes", node_object(2));
    until(|| ask_tcp(&here.namespace, at, IMPATIENCE), Result::is_ok).await;
    for node in [&one, &two] {
        assert_eq!(node.env.tasks.stop(Duration::from_secs(5)).await, 0);
    }
}
