//! A sandbox's cable: a pair of virtual links, one end in the sandbox, the other on the node, and a route per address.
//!
//! There is no bridge. The pod's only neighbour is its gateway, the same in every pod; both sides know each other's
//! Ethernet address for good, so nobody ever asks who has an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use crate::netlink::link::{Mac, Pair, Scope};
use crate::netlink::neighbour::Neighbour;
use crate::netlink::route::Route;
use crate::netlink::{Error, Links, Namespace, Result, settings};

/// The usual name of a pod's link inside it.
pub const INSIDE: &str = "eth0";
/// The gateway of every pod.
pub const GATEWAY4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The gateway of every pod with an IPv6 address.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// How often, and how long apart, a new link is looked at until it is ready: usually once or twice.
const READY_LOOKS: u32 = 500;
const READY_PAUSE: Duration = Duration::from_millis(2);

/// A cable to lay.
#[derive(Clone, Debug)]
pub struct Cable<'a> {
    /// The name of the node's end.
    pub link: &'a str,
    /// The name of the pod's end.
    pub inside: &'a str,
    /// Whose it is, for people who list links.
    pub alias: &'a str,
    /// The pod's addresses.
    pub addresses: &'a [IpAddr],
    /// The node's own addresses: it speaks to the pod from the one of the same family.
    pub node_addresses: &'a [IpAddr],
    /// The largest packet.
    pub mtu: u32,
}

/// Lays a cable between the node and the sandbox, or completes one that is there.
pub fn connect(node: &Namespace, links: &mut Links, sandbox: &Namespace, cable: &Cable<'_>) -> Result<()> {
    let mut inside = Links::of(sandbox)?;
    let (node_mac, pod_mac) = macs(cable.addresses);
    let whole = links.by_name(cable.link)?.is_some() && inside.by_name(cable.inside)?.is_some();
    if !whole {
        links.remove(cable.link)?;
        links.add_pair(&Pair {
            name: cable.link,
            mac: node_mac,
            peer_name: cable.inside,
            peer_mac: pod_mac,
            peer_namespace: sandbox,
            mtu: cable.mtu,
        })?;
    }
    let node_end = require(links, cable.link)?;
    set_up_node_end(node, cable.link)?;
    links.set_alias(node_end, cable.alias)?;
    links.set_up(node_end)?;
    connect_inside(&mut inside, cable, node_mac)?;
    let own: Vec<IpAddr> = links.addresses()?.into_iter().map(|(_, address)| address.addr()).collect();
    for address in cable.addresses {
        links.set_neighbour(&Neighbour { link: node_end, address: *address, mac: pod_mac })?;
        let same_family =
            |candidate: &&IpAddr| candidate.is_ipv4() == address.is_ipv4() && own.contains(candidate);
        let source = cable.node_addresses.iter().find(same_family).copied();
        links.set_route(&Route {
            destination: IpNet::from(*address),
            link: node_end,
            gateway: None,
            source,
        })?;
    }
    wait_until_running(links, cable.link)
}

/// Until the node's end carries packets, answers to the pod's first ones would be lost.
fn wait_until_running(links: &mut Links, name: &str) -> Result<()> {
    for _ in 0..READY_LOOKS {
        if links.by_name(name)?.is_none_or(|link| link.running) {
            return Ok(());
        }
        std::thread::sleep(READY_PAUSE);
    }
    tracing::warn!(link = name, "the link is not ready yet; the pod's first packets may be lost");
    Ok(())
}

fn connect_inside(inside: &mut Links, cable: &Cable<'_>, node_mac: Mac) -> Result<()> {
    let loopback = require(inside, "lo")?;
    inside.set_up(loopback)?;
    let link = require(inside, cable.inside)?;
    inside.set_up(link)?;
    for address in cable.addresses {
        inside.add_address(link, IpNet::from(*address), Scope::Global)?;
        let (gateway, everywhere) = match address {
            IpAddr::V4(_) => (IpAddr::V4(GATEWAY4), IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
            IpAddr::V6(_) => (IpAddr::V6(GATEWAY6), IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
        };
        let everywhere = IpNet::new(everywhere.addr(), 0)
            .map_err(|_| Error::Malformed("a prefix length of zero is always right".into()))?;
        inside.set_neighbour(&Neighbour { link, address: gateway, mac: node_mac })?;
        if gateway.is_ipv4() {
            let route = Route { destination: IpNet::from(gateway), link, gateway: None, source: None };
            inside.set_route(&route)?;
        }
        inside.set_route(&Route { destination: everywhere, link, gateway: Some(gateway), source: None })?;
    }
    Ok(())
}

/// Settings of the node's end: packets to the node's loopback may come back through it (for ports of the node on
/// 127.0.0.1; a rule stops pods from sending such packets themselves), and a pod may only speak from its own address.
fn set_up_node_end(node: &Namespace, link: &str) -> Result<()> {
    let of = |setting: &str| format!("net/ipv4/conf/{link}/{setting}");
    let (localnet, filter, forwarding) = (of("route_localnet"), of("rp_filter"), of("forwarding"));
    settings::write(node, &[(&localnet, "1"), (&filter, "1"), (&forwarding, "1")])
}

fn require(links: &mut Links, name: &str) -> Result<u32> {
    let link = links.by_name(name)?;
    link.map(|link| link.index).ok_or_else(|| Error::Malformed(format!("the link {name} is missing")))
}

/// The Ethernet addresses of the node's and the pod's end: made of the pod's first address, so that they are the same
/// after a restart and nobody else's.
pub fn macs(addresses: &[IpAddr]) -> (Mac, Mac) {
    let tail = match addresses.first() {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => {
            let octets = address.octets();
            [octets[12], octets[13], octets[14], octets[15]]
        }
        None => [0; 4],
    };
    let mac = |side| [0x0a, side, tail[0], tail[1], tail[2], tail[3]];
    (mac(0x58), mac(0x59))
}
