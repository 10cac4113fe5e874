//! Addresses: those the machine has, and those set aside for the nodes that live on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use network::netlink::{Links, Namespace};

/// Where the addresses of the nodes of one machine come from: a range that is set aside for machines that stand by
/// themselves (RFC 2544).
const NODES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Into how many blocks, one a cluster, it is divided.
const PARTS: u16 = 512;

/// The machine's addresses as a node: one for each family that pods have, of the interface that leads to the internet.
/// Without one it is the loopback, unless others have to reach it: then none.
pub fn of_machine(pods: &[IpNet], others_reach_it: bool) -> Vec<IpAddr> {
    let found = pods.iter().filter_map(|block| towards_the_internet(block.addr().is_ipv6()));
    let found: Vec<IpAddr> = found.collect();
    if found.is_empty() && !others_reach_it { vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] } else { found }
}

/// The addresses of a machine that joins, of which it is not known yet which families the cluster has.
pub fn of_machine_itself() -> Vec<IpAddr> {
    [false, true].into_iter().filter_map(towards_the_internet).collect()
}

/// The address of the interface that leads to the internet, without sending anything there.
fn towards_the_internet(v6: bool) -> Option<IpAddr> {
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    // Connecting a datagram socket only looks the route up. The addresses are set aside for documentation.
    let there: IpAddr = if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
    } else {
        Ipv4Addr::new(192, 0, 2, 1).into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((there, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_unspecified() && !own.is_loopback()).then_some(own)
}

/// A block for the nodes of this machine that nothing here uses yet, for each family that pods have.
pub fn free_blocks(instance: &str, pods: &[IpNet]) -> anyhow::Result<Vec<IpNet>> {
    let here = Links::of(&Namespace::current()?)?.addresses()?;
    let here: Vec<IpNet> = here.into_iter().map(|(_, address)| address).collect();
    choose(instance, pods, &here).context("no addresses are left for nodes; give some with --node-cidr")
}

/// Begins at a place that follows from the instance, so that clusters do not meet.
fn choose(instance: &str, pods: &[IpNet], here: &[IpNet]) -> Option<Vec<IpNet>> {
    let first = u16::from_str_radix(instance.get(..3)?, 16).ok()?;
    let blocks = |part: u16| -> Vec<IpNet> {
        let of_family = |pods: &IpNet| match pods {
            IpNet::V4(_) => {
                let network = u32::from(NODES) + (u32::from(part) << 8);
                IpNet::V4(Ipv4Net::new_assert(network.into(), 24))
            }
            IpNet::V6(_) => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd1c, part, 0, 0, 0, 0, 0, 0), 64)),
        };
        pods.iter().map(of_family).collect()
    };
    let is_free = |blocks: &Vec<IpNet>| {
        !blocks.iter().any(|block| here.iter().chain(pods).any(|other| overlap(block, other)))
    };
    (0..PARTS).map(|step| blocks((first % PARTS + step) % PARTS)).find(is_free)
}

/// Whether two ranges share addresses.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The nth address of a range.
pub fn nth(net: &IpNet, n: u8) -> anyhow::Result<IpAddr> {
    let address = match net {
        IpNet::V4(net) => u32::from(net.network()).checked_add(n.into()).map(|ip| IpAddr::V4(ip.into())),
        IpNet::V6(net) => u128::from(net.network()).checked_add(n.into()).map(|ip| IpAddr::V6(ip.into())),
    };
    address
        .filter(|address| net.contains(address))
        .with_context(|| format!("{net} has too few addresses; a /16 is usual, a /24 the least"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nodes_get_a_block_that_nobody_here_uses() {
        let pods = nets(&["10.244.0.0/16"]);
        assert_eq!(choose("001", &pods, &[]), Some(nets(&["198.18.1.0/24"])));
        assert_eq!(choose("001", &pods, &nets(&["198.18.1.2/32"])), Some(nets(&["198.18.2.0/24"])));
        assert_eq!(choose("1ff", &pods, &nets(&["198.19.255.1/24"])), Some(nets(&["198.18.0.0/24"])));
        assert_eq!(choose("001", &pods, &nets(&["198.18.0.0/15"])), None);
        let both = nets(&["10.244.0.0/16", "fd00:10::/56"]);
        assert_eq!(choose("002", &both, &[]), Some(nets(&["198.18.2.0/24", "fd1c:2::/64"])));
        // An instance's id has six digits.
        assert!(choose("abcdef", &pods, &[]).is_some());
    }

    #[test]
    fn addresses_are_counted_from_the_first() {
        assert_eq!(nth(&"10.96.0.0/16".parse().unwrap(), 10).unwrap().to_string(), "10.96.0.10");
        assert_eq!(nth(&"fd00::/112".parse().unwrap(), 10).unwrap().to_string(), "fd00::a");
        assert!(nth(&"10.96.0.0/30".parse().unwrap(), 10).is_err());
    }
}
