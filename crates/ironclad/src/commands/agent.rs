//! `ironclad agent`: makes this machine (or a namespace of it) a node of a cluster whose API server is elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use env::Env;
use network::cni::Folders;
use serde::{Deserialize, Serialize};

use crate::args::Agent;
use crate::background::{self, Taken};
use crate::compose::node::{Node, NodeParts, Ways};
use crate::config::{Addresses, Instance, addresses, node_name};
use crate::join::enter::{self, Applicant};
use crate::join::known;
use crate::join::token::JoinToken;
use crate::logging;
use crate::pki::{make_private_dir, write_private};
use crate::registries;
use crate::settings::{check_network, check_runtime};

/// How long open work may take when the node stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How soon a server that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What a node that joined remembers: what it takes to start it without its server, and to take it away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The API server.
    pub server: String,
    /// The node's name.
    pub node_name: String,
    /// Its addresses.
    pub node_ips: Vec<std::net::IpAddr>,
    /// The addresses of the cluster.
    pub addresses: Addresses,
    /// Whose network its pods are on instead of ours.
    #[serde(default)]
    pub foreign_network: Option<Folders>,
    /// The socket of the container runtime that is asked instead of ours.
    #[serde(default)]
    pub foreign_runtime: Option<PathBuf>,
}

impl Joined {
    /// What an instance remembers; `None` if it has joined nothing.
    pub fn read(instance: &Instance) -> anyhow::Result<Option<Joined>> {
        let path = instance.joined_file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The node it describes.
    pub fn parts(self, instance: Instance, kubelet_port: u16) -> NodeParts {
        NodeParts {
            instance,
            name: self.node_name,
            ips: self.node_ips,
            taken_ips: Vec::new(),
            kubelet_port,
            addresses: self.addresses,
            pod_blocks: Vec::new(),
            is_servers: false,
            foreign_network: self.foreign_network,
            foreign_runtime: self.foreign_runtime,
            shutdown: None,
            registries: None,
        }
    }
}

/// Starts the node, or says that it runs already.
pub fn run(flags: &Agent) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "`ironclad agent` makes network namespaces and mounts, which only root may: run it with sudo"
    );
    make_private_dir(&instance.data_dir)?;
    if flags.report_start {
        return background::run(|ready| serve(flags, &instance, ready));
    }
    if let Some(pid) = background::running(&instance)? {
        println!(
            "The node in {} runs already (process {}).",
            instance.data_dir.display(),
            pid.as_raw_nonzero()
        );
        return Ok(());
    }
    if flags.foreground {
        return serve(flags, &instance, || println!("The node is ready."));
    }
    background::start(&instance, &background::arguments(), Duration::from_secs(flags.wait))
        .context("the node did not start")?;
    println!("This machine is a node now; `ironclad down` takes it back.");
    Ok(())
}

/// Runs the node until it is asked to end.
fn serve(flags: &Agent, instance: &Instance, ready: impl FnOnce()) -> anyhow::Result<()> {
    let _lock = match background::take_lock(instance)? {
        Taken::Ours(lock) => lock,
        Taken::By(pid) => anyhow::bail!("process {} runs this node already", pid.as_raw_nonzero()),
    };
    logging::start(&flags.log)?;
    let env = Env::real();
    background::threads()?.block_on(async {
        let start = async {
            let node = start(flags, instance, &env).await?;
            node.ready(&env).await;
            anyhow::Ok(node)
        };
        if background::until_asked(start, |_| ready()).await?.is_some() {
            let left = env.tasks.stop(DRAIN).await;
            if left > 0 {
                tracing::warn!(left, "some tasks did not end in time");
            }
        }
        Ok(())
    })
}

