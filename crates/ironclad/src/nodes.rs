//! The nodes of this machine beside the machine itself (`ironclad up --nodes N`): each is an agent process of its own in
//! a network, mount and cgroup space of its own, and joins the cluster as any other machine would.

mod keeper;

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use client::{Client, Delete, Key, SharedTransport, resources};
use env::Env;
use network::machine::{self, Guest};
use network::netlink::Namespace;

use crate::background;
use crate::compose::node::until_ready;
use crate::config::{Cluster, Instance, addresses};
use crate::pki::{Pki, make_private_dir};

/// A node of this machine.
#[derive(Clone, Debug)]
pub struct LocalNode {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where everything of it is.
    pub instance: Instance,
}

/// The nodes beside the machine itself that a cluster is to have.
pub fn wanted(cluster: &Cluster) -> anyhow::Result<Vec<LocalNode>> {
    let node = |number: u8| {
        let name = format!("{}-{number}", cluster.node_name);
        let addresses = cluster.node_blocks.iter().map(|block| addresses::nth(block, number));
        anyhow::Ok(LocalNode {
            instance: Instance::in_dir(&cluster.instance.nodes_dir().join(&name))?,
            addresses: addresses.collect::<Result<_, _>>()?,
            name,
        })
    };
    (2..=cluster.nodes).map(node).collect()
}

/// The instances of the nodes that were made, whether they are still wanted or not.
pub fn present(instance: &Instance) -> anyhow::Result<Vec<Instance>> {
    let directory = instance.nodes_dir();
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", directory.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(Instance::in_dir(&entry?.path())?);
    }
    found.sort_by(|one, other| one.data_dir.cmp(&other.data_dir));
    Ok(found)
}

impl LocalNode {
    /// Makes its space and its cable to the machine, or completes what is there.
    fn prepare(&self, cluster: &Cluster) -> anyhow::Result<()> {
        make_private_dir(&self.instance.data_dir)?;
        let space = self.instance.space();
        space
            .make(&cluster.instance.data_dir)
            .with_context(|| format!("the space of node {} cannot be made", self.name))?;
        self.at_cable(cluster, machine::attach)
            .with_context(|| format!("the cable to node {} cannot be laid", self.name))
    }

    /// Does something with its cable to the machine.
    fn at_cable<T>(
        &self,
        cluster: &Cluster,
        act: impl FnOnce(&Namespace, &Guest<'_>) -> network::netlink::Result<T>,
    ) -> anyhow::Result<T> {
        let namespace = Namespace::open(&self.instance.space().network())?;
        let guest = Guest {
            instance: &self.instance.id,
            name: &self.name,
            namespace: &namespace,
            addresses: &self.addresses,
            machine_addresses: &cluster.node_ips,
        };
        Ok(act(&Namespace::current()?, &guest)?)
    }

    /// The command that runs its agent.
    fn agent(&self, cluster: &Cluster, token: Option<&Path>) -> anyhow::Result<Command> {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.instance.log_file())?;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["agent", "--in-space", "--foreground"])
            .args(["--server", &cluster.node_server_url()])
            .args(["--node-name", &self.name])
            .args(["--node-ip", &addresses.join(",")])
            .arg("--data-dir")
            .arg(&self.instance.data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir("/");
        if let Some(registries) = &cluster.registries {
            command.arg("--registries").arg(registries);
        }
        if let Some(token) = token {
            command.arg("--token-file").arg(token);
        }
        // What is typed at the terminal of a server in the foreground is not for its nodes: they are stopped in turn.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command)
    }
}

/// Ends a node's agent, and takes the node away: what it holds of the machine, and with `purge` its data.
pub fn end(instance: &Instance, purge: bool) -> anyhow::Result<()> {
    if let Some(pid) = background::running(instance)? {
        background::stop(pid, keeper::PATIENCE)?;
    }
    free(instance, purge)
}

fn free(instance: &Instance, purge: bool) -> anyhow::Result<()> {
    let space = instance.space();
    if space.exists() && instance.joined_file().exists() {
        let mut down = Command::new("/proc/self/exe");
        down.args(["down", "--in-space", "--data-dir"]).arg(&instance.data_dir).stdout(Stdio::null());
        let status = down.status().context("cannot start the process that frees a node")?;
        ensure!(status.success(), "the node in {} could not be freed", instance.data_dir.display());
    }
    machine::detach(&Namespace::current()?, &instance.id)?;
    space
        .remove()
        .with_context(|| format!("the space of {} cannot be removed", instance.data_dir.display()))?;
    if purge {
        std::fs::remove_dir_all(&instance.data_dir)
            .with_context(|| format!("cannot delete {}", instance.data_dir.display()))?;
    }
    Ok(())
}

/// Takes away the nodes of an earlier start that are not wanted any more.
fn retire(cluster: &Cluster, wanted: &[LocalNode], client: &Client, env: &Env) -> anyhow::Result<()> {
    for instance in present(&cluster.instance)? {
        let Some(name) = instance.data_dir.file_name().and_then(|name| name.to_str()) else { continue };
        if wanted.iter().any(|node| node.name == name) {
            continue;
        }
        let (client, key, tasks) = (client.clone(), Key::new("", name), env.tasks.clone());
        env.tasks.spawn("end of a node", async move {
            let freed = tasks.blocking(move || end(&instance, true)).await;
            if let Some(Err(error)) = freed {
                tracing::error!(node = %key.name, "a node could not be taken away: {error:#}");
            }
            match client.delete(resources::NODES, &key, Delete::default()).await {
                Err(status) if status.code != 404 => {
                    tracing::warn!(node = %key.name, %status, "its object could not be removed");
                }
                _ => {}
            }
        });
    }
    Ok(())
}

/// The nodes beside the machine itself, running.
#[derive(Debug, Default)]
pub struct Nodes {
    names: Vec<String>,
    transport: Option<SharedTransport>,
    env: Option<Env>,
}

impl Nodes {
    /// Starts those that do not run, and keeps all of them running.
    pub fn start(cluster: &Cluster, pki: &Pki, client: Client, env: &Env) -> anyhow::Result<Nodes> {
        let wanted = wanted(cluster)?;
        retire(cluster, &wanted, &client, env)?;
        if wanted.is_empty() {
            return Ok(Nodes::default());
        }
        let inside = &cluster.addresses.pods;
        machine::let_out(&Namespace::current()?, &cluster.instance.id, &cluster.node_blocks, inside)?;
        let env = Env { tasks: env::Tasks::new(), ..env.clone() };
        let names = wanted.iter().map(|node| node.name.clone()).collect();
        let transport = Some(client.transport().clone());
        let authority = pki.ca.der()?;
        for node in wanted {
            let keeper = keeper::Keeper {
                node,
                cluster: cluster.clone(),
                client: client.clone(),
                authority: client::https::pinned::fingerprint(&authority),
                env: env.clone(),
            };
            env.tasks.spawn_until_done("keeper of a node", keeper.keep());
        }
        Ok(Nodes { names, transport, env: Some(env) })
    }

    /// Waits until all are ready.
    pub async fn ready(&self, env: &Env) {
        if let Some(transport) = &self.transport {
            for name in &self.names {
                until_ready(transport, name, env).await;
            }
        }
    }

    /// Ends their agents; containers go on.
    pub async fn stop(&self) {
        if let Some(env) = &self.env {
            let left = env.tasks.stop(keeper::PATIENCE * 2).await;
            if left > 0 {
                tracing::warn!(left, "some nodes of this machine did not end in time");
            }
        }
    }
}
