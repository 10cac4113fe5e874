//! Packets in a small cluster of two nodes, and what is said of them.

use ipnet::IpNet;
use machinery::selector::LabelSelector;
use smol_str::SmolStr;

use super::*;
use crate::policy::view::{Namespace, Peer, Pod, Policy, Ports, Rule};
use crate::view::{Endpoint, Port};
use client::Key;
use world::Host;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(number: u16, node_port: Option<u16>) -> Port {
    Port { name: SmolStr::new("web"), protocol: protocol::TCP, port: number, node_port }
}

fn pod(name: &str, node: &str, address: Option<&str>) -> Pod {
    Pod {
        key: Key::new("default", name),
        uid: SmolStr::new(name),
        node: SmolStr::new(node),
        addresses: address.map(ip).into_iter().collect(),
        labels: vec![(SmolStr::new("app"), SmolStr::new(name))],
        ports: vec![],
    }
}

fn host(name: &str, address: &str, block: &str, ready: bool) -> Host {
    let facts = Node {
        name: SmolStr::new(name),
        zone: SmolStr::default(),
        pod_blocks: vec![block.parse().unwrap()],
        addresses: vec![ip(address)],
    };
    Host { facts, ready }
}

fn service(name: &str, address: &str) -> Service {
    Service {
        key: Key::new("default", name),
        cluster_ips: vec![ip(address)],
        ports: vec![port(80, None)],
        ..Service::default()
    }
}

fn slice(service: &str, endpoints: &[(&str, &str)]) -> Slice {
    let endpoints = endpoints.iter().map(|(address, node)| Endpoint {
        address: Some(ip(address)),
        ready: true,
        serving: true,
        node: SmolStr::new(node),
        ..Endpoint::default()
    });
    Slice {
        service: Key::new("default", service),
        ports: vec![port(8080, None)],
        endpoints: endpoints.collect(),
    }
}

fn labelled(app: &str) -> LabelSelector {
    LabelSelector::parse(&format!("app={app}")).unwrap()
}

