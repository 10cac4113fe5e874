//! Pods reach each other, their node and the world, and ports of the node reach them.

use std::net::SocketAddr;

use cri::{PodNetwork, PortMapping, Protocol};
use env::Env;
use network::netlink::Links;
use network::netlink::link::Scope;
use network::podnet::PodNet;

use crate::bench::{
    IMPATIENCE, Machine, NODE, PATIENCE, WORLD, ask_tcp, ask_udp, ip, pod, request, serve_tcp, serve_udp,
};

fn port(protocol: Protocol, host_port: u16, host_ip: Option<&str>) -> PortMapping {
    PortMapping { protocol, container_port: 80, host_port, host_ip: host_ip.map(ip) }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_the_node_and_the_world_reach_each_other() {
    let machine = Machine::new();
    let net = machine.podnet();
    let (one, two) = (pod(&net, "one", vec![]).await, pod(&net, "two", vec![]).await);
    let at = |address| SocketAddr::new(address, 80);
    serve_tcp(&one.namespace, at(one.address()), "one");
    serve_udp(&one.namespace, at(one.address()), "one");
    serve_tcp(&machine.namespace, at(ip(NODE)), "node");
    serve_tcp(&machine.world, at(ip(WORLD)), "world");

    let from_two = format!("one {}", two.address());
    assert_eq!(ask_tcp(&two.namespace, at(one.address()), PATIENCE), Ok(from_two.clone()));
    assert_eq!(ask_udp(&two.namespace, at(one.address()), PATIENCE), Ok(from_two));
    assert_eq!(ask_tcp(&machine.namespace, at(one.address()), PATIENCE), Ok(format!("one {NODE}")));
    assert_eq!(ask_tcp(&two.namespace, at(ip(NODE)), PATIENCE), Ok(format!("node {}", two.address())));
    assert_eq!(
        ask_tcp(&two.namespace, at(ip(WORLD)), PATIENCE),
        Ok(format!("world {NODE}")),
        "a pod speaks to the world as its node"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_the_node_lead_to_the_pod() {
    let machine = Machine::new();
    let net = machine.podnet();
    let ports = vec![
        port(Protocol::Tcp, 8080, None),
        port(Protocol::Udp, 8080, None),
        port(Protocol::Tcp, 8081, Some("127.0.0.1")),
    ];
    let web = pod(&net, "web", ports).await;
    let other = pod(&net, "other", vec![]).await;
    let inside = SocketAddr::new(web.address(), 80);
    serve_tcp(&web.namespace, inside, "web");
    serve_udp(&web.namespace, inside, "web");
    let at = |host: &str, port| SocketAddr::new(ip(host), port);

    assert_eq!(ask_tcp(&machine.world, at(NODE, 8080), PATIENCE), Ok(format!("web {WORLD}")));
    assert_eq!(ask_udp(&machine.world, at(NODE, 8080), PATIENCE), Ok(format!("web {WORLD}")));
    assert_eq!(ask_tcp(&other.namespace, at(NODE, 8080), PATIENCE), Ok(format!("web {}", other.address())));
    assert_eq!(ask_tcp(&machine.namespace, at(NODE, 8080), PATIENCE), Ok(format!("web {NODE}")));
    assert_eq!(ask_tcp(&machine.namespace, at("127.0.0.1", 8080), PATIENCE), Ok(format!("web {NODE}")));
    assert_eq!(ask_udp(&machine.namespace, at("127.0.0.1", 8080), PATIENCE), Ok(format!("web {NODE}")));
    assert_eq!(ask_tcp(&web.namespace, at(NODE, 8080), PATIENCE), Ok(format!("web {NODE}")), "hairpin");
    assert_eq!(ask_tcp(&machine.namespace, at("127.0.0.1", 8081), PATIENCE), Ok(format!("web {NODE}")));
    assert!(ask_tcp(&machine.world, at(NODE, 8081), IMPATIENCE).is_err(), "bound to the loopback only");

    net.detach(web.sandbox.clone()).await.unwrap();
    assert!(ask_tcp(&machine.world, at(NODE, 8080), IMPATIENCE).is_err());
    assert!(ask_udp(&machine.world, at(NODE, 8080), IMPATIENCE).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_node_has_one_owner() {
    let machine = Machine::new();
    let net = machine.podnet();
    let first = pod(&net, "first", vec![port(Protocol::Tcp, 8080, None)]).await;
    let namespace = network::netlink::Namespace::create().unwrap();
    let second = request(&namespace, "second", vec![port(Protocol::Tcp, 8080, None)]);
    let refused = net.attach(second.clone()).await.unwrap_err().to_string();
    assert_eq!(refused, "pod network: port 8080 of the node is taken by default/first");
    net.detach(first.sandbox).await.unwrap();
    net.attach(second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_again_it_answers_the_same_also_after_a_restart() {
    let machine = Machine::new();
    let net = machine.podnet();
    let web = pod(&net, "web", vec![port(Protocol::Tcp, 8080, None)]).await;
    let again = request(&web.namespace, "web", vec![port(Protocol::Tcp, 8080, None)]);
    assert_eq!(net.attach(again.clone()).await.unwrap(), web.addresses);
    drop(net);

    let mut config = machine.config();
    config.pod_blocks.clear();
    let net = PodNet::new(config, Env::real()).unwrap();
    assert_eq!(net.attach(again).await.unwrap(), web.addresses, "blocks and addresses are remembered");
    let next = pod(&net, "next", vec![]).await;
    assert_ne!(next.addresses, web.addresses);
    serve_tcp(&web.namespace, SocketAddr::new(web.address(), 80), "web");
    let answer = ask_tcp(&machine.world, SocketAddr::new(ip(NODE), 8080), PATIENCE);
    assert_eq!(answer, Ok(format!("web {WORLD}")), "its ports are back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_swept() {
    let machine = Machine::new();
    let net = machine.podnet();
    let kept = pod(&net, "kept", vec![]).await;
    let _lost = pod(&net, "lost", vec![]).await;
    let links = || {
        let all = Links::of(&machine.namespace).unwrap().list().unwrap();
        all.into_iter()
            .filter(|link| link.alias.starts_with("ironclad"))
            .map(|link| link.alias)
            .collect::<Vec<_>>()
    };
    assert_eq!(links().len(), 2);
    net.keep_only(vec!["kept".into()]).await.unwrap();
    assert_eq!(links(), [format!("ironclad {}: default/kept", machine.instance)]);
    net.detach(kept.sandbox.clone()).await.unwrap();
    net.detach(kept.sandbox).await.unwrap();
    assert_eq!(links(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_at_once() {
    let machine = Machine::new();
    let mut config = machine.config();
    config.pod_blocks.push("fd00:99:1::/64".parse().unwrap());
    config.cluster_blocks.push("fd00:99::/32".parse().unwrap());
    let mut links = Links::of(&machine.namespace).unwrap();
    let uplink = links.by_name("uplink").unwrap().unwrap().index;
    links.add_address(uplink, "2001:db8::1/64".parse().unwrap(), Scope::Global).unwrap();
    config.node_addresses.push(ip("2001:db8::1"));
    let net = PodNet::new(config, Env::real()).unwrap();
    let ports = vec![port(Protocol::Tcp, 8080, None)];
    let (one, two) = (pod(&net, "one", ports).await, pod(&net, "two", vec![]).await);
    let at = SocketAddr::new(one.addresses[1], 80);
    serve_tcp(&one.namespace, at, "one");
    assert_eq!(ask_tcp(&two.namespace, at, PATIENCE), Ok(format!("one {}", two.addresses[1])));
    assert_eq!(ask_tcp(&machine.namespace, at, PATIENCE), Ok("one 2001:db8::1".into()));
    let node_port = SocketAddr::new(ip("2001:db8::1"), 8080);
    assert_eq!(ask_tcp(&two.namespace, node_port, PATIENCE), Ok(format!("one {}", two.addresses[1])));
    assert_eq!(ask_tcp(&one.namespace, node_port, PATIENCE), Ok("one 2001:db8::1".into()), "hairpin");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_own_namespace_is_refused() {
    let machine = Machine::new();
    let net = machine.podnet();
    let refused = net.attach(request(&machine.namespace, "x", vec![])).await.unwrap_err();
    assert!(refused.to_string().contains("is the node's own network"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_read_well() {
    let machine = Machine::new();
    let net = machine.podnet();
    let _web = pod(&net, "web", vec![port(Protocol::Tcp, 8080, None)]).await;
    let Some(ruleset) = machine.ruleset() else { return };
    for expected in [
        "ip saddr . ip daddr @pods4 masquerade fully-random comment \"a pod that reaches itself\"",
        "elements = { tcp . 8080 : 10.99.1.1 . 80 }",
        "elements = { 10.99.0.0/16 }",
        "ip saddr @cluster4 ip daddr != @cluster4 masquerade fully-random",
    ] {
        assert!(ruleset.contains(expected), "{expected} is not in\n{ruleset}");
    }
}
