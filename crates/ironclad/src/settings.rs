//! How an instance was last started: what `status` and `down` need to know, and what a later `up` must not change.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, ensure};
use network::cni::Folders;
use serde::{Deserialize, Serialize};

use crate::config::{Cluster, Instance, Parts};
use crate::datastore::Datastore;
use crate::pki::write_private;

/// The facts kept between starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The API server's address.
    pub listen: SocketAddr,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, with commas between them, as all lists here.
    pub node_ip: String,
    /// How many nodes the machine has; none is said by versions that knew of one only.
    #[serde(default = "one")]
    pub nodes: u8,
    /// Where the addresses of the others come from.
    #[serde(default)]
    pub node_cidr: String,
    /// The addresses of Services.
    pub service_cidr: String,
    /// The addresses of pods.
    pub pod_cidr: String,
    /// Where the administrator's kubeconfig is.
    pub kubeconfig: PathBuf,
    /// No node.
    pub control_plane_only: bool,
    /// Whose network pods are on instead of ours.
    #[serde(default)]
    pub foreign_network: Option<Folders>,
    /// The socket of the container runtime that is asked instead of ours.
    #[serde(default)]
    pub foreign_runtime: Option<PathBuf>,
    /// Where the objects are kept.
    #[serde(default)]
    pub datastore: Datastore,
}

impl Settings {
    /// Of a cluster that is about to start.
    pub fn of(cluster: &Cluster) -> Settings {
        Settings {
            listen: cluster.listen,
            node_name: cluster.node_name.clone(),
            node_ip: list(&cluster.node_ips),
            nodes: cluster.nodes,
            node_cidr: list(&cluster.node_blocks),
            service_cidr: list(&cluster.addresses.services),
            pod_cidr: list(&cluster.addresses.pods),
            kubeconfig: cluster.kubeconfig.clone(),
            control_plane_only: cluster.control_plane_only,
            foreign_network: cluster.foreign_network.clone(),
            foreign_runtime: cluster.foreign_runtime.clone(),
            datastore: cluster.datastore.clone(),
        }
    }

    /// The cluster they describe.
    pub fn cluster(self, instance: &Instance) -> anyhow::Result<Cluster> {
        Cluster::new(
            instance.clone(),
            Parts {
                listen: self.listen,
                node_ips: read_list(&self.node_ip)?,
                nodes: self.nodes,
                node_blocks: read_list(&self.node_cidr)?,
                service_cidrs: read_list(&self.service_cidr)?,
                pod_cidrs: read_list(&self.pod_cidr)?,
                node_name: self.node_name,
                kubeconfig: self.kubeconfig,
                control_plane_only: self.control_plane_only,
                schedules: true,
                foreign_network: self.foreign_network,
                foreign_runtime: self.foreign_runtime,
                shutdown: None,
                registries: None,
                datastore: self.datastore,
                // Said anew at each start: nobody should be known, or unknown, without having been named.
                security: crate::security::Flags::default(),
            },
        )
    }

    /// Of the last start; `None` before the first.
    pub fn read(instance: &Instance) -> anyhow::Result<Option<Settings>> {
        let path = instance.settings_file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps them, after a look at those of the last start: addresses that objects hold already cannot change.
    pub fn keep(&self, instance: &Instance) -> anyhow::Result<()> {
        if let Some(before) = Settings::read(instance)? {
            check_network(before.foreign_network.as_ref(), self.foreign_network.as_ref())?;
            check_runtime(before.foreign_runtime.as_ref(), self.foreign_runtime.as_ref())?;
            for (flag, was, is) in [
                ("--service-cidr", &before.service_cidr, &self.service_cidr),
                ("--pod-cidr", &before.pod_cidr, &self.pod_cidr),
                ("--node-name", &before.node_name, &self.node_name),
            ] {
                ensure!(
                    was == is,
                    "the cluster in {dir} was made with {flag} {was}; start it with that, or make it anew after \
                     `ironclad down --purge --data-dir {dir}`",
                    dir = instance.data_dir.display()
                );
            }
        }
        write_private(&instance.settings_file(), serde_json::to_string_pretty(self)?.as_bytes())
    }
}

/// Pods that run stay on the network they were put on: whose that is cannot change beneath them.
pub fn check_network(was: Option<&Folders>, is: Option<&Folders>) -> anyhow::Result<()> {
    let name = |folders: Option<&Folders>| match folders {
        Some(folders) => format!("that of {}", folders.configurations.display()),
        None => "our own".to_owned(),
    };
    ensure!(
        was.map(|was| &was.configurations) == is.map(|is| &is.configurations),
        "pods were put on another network ({}) than --cni-conf-dir says now ({}); make the node anew after \
         `ironclad down --purge`",
        name(was),
        name(is)
    );
    Ok(())
}

/// Pods that run stay with the runtime that made them: which that is cannot change beneath them.
pub fn check_runtime(was: Option<&PathBuf>, is: Option<&PathBuf>) -> anyhow::Result<()> {
    let name = |socket: Option<&PathBuf>| match socket {
        Some(socket) => format!("that at {}", socket.display()),
        None => "our own".to_owned(),
    };
    ensure!(
        was == is,
        "pods were made by another container runtime ({}) than --container-runtime-endpoint says now ({}); make the node \
         anew after `ironclad down --purge`",
        name(was),
        name(is)
    );
    Ok(())
}

fn one() -> u8 {
    1
}

fn list(all: &[impl ToString]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn read_list<T: FromStr>(text: &str) -> anyhow::Result<Vec<T>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok().with_context(|| format!("{part:?} is no address"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_use_cannot_be_changed_by_a_restart() {
        let dir = std::env::temp_dir().join(format!("ironclad-settings-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let instance = Instance::in_dir(&dir).expect("a path");
        let mut settings = Settings {
            listen: ([127, 0, 0, 1], 6443).into(),
            node_name: "n1".into(),
            node_ip: "192.0.2.7".into(),
            nodes: 1,
            node_cidr: String::new(),
            service_cidr: "10.96.0.0/16".into(),
            pod_cidr: "10.244.0.0/16".into(),
            kubeconfig: "/k".into(),
            control_plane_only: false,
            foreign_network: None,
            foreign_runtime: None,
            datastore: Datastore::default(),
        };
        settings.keep(&instance).expect("first");
        settings.listen = ([127, 0, 0, 1], 7443).into();
        settings.keep(&instance).expect("another port is fine");
        let folders =
            Folders { configurations: "/etc/cni/net.d".into(), programs: vec!["/opt/cni/bin".into()] };
        settings.foreign_network = Some(folders);
        let refused = settings.keep(&instance).expect_err("pods are on our network already");
        assert!(refused.to_string().contains("our own"), "{refused}");
        settings.foreign_network = None;
        settings.foreign_runtime = Some("/run/containerd/containerd.sock".into());
        let refused = settings.keep(&instance).expect_err("pods are our runtime's already");
        assert!(refused.to_string().contains("(our own)"), "{refused}");
        settings.foreign_runtime = None;
        settings.service_cidr = "10.97.0.0/16".into();
        let refused = settings.keep(&instance).expect_err("Services have addresses already");
        assert!(refused.to_string().contains("--service-cidr 10.96.0.0/16"), "{refused}");
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
