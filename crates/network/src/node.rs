//! One node's network as a whole: what is started, in which order, and what it takes to end it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use client::{Cache, Key, SharedTransport, resources};
use env::Env;
use ipnet::IpNet;
use tokio::sync::Notify;

use crate::cni::{Folders, Plugins};
use crate::dns;
use crate::feed::Feed;
use crate::host;
use crate::netlink::{Error, Namespace};
use crate::overlay;
use crate::podnet::{self, PodNet};
use crate::policy;
use crate::proxy::install::Blocks;
use crate::proxy::{self, Proxy};
use crate::view;

/// The largest packet of pods if nothing says otherwise: an Ethernet frame less what VXLAN adds.
pub const DEFAULT_MTU: u32 = 1450;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// What a node's network has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells apart several instances on one machine: part of the names of links and tables.
    pub instance: String,
    /// Everything it keeps lies below `network` in this directory.
    pub data_dir: PathBuf,
    /// The node's network namespace: [`Namespace::current`], for a node that is the machine itself.
    pub namespace: Namespace,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses.
    pub node_addresses: Vec<IpAddr>,
    /// Those of them that no link has: the node takes them for itself.
    pub taken_addresses: Vec<IpAddr>,
    /// The blocks the node's pods get addresses from; empty if the control plane assigns them (`spec.podCIDRs`).
    pub pod_blocks: Vec<IpNet>,
    /// The blocks of all pods of the cluster.
    pub cluster_blocks: Vec<IpNet>,
    /// The blocks Services get addresses from.
    pub service_blocks: Vec<IpNet>,
    /// The addresses at which names are looked up.
    pub cluster_dns: Vec<IpAddr>,
    /// Whether this node makes the Service that names those addresses: one of the cluster does.
    pub makes_dns_service: bool,
    /// The domain of the cluster's names: `cluster.local`.
    pub cluster_domain: String,
    /// The file that names the resolvers of the machine, which are asked for names that are not the cluster's:
    /// `/etc/resolv.conf`.
    pub resolvers: PathBuf,
    /// The largest packet of pods.
    pub mtu: u32,
    /// Whose network pods are on instead of ours.
    pub foreign: Option<Folders>,
}

/// Who gives pods their networks.
#[derive(Clone, Debug)]
pub enum Pods {
    /// We do.
    Ours(Arc<PodNet>),
    /// Plugins do: pods' ways, and what may speak to what, are theirs too.
    Theirs(Arc<Plugins>),
}

impl Pods {
    /// What the container runtime asks for networks.
    pub fn port(&self) -> Arc<dyn cri::PodNetwork> {
        match self {
            Pods::Ours(pods) => pods.clone(),
            Pods::Theirs(plugins) => plugins.clone(),
        }
    }
}

impl Config {
    fn directory(&self) -> PathBuf {
        self.data_dir.join("network")
    }

    /// Opens the pod network, which the container runtime needs before there is an API to ask.
    pub fn pods(&self, env: Env) -> Result<Pods, Error> {
        let directory = self.directory();
        if let Some(folders) = &self.foreign {
            let plugins = Plugins::new(folders.clone(), &directory, self.namespace.clone(), env);
            return plugins
                .map(Pods::Theirs)
                .map_err(|source| Error::io(format!("using {}", directory.display()), source));
        }
        let config = podnet::Config {
            instance: self.instance.clone(),
            state_dir: directory,
            namespace: self.namespace.clone(),
            node_addresses: self.node_addresses.clone(),
            pod_blocks: self.pod_blocks.clone(),
            cluster_blocks: self.cluster_blocks.clone(),
            mtu: self.mtu,
        };
        PodNet::new(config, env).map(Pods::Ours)
    }
}

/// A node's network, running.
#[derive(Debug)]
pub struct Network {
    feed: Feed,
}

impl Network {
    /// Resolves once everything the API knew at the start is known here.
    pub async fn synced(&self) {
        self.feed.synced().await;
    }
}

