//! `ironclad runtime`: the container runtime and its pod network alone, asked over CRI, for kubelets that are not ours.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use env::Env;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::agent::Joined;
use crate::args::Runtime;
use crate::background::{self, Taken};
use crate::compose::node::NodeParts;
use crate::config::{Addresses, Instance, addresses, node_name};
use crate::logging;
use crate::pki::{make_private_dir, write_private};
use crate::registries;
use crate::settings::Settings;

/// How long open calls may take when the runtime stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What a runtime without a node remembers: what it takes to take it away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alone {
    name: String,
    ips: Vec<IpAddr>,
    pods: Vec<IpNet>,
}

impl Alone {
    /// What an instance remembers; `None` if it is something else.
    pub fn read(instance: &Instance) -> anyhow::Result<Option<Alone>> {
        let path = instance.runtime_file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// As much of a node as it is.
    pub fn parts(self, instance: Instance) -> NodeParts {
        NodeParts {
            instance,
            name: self.name,
            ips: self.ips,
            taken_ips: Vec::new(),
            kubelet_port: 0,
            addresses: Addresses { services: Vec::new(), pods: self.pods.clone(), dns: Vec::new() },
            pod_blocks: self.pods,
            is_servers: false,
            foreign_network: None,
            foreign_runtime: None,
            shutdown: None,
            registries: None,
        }
    }
}

/// Runs it until it is asked to end.
pub fn run(flags: &Runtime) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "`ironclad runtime` makes network namespaces and mounts, which only root may: run it with sudo"
    );
    make_private_dir(&instance.data_dir)?;
    ensure!(
        Settings::read(&instance)?.is_none() && Joined::read(&instance)?.is_none(),
        "{} belongs to a cluster, whose node has its runtime to itself; choose another --data-dir",
        instance.data_dir.display()
    );
    let _lock = match background::take_lock(&instance)? {
        Taken::Ours(lock) => lock,
        Taken::By(pid) => anyhow::bail!("process {} runs this runtime already", pid.as_raw_nonzero()),
    };
    logging::start(&flags.log)?;
    let ips = match flags.node_ip.as_slice() {
        [] => addresses::of_machine_itself(),
        given => given.to_vec(),
    };
    ensure!(!ips.is_empty(), "this machine has no address that leads anywhere; give one with --node-ip");
    let alone = Alone { name: node_name(None)?, ips, pods: flags.pod_cidr.clone() };
    if let Some(before) = Alone::read(&instance)? {
        ensure!(
            before.pods == alone.pods,
            "the runtime in {} gave pods other addresses before; take it away first (`ironclad down --purge`)",
            instance.data_dir.display()
        );
    }
    write_private(&instance.runtime_file(), serde_json::to_string_pretty(&alone)?.as_bytes())?;
    let mut parts = alone.parts(instance.clone());
    parts.registries = registries::file(flags.registries.registries.as_deref(), &instance);
    serve(parts, &instance)
}

fn serve(parts: NodeParts, instance: &Instance) -> anyhow::Result<()> {
    let env = Env::real();
    background::threads()?.block_on(async {
        let socket = instance.cri_socket();
        let ready = |_: &_| println!("The runtime is ready at unix://{}.", socket.display());
        if background::until_asked(parts.start_runtime(&env), ready).await?.is_some() {
            let left = env.tasks.stop(DRAIN).await;
            if left > 0 {
                tracing::warn!(left, "some calls did not end in time");
            }
        }
        Ok(())
    })
}
