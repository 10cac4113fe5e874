//! An instance: where everything of it is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::args::DEFAULT_DATA_DIR;

/// An instance: a directory, and the names that keep it apart from others on the machine.
#[derive(Clone, Debug)]
pub struct Instance {
    /// All of its data.
    pub data_dir: PathBuf,
    /// A short name that is different for each data directory: in cgroups, nftables tables and link names.
    pub id: String,
}

impl Instance {
    /// The instance in a directory, which need not exist yet.
    pub fn in_dir(data_dir: &Path) -> anyhow::Result<Instance> {
        let data_dir = std::path::absolute(data_dir).with_context(|| format!("{}", data_dir.display()))?;
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let id = format!("{:06x}", hasher.finish() & 0xff_ffff);
        Ok(Instance { data_dir, id })
    }

    /// Certificates and keys.
    pub fn pki_dir(&self) -> PathBuf {
        self.data_dir.join("pki")
    }

    /// The objects.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Images and containers.
    pub fn runtime_dir(&self) -> PathBuf {
        self.data_dir.join("runtime")
    }

    /// Volumes of pods.
    pub fn kubelet_dir(&self) -> PathBuf {
        self.data_dir.join("kubelet")
    }

    /// What the process in the background prints.
    pub fn log_file(&self) -> PathBuf {
        self.data_dir.join("ironclad.log")
    }

    /// Held by the process that runs; tells others its pid.
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("ironclad.pid")
    }

    /// The administrator's way in.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// How the instance was last started.
    pub fn settings_file(&self) -> PathBuf {
        self.data_dir.join("settings.json")
    }

    /// The nodes of this machine beside the machine itself.
    pub fn nodes_dir(&self) -> PathBuf {
        self.data_dir.join("nodes")
    }

    /// The space of a node that does not live in the machine's own.
    pub fn space(&self) -> runtime::Space {
        runtime::Space::at(&self.data_dir.join("space"))
    }

    /// What a node that joined a cluster knows of it.
    pub fn joined_file(&self) -> PathBuf {
        self.data_dir.join("joined.json")
    }

    /// What a runtime without a node knows of itself.
    pub fn runtime_file(&self) -> PathBuf {
        self.data_dir.join("runtime.json")
    }

    /// Where `ironclad image` asks.
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }

    /// Where the container runtime speaks CRI.
    pub fn cri_socket(&self) -> PathBuf {
        self.data_dir.join("cri.sock")
    }

    /// The files of pods that were made over that socket.
    pub fn cri_files_dir(&self) -> PathBuf {
        self.data_dir.join("cri")
    }

    /// Where log collectors look for the logs of pods: upstream's place for the default instance.
    pub fn pod_logs_dir(&self) -> PathBuf {
        if self.data_dir == Path::new(DEFAULT_DATA_DIR) {
            PathBuf::from("/var/log/pods")
        } else {
            self.data_dir.join("logs")
        }
    }

    /// The cgroup that everything of the instance lives below, in each hierarchy.
    pub fn cgroup_root(&self) -> String {
        format!("/ironclad-{}", self.id)
    }
}
