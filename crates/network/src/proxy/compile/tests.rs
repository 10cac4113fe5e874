//! Where frontends lead, case by case. A case says what is there in short lines and what must come out in as short ones.

use super::*;
use crate::view::protocol;
use client::Key;

/// A Service from words: `10.96.0.1 80/TCP=web:30080 external=192.0.2.9 internal-local affinity=60 …`.
fn service(words: &str) -> Service {
    let mut service = Service { key: Key::new("ns", "svc"), ..Service::default() };
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "internal-local" => service.internal_local = true,
            "external-local" => service.external_local = true,
            "headless" => service.headless = true,
            "foreign" => service.foreign = true,
            "affinity" => service.affinity = Some(value.parse().unwrap()),
            "external" => service.external_ips.push(value.parse().unwrap()),
            "balancer" => service.balancer_ips.push(value.parse().unwrap()),
            "from" => service.source_ranges.push(value.parse().unwrap()),
            _ if name.contains('/') => {
                let (port, protocol_name) = name.split_once('/').unwrap();
                let (port_name, node_port) = value.split_once(':').unwrap_or((value, ""));
                service.ports.push(Port {
                    name: port_name.into(),
                    protocol: protocol::number(Some(protocol_name)).unwrap(),
                    port: port.parse().unwrap(),
                    node_port: node_port.parse().ok(),
                });
            }
            _ => service.cluster_ips.push(name.parse().unwrap()),
        }
    }
    service
}

/// A slice from words: `8080/TCP=web 10.1.0.1@here 10.1.0.2@there,leaving 10.1.0.3@there,zone=a`.
fn slice(words: &str) -> Slice {
    let mut slice = Slice { service: Key::new("ns", "svc"), ..Slice::default() };
    for word in words.split_whitespace() {
        if word.contains('/') {
            slice.ports.extend(service(word).ports);
            continue;
        }
        let mut parts = word.split(',');
        let (address, node) = parts.next().unwrap().split_once('@').unwrap();
        let address = Some(address.parse().unwrap());
        let mut endpoint =
            Endpoint { address, ready: true, serving: true, node: node.into(), ..Endpoint::default() };
        for part in parts {
            match part.split_once('=') {
                Some(("zone", zone)) => endpoint.zones.push(zone.into()),
                Some(("node", node)) => endpoint.nodes.push(node.into()),
                _ => match part {
                    "unready" => (endpoint.ready, endpoint.serving) = (false, false),
                    "leaving" => (endpoint.ready, endpoint.terminating) = (false, true),
                    "gone" => {
                        (endpoint.ready, endpoint.serving, endpoint.terminating) = (false, false, true);
                    }
                    other => panic!("{other}"),
                },
            }
        }
        slice.endpoints.push(endpoint);
    }
    slice
}

/// The frontends as lines, sorted: `10.96.0.1:80/6 > 10.1.0.1:8080 10.1.0.2:8080`.
fn lines(frontends: &Frontends) -> Vec<String> {
    let mut lines: Vec<String> = frontends
        .iter()
        .map(|(frontend, target)| {
            let address = frontend.address.map_or_else(
                || if frontend.v6 { "node6".to_owned() } else { "node".to_owned() },
                |address| address.to_string(),
            );
            let to = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let target = match target {
                Target::Reject => "reject".to_owned(),
                Target::Drop => "drop".to_owned(),
                Target::Balance(balance) => {
                    let mut text = to(&balance.backends);
                    if let Some(local) = &balance.local {
                        text.push_str(&format!(" here[{}]", to(local)));
                    }
                    match balance.masquerade {
                        Masquerade::Never => text.push_str(" as-is"),
                        Masquerade::Outsiders => {}
                        Masquerade::Always => text.push_str(" masquerade"),
                    }
                    if let Some(secs) = balance.affinity {
                        text.push_str(&format!(" keep {secs}"));
                    }
                    if let Some(sources) = &balance.sources {
                        let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
                        text.push_str(&format!(" from[{}]", sources.join(" ")));
                    }
                    text
                }
            };
            format!("{address}:{}/{} > {target}", frontend.port, frontend.protocol)
        })
        .collect();
    lines.sort();
    lines
}

fn check(title: &str, service_words: &str, slices: &[&str], expected: &[&str]) {
    let slices: Vec<Slice> = slices.iter().map(|words| slice(words)).collect();
    let node = Node { name: "here".into(), zone: "a".into(), ..Node::default() };
    let own = ["10.96.0.10".parse().unwrap()];
    let found = compile(&service(service_words), &slices.iter().collect::<Vec<_>>(), &node, &own);
    assert_eq!(lines(&found), expected, "{title}");
}

const WEB: &str = "10.96.0.1 80/TCP=web";