fn policy(name: &str, subject: &str, ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> Policy {
    Policy { key: Key::new("default", name), subjects: labelled(subject), ingress, egress }
}

/// `web-1` on n1 and `web-2` on n2 behind Service `web`; `client` on n1; n3 is not ready and has `far`.
fn world() -> World {
    let mut node_port = service("open", "10.96.0.21");
    node_port.ports = vec![port(80, Some(30080))];
    let mut local = service("local", "10.96.0.22");
    (local.internal_local, local.external_local) = (true, true);
    local.ports = vec![port(80, Some(30081))];
    let mut alias = service("alias", "10.96.0.23");
    (alias.cluster_ips, alias.external_name) = (vec![], Some("example.org".to_owned()));
    let mut headless = service("headless", "10.96.0.24");
    (headless.cluster_ips, headless.headless) = (vec![], true);
    let block = |text: &str| text.parse::<IpNet>().unwrap();
    World {
        services: vec![
            service("web", "10.96.0.20"),
            service("empty", "10.96.0.25"),
            service("gone", "10.96.0.26"),
            node_port,
            local,
            alias,
            headless,
        ],
        slices: vec![
            slice("web", &[("10.244.0.11", "n1"), ("10.244.1.12", "n2")]),
            slice("open", &[("10.244.1.12", "n2")]),
            slice("local", &[("10.244.1.12", "n2")]),
            slice("headless", &[("10.244.0.11", "n1")]),
            slice("gone", &[("10.244.2.14", "n3")]),
        ],
        pods: vec![
            pod("web-1", "n1", Some("10.244.0.11")),
            pod("web-2", "n2", Some("10.244.1.12")),
            pod("client", "n1", Some("10.244.0.13")),
            pod("far", "n3", Some("10.244.2.14")),
            pod("on-node", "n1", None),
        ],
        policies: vec![],
        namespaces: vec![Namespace { name: SmolStr::new("default"), labels: vec![] }],
        nodes: vec![
            host("n1", "192.0.2.1", "10.244.0.0/24", true),
            host("n2", "192.0.2.2", "10.244.1.0/24", true),
            host("n3", "192.0.2.3", "10.244.2.0/24", false),
        ],
        service_blocks: vec![block("10.96.0.0/16")],
        dns: vec![ip("10.96.0.10")],
        domain: "cluster.local".to_owned(),
    }
}

fn ask(world: &World, from: &str, to: &str) -> Result<Trace, Unclear> {
    let (from, to) = (from.to_owned(), to.to_owned());
    trace(world, &Question { from, namespace: "default".to_owned(), to, protocol: protocol::TCP })
}

/// Asks, and checks how it ends and that each part is said.
fn check(world: &World, from: &str, to: &str, fate: Fate, said: &[&str]) {
    let trace = ask(world, from, to).unwrap();
    let text = trace.to_string();
    assert_eq!(trace.fate, fate, "{from} to {to}:\n{text}");
    for part in said {
        assert!(text.contains(part), "{from} to {to}: no {part:?} in\n{text}");
    }
}

#[test]
fn names_services_endpoints_and_nodes_are_told_in_the_order_of_the_way() {
    let world = world();
    let text = ask(&world, "client", "web:80").unwrap().to_string();
    let wanted = "\
from      pod default/client at 10.244.0.13 on node n1
name      web.default.svc.cluster.local is Service default/web: 10.96.0.20
service   10.96.0.20 is Service default/web port 80/TCP
service   it chooses one of 2 endpoints at random
endpoint  10.244.0.11:8080
egress    no policy is about the egress of pod default/client
route     stays on node n1
ingress   no policy is about the ingress of pod default/web-1
pod       default/web-1 gets it on port 8080/TCP, if it listens there
endpoint  10.244.1.12:8080
egress    no policy is about the egress of pod default/client
route     from n1 to node n2 at 192.0.2.2
ingress   no policy is about the ingress of pod default/web-2
pod       default/web-2 gets it on port 8080/TCP, if it listens there
so        it arrives
";
    assert_eq!(text, wanted);
}

#[test]
fn every_kind_of_destination_has_its_end() {
    let world = world();
    let cases: [(&str, &str, Fate, &[&str]); 20] = [
        ("client", "10.244.1.12:8080", Fate::Arrives, &["default/web-2 gets it"]),
        ("default/client", "web.default.svc.cluster.local:80", Fate::Arrives, &["10.96.0.20"]),
        ("client", "empty:80", Fate::Refused, &["it has no ready endpoint"]),
        ("client", "web:81", Fate::Refused, &["has no port 81/TCP; it has 80/TCP"]),
        ("client", "10.96.9.9:80", Fate::Lost, &["no Service has it"]),
        ("client", "gone:80", Fate::Lost, &["node n3 is not ready"]),
        ("client", "10.96.0.10:53", Fate::Arrives, &["answers names"]),
        ("client", "10.96.0.10:54", Fate::Refused, &["port 53 and no other"]),
        ("client", "local:80", Fate::Lost, &["node n1 has no endpoint"]),
        ("web-2", "local:80", Fate::Arrives, &["a pod always reaches itself"]),
        ("client", "headless:8080", Fate::Arrives, &["headless, with 1 endpoints", "default/web-1 gets it"]),
        ("client", "alias:80", Fate::Leaves, &["another name for example.org"]),
        ("client", "example.org:443", Fate::Leaves, &["the node's resolvers are asked"]),
        ("client", "203.0.113.9:443", Fate::Leaves, &["outside the cluster", "under the node's own address"]),
        ("client", "10.244.0.99:80", Fate::Lost, &["no pod has it"]),
        ("client", "192.0.2.2:22", Fate::Arrives, &["is node n2 itself"]),
        ("on-node", "10.244.0.11:8080", Fate::Arrives, &["a node always reaches its own pods"]),
        ("203.0.113.9", "192.0.2.1:30080", Fate::Arrives, &["sees the address of node n1"]),
        ("203.0.113.9", "192.0.2.1:30081", Fate::Lost, &["externalTrafficPolicy is Local"]),
        ("203.0.113.9", "192.0.2.2:30081", Fate::Arrives, &["stays on node n2"]),
    ];
    for (from, to, fate, said) in cases {
        check(&world, from, to, fate, said);
    }
}

#[test]
fn policies_of_both_sides_decide_and_are_named() {
    let mut world = world();
    let from_client = || Rule {
        peers: Some(vec![Peer::Pods(None, labelled("client"))]),
        ports: Some(vec![Ports::Range(protocol::TCP, 8080, 8080)]),
    };
    world.policies = vec![policy("closed", "web-1", Some(vec![]), None)];
    check(
        &world,
        "client",
        "web:80",
        Fate::Depends,
        &["default/closed isolates pod default/web-1", "web-2 gets it"],
    );
    check(&world, "client", "10.244.0.11:8080", Fate::Lost, &["nothing lets 10.244.0.13 pass"]);
    check(&world, "web-1", "10.244.0.11:8080", Fate::Arrives, &["a pod always reaches itself"]);

    world.policies.push(policy("open", "web-1", Some(vec![from_client()]), None));
    check(&world, "client", "10.244.0.11:8080", Fate::Arrives, &["default/open lets it pass"]);
    check(&world, "client", "10.244.0.11:8081", Fate::Lost, &["default/closed, default/open isolates"]);
    check(&world, "web-2", "10.244.0.11:8080", Fate::Lost, &["nothing lets 10.244.1.12 pass"]);

    world.policies = vec![policy("mute", "client", None, Some(vec![]))];
    check(&world, "client", "web:80", Fate::Lost, &["egress    NetworkPolicy default/mute isolates"]);
    check(&world, "client", "10.96.0.10:53", Fate::Arrives, &["policies do not matter"]);
}

#[test]
fn what_makes_no_sense_is_said() {
    let world = world();
    let cases = [
        ("nobody", "web:80", Unclear::NoSource("default/nobody".into())),
        ("client", "web", Unclear::NoPort("web".into())),
        ("client", "web:http", Unclear::NoDestination("web:http".into())),
        ("client", ":80", Unclear::NoDestination(":80".into())),
        ("client", "a..b:80", Unclear::NoDestination("a..b:80".into())),
    ];
    for (from, to, wanted) in cases {
        assert_eq!(ask(&world, from, to), Err(wanted), "{from} to {to}");
    }
    check(&world, "client", "[fd00::1]:80", Fate::Refused, &["no address of IPv6"]);
    check(&world, "client", "nothing.cluster.local.:80", Fate::Refused, &["is no name of the cluster"]);
}
