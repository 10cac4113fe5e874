//! One node: its network, its container runtime and its agent, put together. The machine of the server is one, and so is
//! every machine or namespace that joined; they differ in how they reach the API.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use client::{Call, SharedTransport, WatchEvent, resources};
use cri::Runtime;
use env::Env;
use ipnet::IpNet;
use network::Pods;
use network::cni::{Folders, Provider};

use super::containers::Containers;
use crate::config::{Addresses, CLUSTER_DOMAIN, Cluster, Instance, resolvers};
use crate::control::{self, Doors};
use crate::datastore::Opened;
use crate::demo::shell::TOOLS;
use crate::pki::Pair;
use crate::registries;

/// The version of Kubernetes that is spoken.
const KUBERNETES_VERSION: &str = "v1.36.2";
/// How soon a node that cannot be watched is looked at again.
const WATCH_AGAIN: Duration = Duration::from_millis(100);

/// A node as it is to be started, or taken away.
#[derive(Clone, Debug)]
pub struct NodeParts {
    /// Where everything of it is.
    pub instance: Instance,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Those of them that no link has.
    pub taken_ips: Vec<IpAddr>,
    /// The port of its own server; zero takes a free one.
    pub kubelet_port: u16,
    /// The addresses of the cluster.
    pub addresses: Addresses,
    /// The addresses of its own pods, if it is not the control plane that assigns them.
    pub pod_blocks: Vec<IpNet>,
    /// Whether it is the server's own.
    pub is_servers: bool,
    /// Whose network its pods are on instead of ours.
    pub foreign_network: Option<Folders>,
    /// The socket of the container runtime that is asked instead of ours.
    pub foreign_runtime: Option<PathBuf>,
    /// How long a shutdown of the machine is held back for its pods.
    pub shutdown: Option<kubelet::ShutdownGrace>,
    /// The file that says how registries are spoken to.
    pub registries: Option<PathBuf>,
}

/// How a node reaches the API, and shows who it is.
#[derive(Clone, Debug)]
pub struct Ways {
    /// As the node.
    pub node: SharedTransport,
    /// As its network.
    pub network: SharedTransport,
    /// What its own server shows.
    pub serving: Pair,
    /// Who vouches for those who ask it, as PEM.
    pub ca: String,
    /// The objects, if this process keeps them.
    pub objects: Option<Opened>,
}

/// The parts of a node that live as long as it does.
#[derive(Debug)]
pub struct Node {
    name: String,
    transport: SharedTransport,
    _network: Arc<network::Network>,
    _kubelet: kubelet::Kubelet,
}

impl NodeParts {
    /// The machine of the server.
    pub fn of_server(cluster: &Cluster) -> NodeParts {
        let set_aside = |ip: &&IpAddr| cluster.node_blocks.iter().any(|block| block.contains(*ip));
        NodeParts {
            instance: cluster.instance.clone(),
            name: cluster.node_name.clone(),
            ips: cluster.node_ips.clone(),
            taken_ips: cluster.node_ips.iter().filter(set_aside).copied().collect(),
            kubelet_port: 0,
            addresses: cluster.addresses.clone(),
            pod_blocks: Vec::new(),
            is_servers: true,
            foreign_network: cluster.foreign_network.clone(),
            foreign_runtime: cluster.foreign_runtime.clone(),
            shutdown: cluster.shutdown.clone(),
            registries: cluster.registries.clone(),
        }
    }

    /// Starts it.
    pub async fn start(self, ways: Ways, env: &Env) -> anyhow::Result<Node> {
        let network_config = self.network_config()?;
        let pods = network_config.pods(env.child("pod network"))?;
        let runtime = self.open_runtime(&pods, ways.objects.clone(), env).await?;
        let network = network::start(network_config, pods, ways.network.clone(), &env.child("network"))
            .context("the Service network did not start")?;
        let services = kubelet::Services { transport: ways.node.clone(), runtime };
        let kubelet = kubelet::start(self.kubelet_config(&ways), services, env.child("kubelet")).await?;
        Ok(Node { name: self.name, transport: ways.node, _network: network, _kubelet: kubelet })
    }

    /// Starts its runtime alone, with a network for pods but no Services. It runs as long as the tasks of `env`.
    pub async fn start_runtime(self, env: &Env) -> anyhow::Result<Arc<dyn Runtime>> {
        let pods = self.network_config()?.pods(env.child("pod network"))?;
        self.open_runtime(&pods, None, env).await
    }

    /// The runtime, and the doors to it.
    async fn open_runtime(
        &self,
        pods: &Pods,
        objects: Option<Opened>,
        env: &Env,
    ) -> anyhow::Result<Arc<dyn Runtime>> {
        let containers = self.containers(pods, env).await?;
        let runtime = containers.port();
        let is_ours = matches!(containers, Containers::Ours(_));
        let doors = Doors { containers: Some(containers), objects, pods: provider(pods) };
        control::serve(&self.instance.control_socket(), doors, env)?;
        if is_ours {
            kubelet::serve_cri(self.endpoint_config(), runtime.clone(), env.child("cri"))
                .await
                .context("the container runtime cannot be asked over CRI")?;
        }
        Ok(runtime)
    }

    /// What runs its containers.
    async fn containers(&self, pods: &Pods, env: &Env) -> anyhow::Result<Containers> {
        match &self.foreign_runtime {
            Some(socket) => Containers::connect(socket.clone(), &self.instance, env).await,
            None => Containers::start(self.runtime_config()?, pods, env).await,
        }
    }

