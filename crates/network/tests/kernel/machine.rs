//! A node in a namespace of its machine: how it, the machine, the machine's pods and the world reach each other.

use std::net::{IpAddr, SocketAddr};

use env::Env;
use ipnet::IpNet;
use network::host;
use network::machine::{self, Guest};
use network::netlink::link::Scope;
use network::netlink::{Links, Namespace};
use network::podnet::PodNet;

use crate::bench::{IMPATIENCE, Machine, NODE, PATIENCE, WORLD, ask_tcp, ip, pod, serve_tcp};
use crate::cluster::until;

const OWN6: &str = "fd00:5::1";

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A namespace that is cabled to the machine as a node.
fn guest(machine: &Machine, addresses: &[IpAddr]) -> Namespace {
    let namespace = Namespace::create().unwrap();
    let guest = Guest {
        instance: "guest",
        name: "n2",
        namespace: &namespace,
        addresses,
        machine_addresses: &[ip(NODE), ip(OWN6)],
    };
    machine::attach(&machine.namespace, &guest).unwrap();
    machine::attach(&machine.namespace, &guest).unwrap();
    let inside = nets(&["10.99.0.0/16", "fd00:99::/56"]);
    let nodes = nets(&["198.18.9.0/24", "fd1c:9::/64"]);
    machine::let_out(&machine.namespace, &machine.instance, &nodes, &inside).unwrap();
    namespace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_machine_is_reached_in_both_families_and_goes_out_as_the_machine() {
    let machine = Machine::new();
    let mut links = Links::of(&machine.namespace).unwrap();
    let uplink = links.by_name("uplink").unwrap().unwrap().index;
    links.add_address(uplink, "fd00:5::1/64".parse().unwrap(), Scope::Global).unwrap();
    // Addresses that the machine only answers for: nobody may be spoken to from them.
    let wanted = host::Wanted {
        addresses: &[ip("10.96.0.10"), ip("fd00:107::a")],
        service_blocks: &[],
        node_addresses: &[ip(NODE), ip(OWN6)],
    };
    host::prepare(&machine.namespace, &machine.directory.join("network"), &wanted).unwrap();
    let addresses = [ip("198.18.9.2"), ip("fd1c:9::2")];
    let guest = guest(&machine, &addresses);
    let mut config = machine.config();
    config.node_addresses = vec![ip(NODE), ip(OWN6)];
    config.pod_blocks = nets(&["10.99.1.0/24", "fd00:99:0:1::/64"]);
    config.cluster_blocks = nets(&["10.99.0.0/16", "fd00:99::/56"]);
    let net = PodNet::new(config, Env::real()).unwrap();
    let client = pod(&net, "client", vec![]).await;

    for (address, source) in addresses.iter().zip([NODE, OWN6]) {
        let at = SocketAddr::new(*address, 9000);
        serve_tcp(&guest, at, "guest");
        for from in [&client.namespace, &machine.namespace] {
            let answer = until(|| ask_tcp(from, at, IMPATIENCE), Result::is_ok).await;
            assert_eq!(answer, format!("guest {source}"));
        }
    }
    for (place, at, name, seen) in [
        (&machine.world, WORLD, "world", NODE),
        (&machine.namespace, NODE, "machine", "198.18.9.2"),
        (&machine.namespace, OWN6, "machine", "fd1c:9::2"),
    ] {
        let at = SocketAddr::new(ip(at), 9001);
        serve_tcp(place, at, name);
        assert_eq!(ask_tcp(&guest, at, PATIENCE), Ok(format!("{name} {seen}")));
    }
    machine::detach(&machine.namespace, "guest").unwrap();
    let at = SocketAddr::new(addresses[0], 9000);
    assert!(ask_tcp(&machine.namespace, at, IMPATIENCE).is_err());
    network::teardown(&machine.instance, &machine.namespace, &machine.directory).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_was_taken_down_and_up_again_is_mended_and_one_that_is_down_stays_so() {
    let machine = Machine::new();
    let addresses = [ip("198.18.9.2"), ip("fd1c:9::2")];
    let namespace = guest(&machine, &addresses);
    let cable = Guest {
        instance: "guest",
        name: "n2",
        namespace: &namespace,
        addresses: &addresses,
        machine_addresses: &[ip(NODE), ip(OWN6)],
    };
    let at = SocketAddr::new(addresses[0], 9000);
    serve_tcp(&namespace, at, "guest");
    assert!(ask_tcp(&machine.namespace, at, PATIENCE).is_ok());
    assert!(!machine::mend(&machine.namespace, &cable).unwrap(), "nothing is broken");

    let name = network::names::link("guest", "machine");
    let mut links = Links::of(&machine.namespace).unwrap();
    let link = links.by_name(&name).unwrap().unwrap().index;
    links.set_down(link).unwrap();
    assert!(!machine::mend(&machine.namespace, &cable).unwrap());
    assert!(!links.by_name(&name).unwrap().unwrap().up, "whoever took it down puts it up");
    links.set_up(link).unwrap();
    let mend = || match machine::mend(&machine.namespace, &cable).unwrap() {
        true => Ok(String::new()),
        false => Err("not ready".to_owned()),
    };
    until(mend, Result::is_ok).await;
    until(|| ask_tcp(&machine.namespace, at, IMPATIENCE), Result::is_ok).await;
    network::teardown(&machine.instance, &machine.namespace, &machine.directory).unwrap();
}
