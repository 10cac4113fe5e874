//! What the flags mean: every path, address and name of an instance, worked out once.

pub mod addresses;
mod instance;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::ensure;
use ipnet::{IpNet, Ipv4Net};
use network::cni::Folders;
use serde::{Deserialize, Serialize};

use crate::args::Up;
use crate::datastore::Datastore;
use crate::settings::Settings;
use crate::{registries, security};
pub use instance::Instance;

/// The addresses of Services where none are chosen: kubeadm's habit.
const SERVICES: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16));
/// The addresses of pods where none are chosen: flannel's habit.
const PODS: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16));
/// More nodes than this do not fit on one machine, nor into the addresses set aside for them.
const LOCAL_NODES_MAX: u8 = 100;

/// The domain of Service names.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// The addresses of a cluster: what every node of it has to know. Of each list, the first is of the cluster's main
/// family, and there is at most one of each family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Those of Services.
    pub services: Vec<IpNet>,
    /// Those of pods.
    pub pods: Vec<IpNet>,
    /// Where names are looked up: the tenth of the Services'.
    pub dns: Vec<IpAddr>,
}

/// A cluster as it is to be started.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where.
    pub instance: Instance,
    /// The API server's address.
    pub listen: SocketAddr,
    /// How clients on this machine reach the API server.
    pub server_url: String,
    /// The name of the machine's own node.
    pub node_name: String,
    /// The machine's addresses as a node, one of each family at most.
    pub node_ips: Vec<IpAddr>,
    /// How many nodes this machine has, itself included.
    pub nodes: u8,
    /// Where the addresses of the others come from.
    pub node_blocks: Vec<IpNet>,
    /// The addresses of Services and pods.
    pub addresses: Addresses,
    /// The first address of the Services: the API server's own.
    pub api_service_ip: IpAddr,
    /// No controllers, no scheduler, no node.
    pub control_plane_only: bool,
    /// Pods are bound by our scheduler, and not by another.
    pub schedules: bool,
    /// Whose network pods are on instead of ours.
    pub foreign_network: Option<Folders>,
    /// The socket of the container runtime that is asked instead of ours.
    pub foreign_runtime: Option<PathBuf>,
    /// How long a shutdown of the machine is held back for its pods.
    pub shutdown: Option<kubelet::ShutdownGrace>,
    /// The file that says how registries are spoken to.
    pub registries: Option<PathBuf>,
    /// Where the objects are kept.
    pub datastore: Datastore,
    /// Who is known, what they may do, what is written down and what is sealed.
    pub security: security::Flags,
    /// Where the administrator's kubeconfig goes.
    pub kubeconfig: PathBuf,
}

/// What a cluster is made of; all else follows from it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The API server's address.
    pub listen: SocketAddr,
    /// The name of the machine's own node.
    pub node_name: String,
    /// The machine's addresses as a node; empty for the first of those set aside for the nodes of this machine.
    pub node_ips: Vec<IpAddr>,
    /// How many nodes this machine has.
    pub nodes: u8,
    /// Where the addresses of the others come from.
    pub node_blocks: Vec<IpNet>,
    /// The addresses of Services.
    pub service_cidrs: Vec<IpNet>,
    /// The addresses of pods.
    pub pod_cidrs: Vec<IpNet>,
    /// Where the administrator's kubeconfig goes.
    pub kubeconfig: PathBuf,
    /// No controllers, no scheduler, no node.
    pub control_plane_only: bool,
    /// Pods are bound by our scheduler, and not by another.
    pub schedules: bool,
    /// Whose network pods are on instead of ours.
    pub foreign_network: Option<Folders>,
    /// The socket of the container runtime that is asked instead of ours.
    pub foreign_runtime: Option<PathBuf>,
    /// How long a shutdown of the machine is held back for its pods.
    pub shutdown: Option<kubelet::ShutdownGrace>,
    /// The file that says how registries are spoken to.
    pub registries: Option<PathBuf>,
    /// Where the objects are kept.
    pub datastore: Datastore,
    /// Who is known, what they may do, what is written down and what is sealed.
    pub security: security::Flags,
}

