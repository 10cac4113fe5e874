//! The rooms put together: what a cluster is made of, in the order it is started, and its end.
//!
//! Read top to bottom: the store, the API server on it, then everything that meets through the API: controllers,
//! scheduler, and the node with its network and runtime. What fails to start says why, and everything before it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use apiserver::{Identity, KeyPair, Server};
use client::election::Leadership;
use client::{Call, Client, Key, SharedTransport, WatchEvent, resources};
use env::Env;
use ipnet::IpNet;
use store::Store;

use crate::config::{CLUSTER_DOMAIN, Cluster};
use crate::control::{self, Doors};
use crate::datastore::Opened;
use crate::demo::shell::TOOLS;
use crate::pki::Pki;

/// The version of Kubernetes that is spoken.
const KUBERNETES_VERSION: &str = "v1.36.2";
/// Bits of the addresses that stay the same within a node's block of pod addresses.
const NODE_BLOCK_BITS: u8 = 24;

/// The lease of those who run the controllers and the scheduler, named as upstream's.
const LEASE: &str = "kube-controller-manager";
/// How soon a node that cannot be watched is looked at again.
const WATCH_AGAIN: Duration = Duration::from_millis(100);

/// A cluster that runs.
#[derive(Debug)]
pub struct Running {
    env: Env,
    server: Arc<Server>,
    leadership: Option<Leadership>,
    node: Option<Node>,
}

/// The parts of the node that live as long as it does.
#[derive(Debug)]
struct Node {
    name: String,
    transport: SharedTransport,
    _network: Arc<network::Network>,
    _kubelet: kubelet::Kubelet,
}

impl Running {
    /// Starts everything. It is begun, not yet ready, when this answers.
    pub async fn start(cluster: &Cluster, pki: &Pki, env: Env) -> anyhow::Result<Running> {
        let opened = cluster.datastore.open(&cluster.instance, &env).await?;
        let server = start_server(cluster, pki, &env, opened.store()).await?;
        if cluster.control_plane_only {
            control::serve(&cluster.instance.control_socket(), Doors { engine: None, opened }, &env)?;
            return Ok(Running { env, server, leadership: None, node: None });
        }
        let leadership = Some(start_leadership(cluster, pki, &env, &server));
        let node =
            start_node(cluster, pki, &env, (&server, opened)).await.context("the node did not start")?;
        Ok(Running { env, server, leadership, node: Some(node) })
    }

    /// Waits until the API answers and the node takes pods.
    pub async fn ready(&self) {
        self.server.ready().await;
        if let Some(node) = &self.node {
            until_node_is_ready(node, &self.env).await;
        }
    }

    /// Stops in good order: open answers get `limit` to finish. Containers and Services go on.
    pub async fn stop(self, limit: Duration) {
        if let Some(leadership) = self.leadership {
            leadership.stop().await;
        }
        self.server.shutdown();
        let left = self.env.tasks.stop(limit).await;
        if left > 0 {
            tracing::warn!(left, "some tasks did not end in time");
        }
    }
}

async fn start_server(
    cluster: &Cluster,
    pki: &Pki,
    env: &Env,
    store: Arc<dyn Store>,
) -> anyhow::Result<Arc<Server>> {
    let mut config = apiserver::Config::new(cluster.listen);
    let pair = |pair: &crate::pki::Pair| KeyPair {
        chain: pair.certificate.clone().into_bytes(),
        key: pair.key.clone().into_bytes(),
    };
    config.serving = pair(&pki.server);
    config.client_ca = pki.ca.certificate.clone().into_bytes();
    config.token_key = pki.service_accounts.clone().into_bytes();
    config.issuer = format!("https://kubernetes.default.svc.{CLUSTER_DOMAIN}");
    config.service_cidrs = vec![cluster.service_cidr];
    config.advertise = cluster.node_ip;
    config.kubelet_client = pair(&pki.kubelet_client);
    config.kubelet_ca = pki.ca.certificate.clone().into_bytes();
    match apiserver::start(config, env.child("apiserver"), store).await {
        Ok(server) => Ok(Arc::new(server)),
        Err(apiserver::StartError::Listen { address, source }) => {
            bail!("port {} cannot be used ({source}); choose another with --port", address.port())
        }
        Err(error) => Err(error).context("the API server did not start"),
    }
}

/// Controllers and scheduler run only in the process that holds the lease: of several servers on one store, in one.
fn start_leadership(cluster: &Cluster, pki: &Pki, env: &Env, server: &Arc<Server>) -> Leadership {
    let client = Client::new(server.transport(controller_manager()));
    // A process that was killed finds its lease again under this name, and need not wait for it to run out.
    let identity = format!("{}_{}", cluster.node_name, cluster.instance.id);
    let (server, root_ca) = (server.clone(), pki.ca.certificate.clone());
    Leadership::start(client, Key::new("kube-system", LEASE), identity, env, move |env| {
        start_controllers(&root_ca, &env, &server);
        let scheduler = Identity::new("system:kube-scheduler", &["system:masters"]);
        scheduler::start(server.transport(scheduler), env.child("scheduler"));
    })
}

fn controller_manager() -> Identity {
    Identity::new("system:kube-controller-manager", &["system:masters"])
}