async fn start(flags: &Agent, instance: &Instance, env: &Env) -> anyhow::Result<Node> {
    let before = Joined::read(instance)?;
    let token = token(flags)?;
    let before_ref = before.as_ref();
    let server = flags.server.clone().or(before_ref.map(|before| before.server.clone()));
    let server = server.context("which cluster? Give its API server with --server https://ADDRESS:PORT")?;
    let name = match (&flags.node_name, before_ref) {
        (None, Some(before)) => before.node_name.clone(),
        (given, _) => node_name(given.as_deref())?,
    };
    if let Some(before) = before_ref {
        ensure!(
            before.node_name == name,
            "this machine joined as {}; to join as {name}, take that node away first (`ironclad down --purge`)",
            before.node_name
        );
    }
    let ips = match (flags.node_ip.as_slice(), before_ref) {
        ([], Some(before)) => before.node_ips.clone(),
        ([], None) => addresses::of_machine_itself(),
        (given, _) => given.to_vec(),
    };
    let (foreign_network, foreign_runtime) = others_parts(flags, before_ref)?;
    ensure!(!ips.is_empty(), "this machine has no address that leads anywhere; give one with --node-ip");
    let directory = instance.pki_dir();
    let applicant = Applicant {
        server: &server,
        token: token.as_ref(),
        name: &name,
        addresses: &ips,
        directory: &directory,
    };
    let papers = applicant.papers(env).await.context("the node could not join")?;
    let connect =
        |label| enter::connect(&server, &papers.ca, enter::credentials(&papers.client), &env.child(label));
    let (node, network) = (connect("api")?, connect("network api")?);
    let addresses = match known::read(&node).await {
        Ok(addresses) => addresses,
        // The server may be away while this node is started again.
        Err(error) => match before {
            Some(before) => {
                tracing::warn!("{error:#}; the node starts with what it knew");
                before.addresses
            }
            None => wait_for_addresses(&node, env).await,
        },
    };
    let joined =
        Joined { server, node_name: name, node_ips: ips, addresses, foreign_network, foreign_runtime };
    write_private(&instance.joined_file(), serde_json::to_string_pretty(&joined)?.as_bytes())?;
    let ways = Ways {
        node: node.transport().clone(),
        network: network.transport().clone(),
        serving: papers.serving,
        ca: papers.ca,
        objects: None,
    };
    let mut parts = joined.parts(instance.clone(), flags.kubelet_port);
    parts.shutdown = flags.shutdown.grace()?;
    parts.registries = registries::file(flags.runtime.registries.registries.as_deref(), instance);
    parts.start(ways, env).await
}

/// Whose network and whose runtime pods are on, if not ours; neither changes while the node is joined.
fn others_parts(
    flags: &Agent,
    before: Option<&Joined>,
) -> anyhow::Result<(Option<Folders>, Option<PathBuf>)> {
    let network_before = before.and_then(|before| before.foreign_network.as_ref());
    let network = flags.cni.folders(network_before)?;
    let runtime_before = before.and_then(|before| before.foreign_runtime.as_ref());
    let runtime = flags.runtime.socket(runtime_before)?;
    ensure!(
        network.is_none() || runtime.is_none(),
        "--cni-conf-dir is about the pods of our own runtime; that of --container-runtime-endpoint has its own"
    );
    if before.is_some() {
        check_network(network_before, network.as_ref())?;
        check_runtime(runtime_before, runtime.as_ref())?;
    }
    Ok((network, runtime))
}

/// The addresses of the cluster, as soon as they are published.
async fn wait_for_addresses(client: &client::Client, env: &Env) -> Addresses {
    loop {
        match known::read(client).await {
            Ok(addresses) => return addresses,
            Err(error) => tracing::debug!("{error:#}"),
        }
        env.clock.sleep(ASK_AGAIN).await;
    }
}

fn token(flags: &Agent) -> anyhow::Result<Option<JoinToken>> {
    let text = match (&flags.token, &flags.token_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(file)) => {
            Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
        }
        (None, None) => None,
    };
    text.map(|text| text.parse()).transpose()
}
