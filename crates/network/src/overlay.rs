//! How pods of one node reach pods of another: a VXLAN whose every entry is written down, so that nothing is ever
//! learned, flooded or asked for.
//!
//! A node's end of the tunnel has an Ethernet address made of the node's own, so that others know it without being told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use client::Cache;
use env::Env;
use ipnet::IpNet;
use tokio::sync::Notify;

use crate::names;
use crate::netlink::link::{Mac, Scope, Vxlan};
use crate::netlink::neighbour::Neighbour;
use crate::netlink::route::Route;
use crate::netlink::{Error, Links, Namespace, settings};
use crate::view::Node;

/// The UDP port of the tunnel: what Linux used before a port was assigned, and cluster networks use still.
const PORT: u16 = 8472;
/// How long a failed change waits.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// What the tunnel has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells apart several instances on one machine.
    pub instance: String,
    /// The node's network namespace.
    pub namespace: Namespace,
    /// The node's name.
    pub node_name: String,
    /// The address other nodes send to.
    pub node_address: Ipv4Addr,
    /// The node's blocks of pod addresses, if they were configured and do not come from its Node.
    pub pod_blocks: Vec<IpNet>,
    /// The number of the network, the same on all nodes of a cluster.
    pub vni: u32,
    /// The largest packet.
    pub mtu: u32,
}

/// What the kernel is to know of the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The addresses of this node's own end.
    pub own: BTreeSet<IpNet>,
    /// Blocks of addresses, and the address that stands for the node that has them.
    pub routes: BTreeSet<(IpNet, IpAddr)>,
    /// Who has the address that stands for a node.
    pub neighbours: BTreeSet<(IpAddr, Mac)>,
    /// Which node has an end of the tunnel.
    pub ends: BTreeSet<(IpAddr, Mac)>,
}

/// Works out what the kernel is to know. A node's block is routed to the block's own first address, which no pod has.
pub fn plan(own_name: &str, own_blocks: &[IpNet], nodes: &[Node]) -> Plan {
    let mut plan = Plan::default();
    let mut taken: BTreeSet<IpNet> = own_blocks.iter().map(IpNet::trunc).collect();
    plan.own = own_blocks.iter().map(|block| IpNet::from(block.network())).collect();
    for node in nodes.iter().filter(|node| node.name != own_name) {
        let Some(IpAddr::V4(address)) = node.addresses.iter().find(|address| address.is_ipv4()) else {
            continue;
        };
        let mut reached = false;
        for block in node.pod_blocks.iter().map(IpNet::trunc) {
            // A block that two nodes claim stays with the first: half its pods unreachable, not all of both in turn.
            if taken.insert(block) {
                plan.routes.insert((block, block.network()));
                plan.neighbours.insert((block.network(), mac(*address)));
                reached = true;
            }
        }
        if reached {
            plan.ends.insert((IpAddr::V4(*address), mac(*address)));
        }
    }
    plan
}

/// The number of a cluster's network: made of its blocks, so that all nodes find the same without being told.
pub fn vni(blocks: &[IpNet]) -> u32 {
    let text: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    // Zero is not a network.
    (names::hash(text.join(",")) as u32 & 0x00ff_ffff).max(1)
}

fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x5a, a, b, c, d]
}

/// Makes the kernel know what the plan says, and nothing else about this tunnel. Without other nodes there is none.
pub fn apply(config: &Config, links: &mut Links, plan: &Plan) -> Result<(), Error> {
    let name = names::tunnel(&config.instance);
    let present = links.by_name(&name)?;
    if plan.routes.is_empty() {
        return if present.is_some() { links.remove(&name) } else { Ok(()) };
    }
    let fits = present.as_ref().is_some_and(|link| {
        link.vni == Some(config.vni)
            && link.vxlan_local == Some(IpAddr::V4(config.node_address))
            && link.mtu == config.mtu
    });
    if !fits {
        links.remove(&name)?;
        links.add_vxlan(&Vxlan {
            name: &name,
            mac: mac(config.node_address),
            vni: config.vni,
            port: PORT,
            local: config.node_address,
            mtu: config.mtu,
        })?;
        let of = |setting: &str| format!("net/ipv4/conf/{name}/{setting}");
        // Answers to the loopback of the node may come back through it (node ports on 127.0.0.1), and other nodes may
        // speak from their own address.
        let (localnet, filter) = (of("route_localnet"), of("rp_filter"));
        settings::write(&config.namespace, &[(&localnet, "1"), (&filter, "2")])?;
    }
    let link =
        links.by_name(&name)?.ok_or_else(|| Error::Malformed(format!("the link {name} is missing")))?.index;
    links.set_up(link)?;
    for address in &plan.own {
        links.add_address(link, *address, Scope::Global)?;
    }
    for (address, mac) in &plan.ends {
        links.set_forwarding(&Neighbour { link, address: *address, mac: *mac })?;
    }
    for (address, mac) in &plan.neighbours {
        links.set_neighbour(&Neighbour { link, address: *address, mac: *mac })?;
    }
    for (destination, gateway) in &plan.routes {
        let gateway = Some(*gateway);
        links.set_route(&Route { destination: *destination, link, gateway, source: None })?;
    }
    sweep(links, link, plan)
}

