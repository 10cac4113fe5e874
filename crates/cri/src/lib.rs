//! The container-runtime port: CRI v1 as Rust traits, between the kubelet above and a runtime below.
//!
//! The built-in runtime implements it in process, and its messages are in [`v1`] for those who speak over a socket. What it asks of the pod network is a port too ([`PodNetwork`]),
//! because rooms of ring 2 do not know each other.

mod types;
pub mod v1;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

pub use types::*;

/// What an asynchronous call of a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why the runtime could not do it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuntimeError {
    /// No such sandbox, container or image.
    #[error("{what} {id:?} does not exist")]
    NotFound {
        /// `sandbox`, `container`, `image`
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// What was asked for makes no sense, and never will.
    #[error("{0}")]
    Invalid(String),
    /// The image cannot be had: registry, network, digest, rights. The text is shown to users.
    #[error("{0}")]
    Image(String),
    /// It took longer than was allowed.
    #[error("{0}")]
    Timeout(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// What a runtime answers.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// A container runtime. Every call is idempotent where CRI says so: stopping what has stopped and removing what is
/// gone are no errors.
pub trait Runtime: Send + Sync + fmt::Debug + 'static {
    /// Name and version, as they stand in a node's `status.nodeInfo.containerRuntimeVersion`: `("ironclad", "0.1.0")`.
    fn version(&self) -> (String, String);
    /// The ways in which it can run a pod; the one without a name is the default.
    fn handlers(&self) -> Vec<Handler>;

    /// What keeps it from running pods, as the node's `Ready` condition tells it; nothing if it can.
    fn obstacles(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }

    /// Makes and starts a sandbox: namespaces, cgroup, network. Answers its id.
    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<String>>;
    /// Kills what still runs in it and takes its network away.
    fn stop_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>>;
    /// Removes it and every container in it.
    fn remove_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>>;
    /// Changes the limits of a pod as a whole.
    fn update_sandbox_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>>;
    /// All sandboxes, those that ended included.
    fn list_sandboxes(&self) -> BoxFuture<'_, Result<Vec<Sandbox>>>;

    /// Makes a container in a sandbox, from an image that is already there. Answers its id.
    fn create_container(&self, sandbox: String, config: ContainerConfig) -> BoxFuture<'_, Result<String>>;
    /// Starts its process.
    fn start_container(&self, id: String) -> BoxFuture<'_, Result<()>>;
    /// Ends its process: its stop signal, then after `grace_secs` a kill. Resolves when it has ended.
    fn stop_container(&self, id: String, grace_secs: u32) -> BoxFuture<'_, Result<()>>;
    /// Removes it; a running one is killed first.
    fn remove_container(&self, id: String) -> BoxFuture<'_, Result<()>>;
    /// All containers, those that ended included.
    fn list_containers(&self) -> BoxFuture<'_, Result<Vec<Container>>>;
    /// One container.
    fn container(&self, id: String) -> BoxFuture<'_, Result<Container>>;
    /// Changes its limits while it runs.
    fn update_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>>;
    /// Closes its log file and starts a new one (after the old was renamed).
    fn reopen_log(&self, id: String) -> BoxFuture<'_, Result<()>>;

    /// Runs a command in it and waits, at most `limit_secs` (zero: for ever), for its output and exit code.
    fn exec_sync(
        &self,
        id: String,
        command: Vec<String>,
        limit_secs: u32,
    ) -> BoxFuture<'_, Result<ExecOutput>>;
    /// Runs a command in it, connected to streams.
    fn exec(&self, id: String, request: ExecRequest) -> BoxFuture<'_, Result<Session>>;
    /// Connects to the streams of its main process.
    fn attach(&self, id: String, request: AttachRequest) -> BoxFuture<'_, Result<Session>>;
    /// Connects to a port on the loopback of a sandbox's network.
    fn port_forward(&self, sandbox: String, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>>;

    /// Sandboxes and containers that changed; a consumer that lags is told to look at everything.
    fn events(&self) -> BoxFuture<'_, Result<Box<dyn Events>>>;

    /// All images.
    fn list_images(&self) -> BoxFuture<'_, Result<Vec<Image>>>;
    /// The image a reference names, if it is there.
    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>>;
    /// Fetches an image. Answers its id.
    fn pull_image(&self, reference: String, credentials: Vec<Credentials>) -> BoxFuture<'_, Result<String>>;
    /// Removes an image that nothing uses.
    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>>;
    /// Space that images take, in bytes.
    fn image_usage(&self) -> BoxFuture<'_, Result<u64>>;

    /// What a container uses now.
    fn container_stats(&self, id: String) -> BoxFuture<'_, Result<ContainerStats>>;
}

/// A stream of [`Event`]s.
pub trait Events: Send {
    /// Waits for the next one. `None` means the runtime stopped.
    fn next(&mut self) -> BoxFuture<'_, Option<Event>>;
}

/// Both directions of a connection.
pub trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// What the runtime asks of the pod network when it makes and removes a sandbox.
pub trait PodNetwork: Send + Sync + fmt::Debug + 'static {
    /// Gives the network namespace at `netns` its interface, addresses, routes and host ports.
    /// Asked again for the same sandbox, it answers the same.
    fn attach(&self, request: NetworkRequest) -> BoxFuture<'_, Result<Vec<IpAddr>>>;
    /// Takes all of it back. What is already gone is no error.
    fn detach(&self, sandbox: String) -> BoxFuture<'_, Result<()>>;
    /// Forgets the sandboxes that are not listed, with all they held: what a crash left behind.
    fn keep_only(&self, sandboxes: Vec<String>) -> BoxFuture<'_, Result<()>>;
}

/// The cgroups of pods, for a runtime that makes those of containers only: their limits as a whole, and their end. What is
/// done here is done by files of the kernel, and blocks.
pub trait PodGroups: Send + Sync + fmt::Debug + 'static {
    /// Makes a pod's group, if it is not there, with limits for all of its containers together.
    fn make(&self, group: &str, resources: &Resources) -> Result<()>;
    /// Changes those limits.
    fn limit(&self, group: &str, resources: &Resources) -> Result<()>;
    /// Removes a pod's group and all below it, as far as nothing is in them.
    fn remove(&self, group: &str);
    /// Removes the groups of pods that are not listed, as far as nothing is in them.
    fn keep_only(&self, groups: &[String]);
}

/// A sandbox that needs a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    /// The sandbox's id.
    pub sandbox: String,
    /// Its network namespace, as a path that can be opened.
    pub netns: PathBuf,
    /// What its link is to be called inside; empty for the usual name.
    pub interface: String,
    /// The pod's namespace, name and uid.
    pub pod: PodId,
    /// Ports of the node that lead to it.
    pub ports: Vec<PortMapping>,
    /// The pod's annotations (bandwidth limits and the like).
    pub annotations: BTreeMap<String, String>,
}
