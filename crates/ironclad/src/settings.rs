//! How an instance was last started: what `status` and `down` need to know, and what a later `up` must not change.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use ipnet::IpNet;
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
    /// The node's address.
    pub node_ip: IpAddr,
    /// The addresses of Services.
    pub service_cidr: String,
    /// The addresses of pods.
    pub pod_cidr: String,
    /// Where the administrator's kubeconfig is.
    pub kubeconfig: PathBuf,
    /// No node.
    pub control_plane_only: bool,
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
            node_ip: cluster.node_ip,
            service_cidr: cluster.service_cidr.to_string(),
            pod_cidr: cluster.pod_cidr.to_string(),
            kubeconfig: cluster.kubeconfig.clone(),
            control_plane_only: cluster.control_plane_only,
            datastore: cluster.datastore.clone(),
        }
    }

    /// The cluster they describe.
    pub fn cluster(self, instance: &Instance) -> anyhow::Result<Cluster> {
        let net =
            |text: &str| text.parse::<IpNet>().with_context(|| format!("{text:?} is no range of addresses"));
        Cluster::new(
            instance.clone(),
            Parts {
                listen: self.listen,
                node_ip: self.node_ip,
                service_cidr: net(&self.service_cidr)?,
                pod_cidr: net(&self.pod_cidr)?,
                node_name: self.node_name,
                kubeconfig: self.kubeconfig,
                control_plane_only: self.control_plane_only,
                datastore: self.datastore,
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
            node_ip: [192, 0, 2, 7].into(),
            service_cidr: "10.96.0.0/16".into(),
            pod_cidr: "10.244.0.0/16".into(),
            kubeconfig: "/k".into(),
            control_plane_only: false,
            datastore: Datastore::default(),
        };
        settings.keep(&instance).expect("first");
        settings.listen = ([127, 0, 0, 1], 7443).into();
        settings.keep(&instance).expect("another port is fine");
        settings.service_cidr = "10.97.0.0/16".into();
        let refused = settings.keep(&instance).expect_err("Services have addresses already");
        assert!(refused.to_string().contains("--service-cidr 10.96.0.0/16"), "{refused}");
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