fn start_controllers(root_ca: &str, env: &Env, server: &Arc<Server>) {
    let server = server.clone();
    let transport_for = move |name: &str| {
        let user = match name {
            "kube-controller-manager" => controller_manager(),
            account => service_account(account),
        };
        server.transport(user)
    };
    let config = controllers::Config { root_ca: root_ca.to_owned(), ..Default::default() };
    controllers::start(transport_for, config, env.child("controllers"));
}

async fn start_node(
    cluster: &Cluster,
    pki: &Pki,
    env: &Env,
    (server, opened): (&Arc<Server>, Opened),
) -> anyhow::Result<Node> {
    let user = Identity::new(&format!("system:node:{}", cluster.node_name), &["system:nodes"]);
    let transport = server.transport(user);
    let network_config = network_config(cluster)?;
    let pod_net = network_config.pod_net(env.child("pod network"))?;
    let runtime = start_runtime(cluster, env, pod_net.clone()).await?;
    let doors = Doors { engine: Some(runtime.clone()), opened };
    control::serve(&cluster.instance.control_socket(), doors, env)?;
    let proxy = server.transport(Identity::new("system:kube-proxy", &["system:masters"]));
    let network = network::start(network_config, pod_net, proxy, &env.child("network"))
        .context("the Service network did not start")?;
    let services = kubelet::Services { transport: transport.clone(), runtime };
    let kubelet = kubelet::start(kubelet_config(cluster, pki), services, env.child("kubelet")).await?;
    Ok(Node { name: cluster.node_name.clone(), transport, _network: network, _kubelet: kubelet })
}

/// A controller's own account.
fn service_account(name: &str) -> Identity {
    let groups = ["system:masters", "system:serviceaccounts", "system:serviceaccounts:kube-system"];
    Identity::new(&format!("system:serviceaccount:kube-system:{name}"), &groups)
}

/// The network of the node, which is the machine itself.
pub fn network_config(cluster: &Cluster) -> anyhow::Result<network::Config> {
    Ok(network::Config {
        instance: cluster.instance.id.clone(),
        data_dir: cluster.instance.data_dir.clone(),
        namespace: network::netlink::Namespace::current()?,
        node_name: cluster.node_name.clone(),
        node_addresses: vec![cluster.node_ip],
        pod_blocks: vec![first_block(cluster.pod_cidr)],
        cluster_blocks: vec![cluster.pod_cidr],
        service_blocks: vec![cluster.service_cidr],
        cluster_dns: vec![cluster.dns_ip],
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        resolvers: "/etc/resolv.conf".into(),
        mtu: network::DEFAULT_MTU,
    })
}

/// The pods of the first node have the first block.
fn first_block(pods: IpNet) -> IpNet {
    match pods {
        IpNet::V4(net) => {
            let bits = NODE_BLOCK_BITS.max(net.prefix_len());
            ipnet::Ipv4Net::new(net.network(), bits).map_or(pods, IpNet::V4)
        }
        IpNet::V6(net) => {
            let bits = 64.max(net.prefix_len());
            ipnet::Ipv6Net::new(net.network(), bits).map_or(pods, IpNet::V6)
        }
    }
}

async fn start_runtime(
    cluster: &Cluster,
    env: &Env,
    pods: Arc<dyn cri::PodNetwork>,
) -> anyhow::Result<Arc<runtime::Engine>> {
    runtime::Engine::start(runtime_config(cluster), pods, env.child("runtime"))
        .await
        .context("the container runtime did not start")
}

/// The runtime of the instance.
pub fn runtime_config(cluster: &Cluster) -> runtime::Config {
    let mut config = runtime::Config::new(cluster.instance.runtime_dir(), cluster.instance.id.clone());
    config.cgroup_root = cluster.instance.cgroup_root();
    config.builtin_tools = TOOLS.iter().map(|tool| (*tool).to_owned()).collect();
    config
}

fn kubelet_config(cluster: &Cluster, pki: &Pki) -> kubelet::Config {
    kubelet::Config {
        node_name: cluster.node_name.clone(),
        node_ips: vec![cluster.node_ip],
        labels: Default::default(),
        taints: Vec::new(),
        root: cluster.instance.kubelet_dir(),
        pod_logs: cluster.instance.pod_logs_dir(),
        listen: (cluster.node_ip, 0).into(),
        certificate: pki.kubelet_server.certificate.clone().into_bytes(),
        key: pki.kubelet_server.key.clone().into_bytes(),
        client_ca: pki.ca.certificate.clone().into_bytes(),
        cluster_dns: vec![cluster.dns_ip],
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        resolv_conf: "/etc/resolv.conf".into(),
        max_pods: 250,
        cgroup_root: cluster.instance.cgroup_root(),
        reserved: kubelet::Reserved::default(),
        version: KUBERNETES_VERSION.to_owned(),
        allowed_unsafe_sysctls: Vec::new(),
    }
}

/// Follows the node until it says it is ready. Whoever waits for it sets the limit.
async fn until_node_is_ready(node: &Node, env: &Env) {
    loop {
        match watch_node(node).await {
            Ok(()) => return,
            Err(status) => tracing::debug!(%status, "the node cannot be watched yet"),
        }
        env.clock.sleep(WATCH_AGAIN).await;
    }
}

async fn watch_node(node: &Node) -> Result<(), machinery::Status> {
    let call = || Call::all("").with_fields(&format!("metadata.name={}", node.name));
    let list = node.transport.list(resources::NODES, call()).await?;
    if list.items.iter().any(is_ready) {
        return Ok(());
    }
    let mut watch = node.transport.watch(resources::NODES, call(), list.revision).await?;
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