/// Starts what follows the API: Services, names, and the node's own blocks. Ends with the tasks of `env`; what the kernel
/// was told stays in force.
pub fn start(
    config: Config,
    pods: Pods,
    transport: SharedTransport,
    env: &Env,
) -> Result<Arc<Network>, Error> {
    let wanted = host::Wanted {
        addresses: &[&config.cluster_dns[..], &config.taken_addresses].concat(),
        service_blocks: &config.service_blocks,
        node_addresses: &config.node_addresses,
    };
    host::prepare(&config.namespace, &config.directory(), &wanted)?;
    let proxy = Proxy::new(proxy::Config {
        instance: config.instance.clone(),
        namespace: config.namespace.clone(),
        blocks: Blocks { services: config.service_blocks.clone(), pods: config.cluster_blocks.clone() },
        own_addresses: config.cluster_dns.clone(),
    })?;
    let feed = Feed::start(transport.clone(), env);
    let nodes: Cache<view::Node> = Cache::of(resources::NODES).start(transport.clone(), env);
    if let Pods::Ours(pod_net) = &pods {
        follow_own_node(&config, &nodes, pod_net);
        start_tunnel(&config, &nodes, env);
        pod_net.set_admission(start_policies(&config, transport.clone(), env)?);
    }
    let (key, name) = (Key::new("", &config.node_name), config.node_name.clone());
    let node_changed = Arc::new(Notify::new());
    let (changed, own) = (node_changed.clone(), key.clone());
    nodes.subscribe(move |change| {
        if *change.key == own {
            changed.notify_one();
        }
    });
    let this_node = move || match nodes.get(&key) {
        Some(entry) => entry.facts.clone(),
        None => view::Node { name: name.as_str().into(), ..view::Node::default() },
    };
    let serve = proxy::run(proxy, feed.clone(), this_node, node_changed, env.child("proxy"));
    env.tasks.spawn("service proxy", serve);
    if !config.cluster_dns.is_empty() {
        let dns = dns::Config {
            namespace: config.namespace.clone(),
            addresses: config.cluster_dns.clone(),
            port: DNS_PORT,
            domain: config.cluster_domain.clone(),
            resolvers: config.resolvers.clone(),
        };
        dns::start(&dns, feed.clone(), &env.child("dns"))?;
        if config.makes_dns_service {
            let service =
                dns::service::ensure(transport, config.cluster_dns.clone(), env.child("dns service"));
            env.tasks.spawn("the DNS Service", service);
        }
    }
    Ok(Arc::new(Network { feed }))
}

/// Enforces the policies of our pod network.
fn start_policies(
    config: &Config,
    transport: SharedTransport,
    env: &Env,
) -> Result<policy::Admission, Error> {
    let policies = policy::Config {
        instance: config.instance.clone(),
        namespace: config.namespace.clone(),
        node_name: config.node_name.clone(),
        dns: config.cluster_dns.clone(),
    };
    policy::start(policies, transport, &env.child("policies"))
}

/// Keeps the ways to other nodes, if this one has an address that tunnels can use.
fn start_tunnel(config: &Config, nodes: &Cache<view::Node>, env: &Env) {
    let own_v4 = config.node_addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    if let Some(node_address) = own_v4 {
        let tunnel = overlay::Config {
            instance: config.instance.clone(),
            namespace: config.namespace.clone(),
            node_name: config.node_name.clone(),
            node_address,
            pod_blocks: config.pod_blocks.clone(),
            vni: overlay::vni(&[&config.cluster_blocks[..], &config.service_blocks].concat()),
            mtu: config.mtu,
        };
        env.tasks.spawn("ways to other nodes", overlay::run(tunnel, nodes.clone(), env.child("overlay")));
    }
}

/// Tells the pod network the node's blocks as soon as they are assigned, unless they were configured.
fn follow_own_node(config: &Config, nodes: &Cache<view::Node>, pod_net: &Arc<PodNet>) {
    if !config.pod_blocks.is_empty() {
        return;
    }
    let (name, pod_net) = (config.node_name.clone(), pod_net.clone());
    nodes.subscribe(move |change| {
        let Some(entry) = change.new.filter(|entry| entry.facts.name == name.as_str()) else { return };
        if !entry.facts.pod_blocks.is_empty()
            && let Err(error) = pod_net.set_blocks(entry.facts.pod_blocks.clone())
        {
            tracing::error!(%error, "the node's blocks of pod addresses could not be saved");
        }
    });
}

/// Takes back everything an instance put on a node: for the end of a cluster, not of a process. Its sandboxes must be
/// gone.
pub fn teardown(instance: &str, namespace: &Namespace, data_dir: &std::path::Path) -> Result<(), Error> {
    host::teardown(instance, namespace, &data_dir.join("network"))
}
