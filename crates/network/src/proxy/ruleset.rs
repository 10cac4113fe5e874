//! What the proxy wants the kernel to do, as data: for each address and port that clients speak to, where it leads.

use std::net::{IpAddr, SocketAddr};

/// What clients speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// The address; `None` is any address of the node (a node port).
    pub address: Option<IpAddr>,
    /// The address family.
    pub v6: bool,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// Whose source address is replaced by the node's, so that answers come back through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Masquerade {
    /// Nobody's.
    Never,
    /// That of clients that are not pods.
    Outsiders,
    /// Everybody's.
    Always,
}

/// Where a frontend leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Clients are told at once that nobody is there.
    Reject,
    /// Nothing is answered: others serve it.
    Drop,
    /// To one of several.
    Balance(Balance),
}

/// A choice of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// One of these, sorted.
    pub backends: Vec<SocketAddr>,
    /// Where clients outside the cluster are led instead: to an endpoint of this node, or (if there are none) nowhere.
    pub local: Option<Vec<SocketAddr>>,
    /// Whose source address is replaced.
    pub masquerade: Masquerade,
    /// For how many seconds a client keeps its choice.
    pub affinity: Option<u32>,
    /// Who may come; `None` is everybody.
    pub sources: Option<Vec<ipnet::IpNet>>,
}

impl Target {
    /// All endpoints it may lead to.
    pub fn backends(&self) -> impl Iterator<Item = &SocketAddr> {
        let balance = match self {
            Target::Balance(balance) => Some(balance),
            Target::Reject | Target::Drop => None,
        };
        balance.into_iter().flat_map(|balance| balance.backends.iter().chain(balance.local.iter().flatten()))
    }
}

/// How a chain of rules chooses an endpoint. All frontends that choose the same way share one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// The address family.
    pub v6: bool,
    /// Whether the frontend is a node port, and so has no address.
    pub node_port: bool,
    /// One of how many.
    pub count: u32,
    /// From which list.
    pub list: List,
    /// How many endpoints of this node clients outside the cluster choose from, if they have a list of their own.
    pub outsiders: Option<u32>,
    /// Whose source address is replaced.
    pub masquerade: Masquerade,
    /// Whether a client that has chosen keeps its choice.
    pub keeps: bool,
}

/// How long clients keep their choice. All frontends with the same time share one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keep {
    /// The address family.
    pub v6: bool,
    /// Seconds since the client last came.
    pub secs: u32,
}

impl Keep {
    /// How long a target's clients keep their choice, if they do.
    pub fn of(frontend: &Frontend, target: &Target) -> Option<Keep> {
        match target {
            Target::Balance(balance) => balance.affinity.map(|secs| Keep { v6: frontend.v6, secs }),
            Target::Reject | Target::Drop => None,
        }
    }

    /// The name of its chain.
    pub fn chain(&self) -> String {
        format!("remember{}-{}", if self.v6 { 6 } else { 4 }, self.secs)
    }
}

/// Which of a frontend's lists of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// All.
    All,
    /// Those of this node.
    Local,
}

impl List {
    /// The number of the list's first endpoint in the map of endpoints. No frontend has as many as the other list's.
    pub const fn base(self) -> u32 {
        match self {
            List::All => 0,
            List::Local => 1 << 24,
        }
    }
}

impl Pick {
    /// How a frontend's target is chosen.
    pub fn of(frontend: &Frontend, balance: &Balance) -> Pick {
        Pick {
            v6: frontend.v6,
            node_port: frontend.address.is_none(),
            count: balance.backends.len() as u32,
            list: List::All,
            outsiders: balance.local.as_ref().map(|local| local.len() as u32),
            masquerade: balance.masquerade,
            keeps: balance.affinity.is_some(),
        }
    }

    /// The name of its chain.
    pub fn chain(&self) -> String {
        let base = if self.node_port { "node-port" } else { "service" };
        let family = if self.v6 { 6 } else { 4 };
        let mut name = format!("{base}{family}-{}", self.count);
        if self.list == List::Local {
            name.push_str("-local");
        }
        if let Some(count) = self.outsiders {
            name.push_str(&format!("-outsiders-{count}"));
        }
        match self.masquerade {
            Masquerade::Never => name.push_str("-as-is"),
            Masquerade::Outsiders => {}
            Masquerade::Always => name.push_str("-masquerade"),
        }
        if self.keeps {
            name.push_str("-keep");
        }
        name
    }

    /// The chains its chain leads to: what pods, the node itself and outsiders get, where that differs.
    pub fn parts(&self) -> Option<Parts> {
        let outsiders = self.outsiders?;
        let all = Pick { outsiders: None, ..*self };
        let local = Pick { list: List::Local, count: outsiders, masquerade: Masquerade::Never, ..all };
        Some(Parts {
            pods: Pick { masquerade: Masquerade::Never, ..all },
            node: Pick { masquerade: Masquerade::Always, ..all },
            outsiders: (outsiders > 0).then_some(local),
        })
    }
}

/// What different clients of one frontend get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Pods: any endpoint.
    pub pods: Pick,
    /// The node itself: any endpoint, under the node's address.
    pub node: Pick,
    /// Others: an endpoint of this node, or nothing.
    pub outsiders: Option<Pick>,
}

impl Parts {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Pick> {
        [Some(self.pods), Some(self.node), self.outsiders].into_iter().flatten()
    }
}
