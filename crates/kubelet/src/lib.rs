//! The node agent: runs the pods that are bound to its node, tells the API how they are, and answers for them.
//!
//! A pod's worker looks at what is wanted and what there is, [`plan`]s, and executes the plan; [`status`] computes what
//! the API is told. Everything waits for events; nothing polls.

mod admission;
mod agent;
mod amounts;
mod bell;
mod config;
mod downward;
mod endpoint;
mod environment;
mod eviction;
mod files;
mod hooks;
mod http;
mod images;
mod kit;
mod launch;
mod logs;
mod manifests;
mod memory;
mod node;
mod observed;
mod observer;
mod plan;
mod pod;
mod probes;
mod publish;
mod qos;
mod resize;
mod resources;
mod security;
mod server;
mod shutdown;
mod sources;
mod status;
mod termination;
#[cfg(test)]
mod tests;
mod users;
mod volumes;
mod worker;

pub use config::{Config, Reserved, Services};
pub use endpoint::{EndpointConfig, serve_cri};
pub use eviction::{Least, Signal, Threshold};
pub use shutdown::ShutdownGrace;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::recorder::Source;
use client::{Cache, Client, Recorder};
use env::Env;

use bell::Bells;
use kit::{Kit, Machine};
use observer::Observer;
use publish::Publisher;
use sources::Sources;
use status::Place;

/// Why a node agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory could not be made.
    #[error("{} cannot be made", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The node's server cannot listen.
    #[error("the node's server cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The node's server cannot show who it is.
    #[error("the node's server cannot use its certificates: {0}")]
    Certificates(String),
    /// The machine does not say what it is.
    #[error("{path} cannot be read")]
    Machine {
        /// Where it would say so.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// A node agent that runs. It stops with the tasks of the environment it was started in; pods run on.
#[derive(Clone, Debug)]
pub struct Kubelet {
    kit: Arc<Kit>,
    address: SocketAddr,
}

/// Starts a node agent. It answers when everything is begun; the node is registered soon after.
pub async fn start(config: Config, services: Services, env: Env) -> Result<Kubelet, StartError> {
    for path in [config.root.join("pods"), config.pod_logs.clone()] {
        std::fs::create_dir_all(&path).map_err(|source| StartError::Directory { path, source })?;
    }
    let facts = node::facts::Facts::read(&config)?;
    let client = Client::new(services.transport.clone());
    let bells = Bells::default();
    let source = Source { component: "kubelet", host: config.node_name.clone(), action: "" };
    let kit = Arc::new(Kit {
        recorder: Recorder::start(client.clone(), source, &env.child("events")),
        sources: Sources::new(services.transport.clone(), env.child("sources"), bells.clone()),
        services: Cache::of(client::resources::SERVICES)
            .start(services.transport.clone(), &env.child("services")),
        ledger: resize::Ledger::new(bells.clone()),
        observer: Observer::start(services.runtime.clone(), &env, bells.clone()),
        publisher: Publisher::start(client.clone(), &env, bells.clone()),
        pressures: Default::default(),
        closing: Default::default(),
        collector: Default::default(),
        probed: Default::default(),
        repaint: Default::default(),
        users: Default::default(),
        place: Place { ips: config.node_ips.clone(), runtime: services.runtime.version().0 },
        machine: Machine {
            memory: facts.memory,
            allocatable: facts.allocatable(),
            hosts_file: PathBuf::from("/etc/hosts"),
            node_uid: Default::default(),
        },
        client,
        runtime: services.runtime,
        env: env.clone(),
        bells,
        config,
    });
    let labels = Arc::new(facts.labels(&kit.config));
    let manifests = manifests::Manifests::start(kit.config.manifests.clone(), &kit.config.node_name, &env);
    let agent = agent::Agent::new(kit.clone(), labels.clone(), manifests.clone());
    env.tasks.spawn("mirror pods", manifests::mirror::keep(kit.clone(), manifests.clone(), agent.pods()));
    env.tasks.spawn("eviction", eviction::watch::watch(kit.clone(), agent.pods(), agent.evictions()));
    let held_back = shutdown::watch(kit.clone(), agent.pods(), manifests, agent.evictions());
    env.tasks.spawn("shutdowns of the machine", held_back);
    env.tasks.spawn("image collection", images::collect::collect(kit.clone()));
    let address = serve(&kit, &agent).await?;
    env.tasks.spawn("pods of the node", agent.run());
    env.tasks.spawn("log rotation", logs::rotate::rotate_all(kit.clone()));
    env.tasks.spawn("node lease", node::lease::renew(kit.clone()));
    env.tasks.spawn("node status", node::status::report(kit.clone(), facts, labels, address.port()));
    Ok(Kubelet { kit, address })
}

/// Starts the node's server; answers where it listens.
async fn serve(kit: &Arc<Kit>, agent: &agent::Agent) -> Result<SocketAddr, StartError> {
    let acceptor = server::acceptor(&kit.config).map_err(StartError::Certificates)?;
    let address = kit.config.listen;
    let failed = |source| StartError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let server = server::Server::new(kit.clone(), agent.pods());
    kit.env.tasks.spawn("node server", server.serve(listener, acceptor));
    Ok(bound)
}

impl Kubelet {
    /// The node's name.
    pub fn node_name(&self) -> &str {
        &self.kit.config.node_name
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes away every mount that a node agent with this root left behind, for when it is gone for good.
pub fn teardown(root: &Path) -> std::io::Result<()> {
    volumes::subpath::unmount_below(root)
}
