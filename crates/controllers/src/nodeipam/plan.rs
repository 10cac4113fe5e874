//! Which ranges are free.

use std::collections::BTreeSet;
use std::net::IpAddr;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use machinery::Object;
use machinery::names::parse_cidr_sloppy;
use serde_json::json;

/// How large a node's range is, as upstream's: by family.
const NODE_BITS_V4: u8 = 24;
const NODE_BITS_V6: u8 = 64;
/// More ranges than this are not looked through: no cluster has as many nodes.
const MOST_RANGES: u128 = 1 << 16;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// All nodes, and the ranges they have.
    pub nodes: Vec<(Object, Vec<String>)>,
    /// The ranges the nodes' ranges are cut out of, one for each family.
    pub whole: Vec<String>,
}

/// A range of a family, cut into ranges for nodes.
struct Pool {
    first: u128,
    count: u128,
    is_v4: bool,
}

impl Pool {
    fn of(cidr: &str) -> Option<Pool> {
        let (address, bits) = parse_cidr_sloppy(cidr)?;
        let (number, width, node_bits) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32, NODE_BITS_V4),
            IpAddr::V6(address) => (u128::from(address), 128, NODE_BITS_V6),
        };
        // A range no larger than a node's goes to one node whole.
        let node_bits = node_bits.max(bits);
        let first = number >> (width - node_bits);
        let count = (1u128 << (node_bits - bits).min(127)).min(MOST_RANGES);
        Some(Pool { first, count, is_v4: address.is_ipv4() })
    }

    fn range(&self, number: u128, bits: u8) -> String {
        if self.is_v4 {
            let address = ((self.first + number) << (32 - bits)) as u32;
            format!("{}/{bits}", std::net::Ipv4Addr::from(address))
        } else {
            let address = (self.first + number) << (128 - bits);
            format!("{}/{bits}", std::net::Ipv6Addr::from(address))
        }
    }

    fn bits(&self, cidr: &str) -> u8 {
        let whole = parse_cidr_sloppy(cidr).map_or(0, |(_, bits)| bits);
        whole.max(if self.is_v4 { NODE_BITS_V4 } else { NODE_BITS_V6 })
    }
}

/// Decides for all nodes.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let mut taken: BTreeSet<String> = view.nodes.iter().flat_map(|(_, ranges)| ranges.clone()).collect();
    let without = view.nodes.iter().filter(|(node, ranges)| ranges.is_empty() && !node.header().deleting);
    let mut ops = Vec::new();
    for (node, _) in without {
        let mut ranges = Vec::new();
        for cidr in &view.whole {
            let Some(pool) = Pool::of(cidr) else { continue };
            let bits = pool.bits(cidr);
            let free =
                (0..pool.count).map(|number| pool.range(number, bits)).find(|range| !taken.contains(range));
            ranges.extend(free);
        }
        if ranges.len() < view.whole.len() {
            let name = &node.header().name;
            let about = About { uid: name.to_string(), ..About::object(node) };
            plan.because(format!("no range of addresses is left for node {name}"));
            let text = format!("Node {name} status is now: CIDRNotAvailable");
            plan.notes.push(Note::normal(&about, "CIDRNotAvailable", text));
            continue;
        }
        taken.extend(ranges.iter().cloned());
        plan.because(format!("node {} gets {}", node.header().name, ranges.join(", ")));
        let patch = json!({ "metadata": { "uid": node.header().uid.as_str() },
            "spec": { "podCIDR": ranges[0], "podCIDRs": ranges } });
        ops.push(Op::strategic_patch(resources::NODES, &Key::of(node), &patch).tolerating(&[404]));
    }
    plan.push_together(ops);
    plan
}