    /// Ends its containers, then takes volumes and network back.
    pub async fn free(&self) -> anyhow::Result<()> {
        let env = Env::real();
        let network_config = self.network_config()?;
        let here = network_config.namespace.clone();
        let pods = network_config.pods(env.clone()).context("the pod network cannot be opened")?;
        let containers = self.containers(&pods, &env).await?;
        if self.foreign_runtime.is_some() {
            // The plugin with which it takes pods off the network may be ours, which asks here.
            let doors = Doors { containers: None, objects: None, pods: provider(&pods) };
            control::serve(&self.instance.control_socket(), doors, &env)?;
        }
        containers.teardown().await.context("not all containers could be ended")?;
        kubelet::teardown(&self.instance.kubelet_dir()).context("not all volumes could be unmounted")?;
        network::teardown(&self.instance.id, &here, &self.instance.data_dir)
            .context("not all of the network could be taken back")?;
        Ok(())
    }

    fn network_config(&self) -> anyhow::Result<network::Config> {
        Ok(network::Config {
            instance: self.instance.id.clone(),
            data_dir: self.instance.data_dir.clone(),
            namespace: network::netlink::Namespace::current()?,
            node_name: self.name.clone(),
            node_addresses: self.ips.clone(),
            taken_addresses: self.taken_ips.clone(),
            pod_blocks: self.pod_blocks.clone(),
            cluster_blocks: self.addresses.pods.clone(),
            service_blocks: self.addresses.services.clone(),
            cluster_dns: self.addresses.dns.clone(),
            makes_dns_service: self.is_servers,
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            resolvers: resolvers(),
            mtu: network::DEFAULT_MTU,
            foreign: self.foreign_network.clone(),
        })
    }

    fn runtime_config(&self) -> anyhow::Result<runtime::Config> {
        let mut config = runtime::Config::new(self.instance.runtime_dir(), self.instance.id.clone());
        config.cgroup_root = self.instance.cgroup_root();
        config.builtin_tools = TOOLS.iter().map(|tool| (*tool).to_owned()).collect();
        config.registries = registries::read(self.registries.as_deref())?;
        Ok(config)
    }

    fn endpoint_config(&self) -> kubelet::EndpointConfig {
        kubelet::EndpointConfig {
            socket: self.instance.cri_socket(),
            files: self.instance.cri_files_dir(),
            store: self.instance.runtime_dir(),
            resolv_conf: resolvers(),
        }
    }

    fn kubelet_config(&self, ways: &Ways) -> kubelet::Config {
        kubelet::Config {
            node_name: self.name.clone(),
            node_ips: self.ips.clone(),
            labels: Default::default(),
            taints: Vec::new(),
            root: self.instance.kubelet_dir(),
            manifests: Some(self.instance.data_dir.join("manifests")),
            pod_logs: self.instance.pod_logs_dir(),
            listen: (self.ips[0], self.kubelet_port).into(),
            certificate: ways.serving.certificate.clone().into_bytes(),
            key: ways.serving.key.clone().into_bytes(),
            client_ca: ways.ca.clone().into_bytes(),
            cluster_dns: self.addresses.dns.clone(),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            resolv_conf: resolvers(),
            max_pods: 250,
            cgroup_root: self.instance.cgroup_root(),
            reserved: kubelet::Reserved::default(),
            version: KUBERNETES_VERSION.to_owned(),
            allowed_unsafe_sysctls: Vec::new(),
            eviction: kubelet::Threshold::defaults(),
            shutdown: self.shutdown.clone(),
        }
    }
}

/// What gives pods of other runtimes a place on our network.
fn provider(pods: &Pods) -> Option<Provider> {
    match pods {
        Pods::Ours(pods) => Some(Provider::new(pods.clone())),
        Pods::Theirs(_) => None,
    }
}

impl Node {
    /// Waits until it says it is ready. Whoever waits for it sets the limit.
    pub async fn ready(&self, env: &Env) {
        until_ready(&self.transport, &self.name, env).await;
    }
}

/// Follows a node until it says it is ready.
pub async fn until_ready(transport: &SharedTransport, node: &str, env: &Env) {
    loop {
        match watch(transport, node).await {
            Ok(()) => return,
            Err(status) => tracing::debug!(%status, "the node cannot be watched yet"),
        }
        env.clock.sleep(WATCH_AGAIN).await;
    }
}

async fn watch(transport: &SharedTransport, node: &str) -> Result<(), machinery::Status> {
    let call = || Call::all("").with_fields(&format!("metadata.name={node}"));
    let list = transport.list(resources::NODES, call()).await?;
    if list.items.iter().any(is_ready) {
        return Ok(());
    }
    let mut watch = transport.watch(resources::NODES, call(), list.revision).await?;
    loop {
        match watch.next().await? {
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) if is_ready(&object) => {
                return Ok(());
            }
            Some(_) => {}
            None => return Err(machinery::Status::unavailable("the watch has ended")),
        }
    }
}

fn is_ready(object: &machinery::Object) -> bool {
    object.to_value().is_ok_and(|node| {
        node.at(&["status", "conditions"]).items().iter().any(|condition| {
            condition.get("type").as_str() == Some("Ready")
                && condition.get("status").as_str() == Some("True")
        })
    })
}