/// Forgets what the plan no longer says.
fn sweep(links: &mut Links, link: u32, plan: &Plan) -> Result<(), Error> {
    for route in links.our_routes()?.into_iter().filter(|route| route.link == link) {
        let known = route.gateway.is_some_and(|gateway| plan.routes.contains(&(route.destination, gateway)));
        if !known {
            links.remove_route(&route)?;
        }
    }
    for neighbour in links.neighbours(link)? {
        if !plan.neighbours.contains(&(neighbour.address, neighbour.mac)) {
            links.remove_neighbour(&neighbour)?;
        }
    }
    for end in links.forwarding(link)? {
        if !plan.ends.contains(&(end.address, end.mac)) {
            links.remove_forwarding(&end)?;
        }
    }
    for (_, address) in links.addresses()?.into_iter().filter(|(index, _)| *index == link) {
        let link_local = matches!(address.addr(), IpAddr::V6(address) if address.is_unicast_link_local());
        if !link_local && !plan.own.contains(&address) {
            links.remove_address(link, address)?;
        }
    }
    Ok(())
}

/// Follows the cluster's nodes until the tasks of `env` stop.
pub async fn run(config: Config, nodes: Cache<Node>, env: Env) {
    let changed = Arc::new(Notify::new());
    let notify = changed.clone();
    nodes.subscribe(move |_| notify.notify_one());
    nodes.synced().await;
    let mut applied: Option<Plan> = None;
    loop {
        let all: Vec<Node> = nodes.list().iter().map(|entry| entry.facts.clone()).collect();
        let own = all.iter().find(|node| node.name == config.node_name.as_str());
        let assigned = own.map(|node| node.pod_blocks.clone()).unwrap_or_default();
        let own_blocks = if config.pod_blocks.is_empty() { &assigned } else { &config.pod_blocks };
        let wanted = plan(&config.node_name, own_blocks, &all);
        if applied.as_ref() != Some(&wanted) {
            let (work, next) = (config.clone(), wanted.clone());
            let result = env.tasks.blocking(move || {
                let mut links = Links::of(&work.namespace)?;
                apply(&work, &mut links, &next)
            });
            match result.await {
                Some(Ok(())) => applied = Some(wanted),
                Some(Err(error)) => {
                    tracing::warn!(%error, "the ways to other nodes could not be changed");
                    env.clock.sleep(RETRY).await;
                    continue;
                }
                None => return,
            }
        }
        changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str, blocks: &[&str]) -> Node {
        Node {
            name: name.into(),
            addresses: vec![address.parse().unwrap()],
            pod_blocks: blocks.iter().map(|block| block.parse().unwrap()).collect(),
            ..Node::default()
        }
    }

    #[test]
    fn each_other_node_has_a_route_a_neighbour_and_an_end() {
        let nodes = [
            node("one", "192.0.2.1", &["10.1.1.0/24"]),
            node("two", "192.0.2.2", &["10.1.2.0/24", "fd00:2::/64"]),
            node("new", "192.0.2.3", &[]),
        ];
        let plan = plan("one", &["10.1.1.0/24".parse().unwrap()], &nodes);
        let routes: Vec<String> =
            plan.routes.iter().map(|(block, via)| format!("{block} via {via}")).collect();
        assert_eq!(routes, ["10.1.2.0/24 via 10.1.2.0", "fd00:2::/64 via fd00:2::"]);
        assert_eq!(plan.neighbours.len(), 2);
        assert_eq!(plan.ends, BTreeSet::from([("192.0.2.2".parse().unwrap(), [0x0a, 0x5a, 192, 0, 2, 2])]));
        assert_eq!(plan.own, BTreeSet::from(["10.1.1.0/32".parse().unwrap()]));
    }

    #[test]
    fn a_block_two_nodes_claim_stays_with_the_first() {
        let nodes = [
            node("one", "192.0.2.1", &["10.1.1.0/24"]),
            node("thief", "192.0.2.2", &["10.1.1.0/24"]),
            node("two", "192.0.2.3", &["10.1.3.0/24"]),
            node("two-again", "192.0.2.4", &["10.1.3.0/24"]),
        ];
        let plan = plan("one", &["10.1.1.0/24".parse().unwrap()], &nodes);
        assert_eq!(plan.routes.len(), 1);
        assert_eq!(
            plan.ends.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>(),
            ["192.0.2.3"]
        );
    }

    #[test]
    fn all_nodes_find_the_same_number() {
        let blocks = ["10.1.0.0/16".parse().unwrap(), "10.96.0.0/16".parse().unwrap()];
        assert_eq!(vni(&blocks), vni(&blocks));
        assert!(vni(&blocks) < 1 << 24);
        assert_ne!(vni(&blocks), vni(&blocks[..1]));
    }
}