#[test]
fn endpoints_are_found_by_the_name_and_protocol_of_the_port() {
    check(
        "one port",
        WEB,
        &["8080/TCP=web 10.1.0.2@there 10.1.0.1@here"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080 10.1.0.2:8080"],
    );
    check("another name", WEB, &["8080/TCP=other 10.1.0.1@here"], &["10.96.0.1:80/6 > reject"]);
    check("another protocol", WEB, &["8080/UDP=web 10.1.0.1@here"], &["10.96.0.1:80/6 > reject"]);
    check("no name", "10.96.0.1 80/TCP", &["8080/TCP 10.1.0.1@here"], &["10.96.0.1:80/6 > 10.1.0.1:8080"]);
    check(
        "one number, two protocols",
        "10.96.0.1 53/TCP=t:30053 53/UDP=u:30053",
        &["5353/TCP=t 5353/UDP=u 10.1.0.1@here"],
        &[
            "10.96.0.1:53/17 > 10.1.0.1:5353",
            "10.96.0.1:53/6 > 10.1.0.1:5353",
            "node:30053/17 > 10.1.0.1:5353 masquerade",
            "node:30053/6 > 10.1.0.1:5353 masquerade",
        ],
    );
    check(
        "a port that is named differently in two slices has both numbers",
        WEB,
        &["8080/TCP=web 10.1.0.1@here", "9090/TCP=web 10.1.0.2@here"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080 10.1.0.2:9090"],
    );
}

#[test]
fn an_endpoint_in_several_slices_counts_once_and_as_its_readiest() {
    let expected = &["10.96.0.1:80/6 > 10.1.0.1:8080"];
    for slices in [
        ["8080/TCP=web 10.1.0.1@here", "8080/TCP=web 10.1.0.1@here"],
        ["8080/TCP=web 10.1.0.1@here,leaving", "8080/TCP=web 10.1.0.1@here"],
        ["8080/TCP=web 10.1.0.1@here", "8080/TCP=web 10.1.0.1@here,unready"],
    ] {
        check("duplicates", WEB, &slices, expected);
    }
}

#[test]
fn without_ready_endpoints_those_on_their_way_out_serve() {
    let ready = "10.96.0.1:80/6 > 10.1.0.1:8080";
    check("ready before leaving", WEB, &["8080/TCP=web 10.1.0.1@here 10.1.0.2@here,leaving"], &[ready]);
    check(
        "leaving before nothing",
        WEB,
        &["8080/TCP=web 10.1.0.1@here,leaving 10.1.0.2@here,gone"],
        &[ready],
    );
    check("gone", WEB, &["8080/TCP=web 10.1.0.1@here,gone"], &["10.96.0.1:80/6 > reject"]);
    check("unready", WEB, &["8080/TCP=web 10.1.0.1@here,unready"], &["10.96.0.1:80/6 > reject"]);
    check("none", WEB, &[], &["10.96.0.1:80/6 > reject"]);
}

#[test]
fn the_internal_policy_keeps_traffic_on_the_node() {
    let local = "10.96.0.1 80/TCP=web:30080 internal-local";
    check(
        "here and there",
        local,
        &["8080/TCP=web 10.1.0.1@here 10.1.0.2@there"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080", "node:30080/6 > 10.1.0.1:8080 10.1.0.2:8080 masquerade"],
    );
    check(
        "only there",
        local,
        &["8080/TCP=web 10.1.0.2@there"],
        &["10.96.0.1:80/6 > drop", "node:30080/6 > 10.1.0.2:8080 masquerade"],
    );
    check("nowhere", local, &[], &["10.96.0.1:80/6 > reject", "node:30080/6 > reject"]);
    check(
        "leaving here, ready there",
        local,
        &["8080/TCP=web 10.1.0.1@here,leaving 10.1.0.2@there"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080", "node:30080/6 > 10.1.0.2:8080 masquerade"],
    );
}

#[test]
fn the_external_policy_gives_outsiders_only_this_node() {
    let local = "10.96.0.1 80/TCP=web:30080 external-local balancer=192.0.2.80";
    check(
        "here and there",
        local,
        &["8080/TCP=web 10.1.0.1@here 10.1.0.2@there"],
        &[
            "10.96.0.1:80/6 > 10.1.0.1:8080 10.1.0.2:8080",
            "192.0.2.80:80/6 > 10.1.0.1:8080 10.1.0.2:8080 here[10.1.0.1:8080] masquerade",
            "node:30080/6 > 10.1.0.1:8080 10.1.0.2:8080 here[10.1.0.1:8080] masquerade",
        ],
    );
    check(
        "only there",
        local,
        &["8080/TCP=web 10.1.0.2@there"],
        &[
            "10.96.0.1:80/6 > 10.1.0.2:8080",
            "192.0.2.80:80/6 > 10.1.0.2:8080 here[] masquerade",
            "node:30080/6 > 10.1.0.2:8080 here[] masquerade",
        ],
    );
    check(
        "leaving here, ready there",
        local,
        &["8080/TCP=web 10.1.0.1@here,leaving 10.1.0.2@there"],
        &[
            "10.96.0.1:80/6 > 10.1.0.2:8080",
            "192.0.2.80:80/6 > 10.1.0.2:8080 here[10.1.0.1:8080] masquerade",
            "node:30080/6 > 10.1.0.2:8080 here[10.1.0.1:8080] masquerade",
        ],
    );
}

#[test]
fn addresses_outside_lead_in() {
    check(
        "external",
        "10.96.0.1 80/TCP=web external=198.51.100.7",
        &["8080/TCP=web 10.1.0.1@here"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080", "198.51.100.7:80/6 > 10.1.0.1:8080 masquerade"],
    );
    check(
        "a balancer for some",
        "10.96.0.1 80/TCP=web balancer=198.51.100.7 from=203.0.113.0/24 from=2001:db8::/32",
        &["8080/TCP=web 10.1.0.1@here"],
        &[
            "10.96.0.1:80/6 > 10.1.0.1:8080",
            "198.51.100.7:80/6 > 10.1.0.1:8080 masquerade from[203.0.113.0/24]",
        ],
    );
}

#[test]
fn families_are_kept_apart() {
    let dual = "10.96.0.1 fd00::1 80/TCP=web:30080";
    check(
        "both",
        dual,
        &["8080/TCP=web 10.1.0.1@here", "8080/TCP=web fd00:1::1@here"],
        &[
            "10.96.0.1:80/6 > 10.1.0.1:8080",
            "fd00::1:80/6 > [fd00:1::1]:8080",
            "node6:30080/6 > [fd00:1::1]:8080 masquerade",
            "node:30080/6 > 10.1.0.1:8080 masquerade",
        ],
    );
    check(
        "one has none",
        dual,
        &["8080/TCP=web 10.1.0.1@here"],
        &[
            "10.96.0.1:80/6 > 10.1.0.1:8080",
            "fd00::1:80/6 > reject",
            "node6:30080/6 > reject",
            "node:30080/6 > 10.1.0.1:8080 masquerade",
        ],
    );
    check(
        "single",
        "fd00::1 80/TCP=web external=192.0.2.1",
        &["8080/TCP=web fd00:1::1@here"],
        &["fd00::1:80/6 > [fd00:1::1]:8080"],
    );
}

#[test]
fn advice_is_followed_if_all_give_it_and_some_is_for_us() {
    let here = "10.96.0.1:80/6 > 10.1.0.1:8080";
    let both = "10.96.0.1:80/6 > 10.1.0.1:8080 10.1.0.2:8080";
    for (title, endpoints, expected) in [
        ("zones", "10.1.0.1@x,zone=a 10.1.0.2@y,zone=b", here),
        ("two zones", "10.1.0.1@x,zone=a 10.1.0.2@y,zone=b,zone=a", both),
        ("one without", "10.1.0.1@x,zone=a 10.1.0.2@y", both),
        ("none for us", "10.1.0.1@x,zone=b 10.1.0.2@y,zone=c", both),
        ("nodes", "10.1.0.1@here,node=here,zone=b 10.1.0.2@y,node=y,zone=a", here),
        ("no node, so zones", "10.1.0.1@x,node=x,zone=a 10.1.0.2@y,node=y,zone=b", here),
        ("unready ones do not count", "10.1.0.1@x,zone=a 10.1.0.2@y,zone=b 10.1.0.3@z,unready", here),
    ] {
        check(title, WEB, &[&format!("8080/TCP=web {endpoints}")], &[expected]);
    }
}

#[test]
fn some_services_are_not_ours() {
    for words in ["headless 80/TCP=web", "10.96.0.1 80/TCP=web foreign"] {
        check(words, words, &["8080/TCP=web 10.1.0.1@here"], &[]);
    }
    check(
        "our own address, but not its node port",
        "10.96.0.10 53/UDP=dns:30053",
        &["53/UDP=dns 10.1.0.1@here"],
        &["node:30053/17 > 10.1.0.1:53 masquerade"],
    );
}

#[test]
fn clients_keep_their_endpoint_everywhere() {
    check(
        "affinity",
        "10.96.0.1 80/TCP=web:30080 affinity=60",
        &["8080/TCP=web 10.1.0.1@here"],
        &["10.96.0.1:80/6 > 10.1.0.1:8080 keep 60", "node:30080/6 > 10.1.0.1:8080 masquerade keep 60"],
    );
}

#[test]
fn health_checks_count_ready_endpoints_of_this_node() {
    let slices = [
        slice("8080/TCP=web 10.1.0.1@here 10.1.0.2@there 10.1.0.3@here,unready"),
        slice("9/TCP 10.1.0.1@here"),
    ];
    let node = Node { name: "here".into(), ..Node::default() };
    assert_eq!(local_endpoints(&slices.iter().collect::<Vec<_>>(), &node), 1);
}