impl Cluster {
    /// From the flags of `up`; what they leave open is as it was at the last start, and at the first as the machine
    /// has it.
    pub fn from_flags(flags: &Up) -> anyhow::Result<Cluster> {
        let instance = Instance::in_dir(&flags.instance.data_dir)?;
        let before = match Settings::read(&instance)? {
            Some(settings) => Some(settings.cluster(&instance)?),
            None => None,
        };
        let before = before.as_ref();
        let kubeconfig = match &flags.kubeconfig {
            Some(file) => std::path::absolute(file)?,
            None => instance.kubeconfig(),
        };
        let choose = |given: &[IpNet], before: Option<&Vec<IpNet>>, usual: IpNet| match (given, before) {
            ([], None) => vec![usual],
            ([], Some(before)) => before.clone(),
            (given, _) => given.to_vec(),
        };
        let pod_cidrs = choose(&flags.pod_cidr, before.map(|before| &before.addresses.pods), PODS);
        let nodes = flags.nodes.or(before.map(|before| before.nodes)).unwrap_or(1);
        let node_blocks = match before.map(|before| before.node_blocks.clone()).filter(|all| !all.is_empty())
        {
            _ if !flags.node_cidr.is_empty() => flags.node_cidr.clone(),
            Some(blocks) => blocks,
            None if nodes > 1 => addresses::free_blocks(&instance.id, &pod_cidrs)?,
            None => Vec::new(),
        };
        let parts = Parts {
            listen: SocketAddr::new(flags.bind, flags.port),
            node_name: match (&flags.node_name, before) {
                (None, Some(before)) => before.node_name.clone(),
                (named, _) => node_name(named.as_deref())?,
            },
            node_ips: if flags.node_ip.is_empty() {
                addresses::of_machine(&pod_cidrs, nodes > 1)
            } else {
                flags.node_ip.clone()
            },
            nodes,
            node_blocks,
            service_cidrs: choose(
                &flags.service_cidr,
                before.map(|before| &before.addresses.services),
                SERVICES,
            ),
            pod_cidrs,
            kubeconfig,
            control_plane_only: flags.control_plane_only,
            schedules: !flags.disable_scheduler,
            foreign_network: flags.cni.folders(before.and_then(|before| before.foreign_network.as_ref()))?,
            foreign_runtime: flags
                .runtime
                .socket(before.and_then(|before| before.foreign_runtime.as_ref()))?,
            shutdown: flags.shutdown.grace()?,
            registries: registries::file(flags.runtime.registries.registries.as_deref(), &instance)
                .map(std::path::absolute)
                .transpose()?,
            datastore: Datastore::from_flags(&flags.datastore, before.map(|before| &before.datastore))?,
            security: flags.security.absolute()?,
        };
        Cluster::new(instance, parts)
    }

    /// Works out what follows from the parts.
    pub fn new(instance: Instance, parts: Parts) -> anyhow::Result<Cluster> {
        check(&parts)?;
        let bound = parts.listen.ip();
        let host = if bound.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound };
        let dns = parts.service_cidrs.iter().map(|block| addresses::nth(block, 10));
        let node_ips = match parts.node_ips.is_empty() {
            true => {
                parts.node_blocks.iter().map(|block| addresses::nth(block, 1)).collect::<Result<_, _>>()?
            }
            false => parts.node_ips,
        };
        Ok(Cluster {
            listen: parts.listen,
            server_url: format!("https://{}", SocketAddr::new(host, parts.listen.port())),
            api_service_ip: addresses::nth(&parts.service_cidrs[0], 1)?,
            node_name: parts.node_name,
            node_ips,
            nodes: parts.nodes,
            node_blocks: parts.node_blocks,
            addresses: Addresses {
                dns: dns.collect::<Result<_, _>>()?,
                services: parts.service_cidrs,
                pods: parts.pod_cidrs,
            },
            control_plane_only: parts.control_plane_only,
            schedules: parts.schedules,
            foreign_network: parts.foreign_network,
            foreign_runtime: parts.foreign_runtime,
            shutdown: parts.shutdown,
            registries: parts.registries,
            datastore: parts.datastore,
            security: parts.security,
            kubeconfig: parts.kubeconfig,
            instance,
        })
    }

    /// How nodes elsewhere, and pods, reach the API server.
    pub fn node_server_url(&self) -> String {
        format!("https://{}", SocketAddr::new(self.node_ips[0], self.listen.port()))
    }
}

