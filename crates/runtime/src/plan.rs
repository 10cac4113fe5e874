//! What a shim is told to make: everything is decided in the engine, and the shim carries it out.
//!
//! Plans are kept beside the state of what they describe, so that a restarted engine knows what runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A sandbox to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SandboxPlan {
    pub id: String,
    /// Empty on the node's network, where the hostname is the node's too.
    pub hostname: String,
    pub own_network: bool,
    pub own_ipc: bool,
    /// One process-id namespace for all containers.
    pub shared_pids: bool,
    pub sysctls: BTreeMap<String, String>,
    /// The ids of its own user namespace, if it has one.
    pub users: Option<IdRange>,
    /// The cgroup directories the shim itself moves to.
    pub shim_cgroups: Vec<PathBuf>,
}

/// A container to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    pub id: String,
    /// Unpacked layers, the topmost first, relative to the runtime's directory.
    pub layers: Vec<String>,
    pub mounts: Vec<MountPlan>,
    pub devices: Vec<DevicePlan>,
    pub process: ProcessPlan,
    /// Its log file; none if it is not kept.
    pub log: Option<PathBuf>,
    pub stdin: bool,
    pub stdin_once: bool,
    /// All devices of the node, and nothing masked.
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    /// Directories the image wants to exist (its `VOLUME`s).
    pub directories: Vec<String>,
    /// `/dev/shm` and message queues of the sandbox, or those of the node.
    pub node_ipc: bool,
    pub pids: PidPlan,
    pub cgroup: CgroupPlan,
}

/// Whose processes a container sees.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum PidPlan {
    #[default]
    Own,
    Sandbox,
    Node,
    /// Those of another container of the sandbox.
    Container(String),
}

/// A process in a container: its main one, or a command run beside it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub terminal: bool,
    pub user: UserPlan,
    /// The capabilities it may ever have, before what the machine itself lacks is taken off.
    pub capabilities: u64,
    pub no_new_privs: bool,
    pub seccomp: SeccompPlan,
    pub oom_score_adj: Option<i32>,
    /// The ids of the pod's own user namespace, if it has one.
    pub users: Option<IdRange>,
}

/// The node's ids that stand behind those of a user namespace: 0 inside is `first` on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdRange {
    pub first: u32,
    pub count: u32,
}

impl IdRange {
    /// What an id inside is on the node, if the range goes that far.
    pub fn on_node(self, inside: u32) -> Option<u32> {
        (inside < self.count).then(|| self.first.checked_add(inside)).flatten()
    }
}

/// As whom, to be looked up in the container's own files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserPlan {
    /// A number or a name; empty means root.
    pub user: String,
    /// A number or a name; empty means the user's.
    pub group: String,
    pub supplemental: Vec<u32>,
    /// Whether groups that list the user in the container's files count.
    pub image_groups: bool,
}

/// Which system calls it may make.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum SeccompPlan {
    #[default]
    Default,
    Unconfined,
    /// A profile in the usual JSON form.
    Profile(serde_json::Value),
}

/// Something that is mounted into a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    pub source: MountSource,
    pub target: String,
    pub readonly: bool,
    pub recursive_readonly: bool,
    pub propagation: cri::Propagation,
}

/// Where a mount comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MountSource {
    /// A path of the node.
    Path(PathBuf),
    /// Unpacked layers of an image, the topmost first, and a path in them.
    Layers(Vec<String>, String),
}

impl Default for MountSource {
    fn default() -> Self {
        MountSource::Path(PathBuf::new())
    }
}

/// A device node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DevicePlan {
    pub path: String,
    pub block: bool,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Where a container's processes are accounted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CgroupPlan {
    /// Its directory in every hierarchy: what a process joins.
    pub join: Vec<PathBuf>,
    /// A directory whose `cgroup.procs` lists all of it.
    pub list: PathBuf,
    /// A file that kills all of it when `1` is written, where the kernel has one.
    pub kill: Option<PathBuf>,
    /// A file with an `oom_kill` counter.
    pub oom: Option<PathBuf>,
    /// What is mounted at `/sys/fs/cgroup`.
    pub view: CgroupView,
}

/// What a container sees at `/sys/fs/cgroup`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum CgroupView {
    Unified,
    /// One directory per hierarchy: its name and its mount options.
    Legacy(Vec<(String, String)>),
}

impl Default for CgroupView {
    fn default() -> Self {
        CgroupView::Legacy(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_inside_are_counted_from_the_first_of_the_range() {
        let range = IdRange { first: 65_536, count: 65_536 };
        let cases = [(0, Some(65_536)), (1000, Some(66_536)), (65_535, Some(131_071)), (65_536, None)];
        for (inside, on_node) in cases {
            assert_eq!(range.on_node(inside), on_node);
        }
        assert_eq!(IdRange { first: u32::MAX, count: 2 }.on_node(1), None);
    }
}
