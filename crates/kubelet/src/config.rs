//! What a node agent is told when it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use client::SharedTransport;
use cri::Runtime;

use crate::eviction::Threshold;
use crate::shutdown::ShutdownGrace;

/// Where files are, who we are, and what pods get.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// Its addresses, the first one first. One of each family at most.
    pub node_ips: Vec<IpAddr>,
    /// Its labels beside those every node has.
    pub labels: BTreeMap<String, String>,
    /// Taints it registers with: key, value, effect.
    pub taints: Vec<(String, String, String)>,
    /// Everything that is kept for pods: `<data-dir>/kubelet`.
    pub root: PathBuf,
    /// The directory of static pods' manifests, if there are to be any.
    pub manifests: Option<PathBuf>,
    /// Logs of pods: `<dir>/<namespace>_<name>_<uid>/<container>/<n>.log`.
    pub pod_logs: PathBuf,
    /// Where the node's own server listens; port 0 chooses one.
    pub listen: SocketAddr,
    /// The server's certificate chain (PEM).
    pub certificate: Vec<u8>,
    /// Its key (PEM).
    pub key: Vec<u8>,
    /// Who vouches for clients of the server (PEM).
    pub client_ca: Vec<u8>,
    /// The cluster's DNS servers.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain: `cluster.local`.
    pub cluster_domain: String,
    /// The node's own resolver configuration.
    pub resolv_conf: PathBuf,
    /// How many pods it takes.
    pub max_pods: u32,
    /// The cgroup everything is below; empty for the root, else begins with a slash.
    pub cgroup_root: String,
    /// CPU (in thousandths of a core) and memory (in bytes) kept back for the node itself.
    pub reserved: Reserved,
    /// The version it says it is: `v1.36.2`.
    pub version: String,
    /// Sysctls pods may set beside the safe ones; a trailing `*` matches any rest.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// When the node counts as short of something, and pods are evicted.
    pub eviction: Vec<Threshold>,
    /// How long a shutdown of the machine is held back for its pods; `None`: not at all.
    pub shutdown: Option<ShutdownGrace>,
}

/// What pods do not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory_bytes: i64,
}

/// Whom it works with.
#[derive(Clone, Debug)]
pub struct Services {
    /// The API, as this node.
    pub transport: SharedTransport,
    /// What runs containers.
    pub runtime: Arc<dyn Runtime>,
}

impl Config {
    /// The directory of a pod.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// The directory of a pod's logs.
    pub(crate) fn log_dir(&self, pod: &cri::PodId) -> PathBuf {
        self.pod_logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }
}