fn check(parts: &Parts) -> anyhow::Result<()> {
    for (flag, blocks) in [("--service-cidr", &parts.service_cidrs), ("--pod-cidr", &parts.pod_cidrs)] {
        let one_of_each = matches!(blocks.as_slice(), [_])
            || matches!(blocks.as_slice(), [one, other] if one.addr().is_ipv4() != other.addr().is_ipv4());
        ensure!(one_of_each, "{flag} takes one range of addresses, or one of IPv4 and one of IPv6");
    }
    let families = |blocks: &[IpNet]| blocks.iter().map(|one| one.addr().is_ipv4()).collect::<Vec<_>>();
    ensure!(
        families(&parts.service_cidrs) == families(&parts.pod_cidrs),
        "Services and pods must have the same address families in the same order: --service-cidr and --pod-cidr differ"
    );
    for services in &parts.service_cidrs {
        if let Some(pods) = parts.pod_cidrs.iter().find(|pods| addresses::overlap(services, pods)) {
            anyhow::bail!(
                "Services ({services}) and pods ({pods}) must not share addresses; choose another --service-cidr or \
                 --pod-cidr"
            );
        }
    }
    ensure!(
        (1..=LOCAL_NODES_MAX).contains(&parts.nodes),
        "--nodes {}: one machine can be 1 to {LOCAL_NODES_MAX} nodes",
        parts.nodes
    );
    ensure!(
        parts.nodes == 1 || parts.foreign_network.is_none(),
        "--cni-conf-dir: plugins know of one node on a machine, so --nodes {} needs our own network",
        parts.nodes
    );
    ensure!(
        parts.nodes == 1 || parts.foreign_runtime.is_none(),
        "--container-runtime-endpoint: a container runtime runs the pods of one node, so --nodes {} needs our own runtime",
        parts.nodes
    );
    ensure!(
        parts.foreign_network.is_none() || parts.foreign_runtime.is_none(),
        "--cni-conf-dir is about the pods of our own runtime; that of --container-runtime-endpoint has a CNI configuration \
         of its own"
    );
    ensure!(
        parts.nodes == 1 || !parts.listen.ip().is_loopback(),
        "nodes beside the machine itself cannot reach an API server on {}; choose another --bind",
        parts.listen.ip()
    );
    ensure!(
        parts.nodes == 1 || !parts.control_plane_only,
        "--control-plane-only has no nodes; leave --nodes out"
    );
    Ok(())
}

/// The given name, or the host's as a node may be called: lower case, as DNS has it.
pub fn node_name(given: Option<&str>) -> anyhow::Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase(),
    };
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    let ends = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    ensure!(
        name.chars().all(fits) && name.starts_with(ends) && name.ends_with(ends) && name.len() <= 253,
        "{name:?} cannot be a node's name (lower case letters, digits, '-' and '.'); give one with --node-name"
    );
    Ok(name)
}

/// The file that names the resolvers of the machine. Where the usual one names only a resolver on the loopback, which no
/// namespace but the machine's own has, the service behind that resolver tells whom it asks itself.
pub fn resolvers() -> PathBuf {
    const USUAL: &str = "/etc/resolv.conf";
    const BEHIND: &str = "/run/systemd/resolve/resolv.conf";
    let text = std::fs::read_to_string(USUAL).unwrap_or_default();
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let only_loopback = servers
        .all(|server| server.trim().parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
        && !text.is_empty();
    let chosen = if only_loopback && std::path::Path::new(BEHIND).exists() { BEHIND } else { USUAL };
    PathBuf::from(chosen)
}

#[cfg(test)]
mod tests;
