//! What the port's calls take and answer. Names follow CRI v1, where every field is documented at length.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Which pod something belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodId {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
}

/// TCP, UDP or SCTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP
    #[default]
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

/// A port of the node that leads to one of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The protocol.
    pub protocol: Protocol,
    /// The pod's port.
    pub container_port: u16,
    /// The node's port.
    pub host_port: u16,
    /// The node's address; `None` means all.
    pub host_ip: Option<IpAddr>,
}

/// Whose namespace a container lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// The pod's: shared by all its containers.
    #[default]
    Pod,
    /// Its own (only for process ids).
    Container,
    /// The node's.
    Node,
    /// Another container's, by id (only for process ids).
    Target(String),
}

/// The namespaces of a sandbox or container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network.
    pub network: NamespaceMode,
    /// Process ids.
    pub pid: NamespaceMode,
    /// System V IPC, and `/dev/shm`.
    pub ipc: NamespaceMode,
    /// User ids; `None` means the node's.
    pub user: Option<UserNamespace>,
}

/// A user namespace with one range of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The node's id that is 0 inside.
    pub host_id: u32,
    /// How many.
    pub length: u32,
}

/// A way in which a runtime runs pods: what a RuntimeClass names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// Its name; empty for the default.
    pub name: String,
    /// Whether mounts can be read-only with all that is mounted below them.
    pub recursive_readonly_mounts: bool,
    /// Whether pods can have user ids of their own.
    pub user_namespaces: bool,
}

/// What a pod's sandbox is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// The pod.
    pub pod: PodId,
    /// How often its sandbox was made anew.
    pub attempt: u32,
    /// The hostname inside; empty on the node's network.
    pub hostname: String,
    /// Where logs of its containers go.
    pub log_directory: PathBuf,
    /// The node's ports that lead to it.
    pub port_mappings: Vec<PortMapping>,
    /// Its labels, answered by `list_sandboxes`.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, answered by `list_sandboxes`.
    pub annotations: BTreeMap<String, String>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Kernel settings inside.
    pub sysctls: BTreeMap<String, String>,
    /// The cgroup its containers' cgroups are made in: `/kubepods/burstable/pod<uid>`.
    pub cgroup_parent: String,
    /// Limits of the pod as a whole, set on that cgroup.
    pub resources: Resources,
    /// Whether any of its containers is privileged.
    pub privileged: bool,
    /// The handler that is to run it; empty for the default.
    #[serde(default)]
    pub handler: String,
}

/// Whether a sandbox can take containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// It can.
    Ready,
    /// It was stopped, or died.
    #[default]
    NotReady,
}

/// A sandbox as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// The pod.
    pub pod: PodId,
    /// From its configuration.
    pub attempt: u32,
    /// Whether it can take containers.
    pub state: SandboxState,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Its addresses; none on the node's network.
    pub ips: Vec<IpAddr>,
    /// Whether it is on the node's network.
    pub host_network: bool,
    /// From its configuration.
    pub namespaces: Namespaces,
    /// From its configuration.
    pub handler: String,
    /// The limits of the pod as a whole as they are in force.
    pub resources: Resources,
    /// From its configuration.
    pub labels: BTreeMap<String, String>,
    /// From its configuration.
    pub annotations: BTreeMap<String, String>,
}

/// How a mount behaves when something is mounted below it on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Nobody sees the other's.
    #[default]
    Private,
    /// The container sees the node's.
    HostToContainer,
    /// Each sees the other's.
    Bidirectional,
}

/// Something of the node that is seen in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where in the container.
    pub container_path: String,
    /// What of the node; empty with `image`.
    pub host_path: PathBuf,
    /// An image whose content is mounted instead; empty otherwise.
    pub image: String,
    /// A path inside that image.
    pub image_sub_path: String,
    /// Not to be written.
    pub readonly: bool,
    /// Not to be written, mounts below it included.
    pub recursive_readonly: bool,
    /// How mounts below it travel.
    pub propagation: Propagation,
}

/// A device of the node that a container may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where in the container.
    pub container_path: String,
    /// Which of the node.
    pub host_path: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits. `None` or zero means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Weight of its CPU time: 1024 for one core's request.
    pub cpu_shares: u64,
    /// Microseconds of CPU time per period; negative means no limit.
    pub cpu_quota: i64,
    /// The period in microseconds.
    pub cpu_period: u64,
    /// Bytes of memory.
    pub memory_limit: i64,
    /// How readily the kernel kills it when memory is short: -1000 to 1000.
    pub oom_score_adj: i32,
    /// Cores it may run on: `0-1,4`.
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// How many processes.
    pub pids_limit: i64,
    /// Bytes of huge pages by page size (`2MB`).
    pub hugepages: BTreeMap<String, u64>,
    /// Files of cgroup v2 set as they are.
    pub unified: BTreeMap<String, String>,
}

/// Which system calls are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The runtime's default profile.
    #[default]
    RuntimeDefault,
    /// All of them.
    Unconfined,
    /// A profile of the node, by its absolute path.
    Localhost(PathBuf),
}

/// How far a container is kept apart from the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// Capabilities beside the default ones, without `CAP_`; `ALL` means all.
    pub add_capabilities: Vec<String>,
    /// Default capabilities it goes without; `ALL` means all.
    pub drop_capabilities: Vec<String>,
    /// The user; `None` means the image's.
    pub run_as_user: Option<i64>,
    /// The group; `None` means the image's (or the user's in the image).
    pub run_as_group: Option<i64>,
    /// A user by name, looked up in the image; empty if `run_as_user` is set or the image decides.
    pub run_as_username: String,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// Whether groups of the user in the image are left out.
    pub strict_supplemental_groups: bool,
    /// The root file system cannot be written.
    pub readonly_rootfs: bool,
    /// Whether processes may gain rights by `execve`.
    pub no_new_privs: bool,
    /// Paths that cannot be seen.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
    /// Which system calls are allowed.
    pub seccomp: Seccomp,
    /// Its namespaces.
    pub namespaces: Namespaces,
}

/// What a container is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Its name in the pod.
    pub name: String,
    /// How often it was made anew: its restart count.
    pub attempt: u32,
    /// The image's id or reference; it must be there.
    pub image: String,
    /// The image as the user wrote it, answered by `list_containers`.
    pub user_image: String,
    /// Replaces the image's entry point (and drops its arguments) unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<String>,
    /// Where its process starts; empty means the image's.
    pub working_dir: String,
    /// On top of the image's environment, in order.
    pub envs: Vec<(String, String)>,
    /// What of the node it sees.
    pub mounts: Vec<Mount>,
    /// Devices it may use.
    pub devices: Vec<Device>,
    /// Its labels, answered by `list_containers`.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, answered by `list_containers`.
    pub annotations: BTreeMap<String, String>,
    /// Its log file below the sandbox's `log_directory`; empty means none.
    pub log_path: PathBuf,
    /// Whether its input stays open for `attach`.
    pub stdin: bool,
    /// Whether its input is closed when the first who attached leaves.
    pub stdin_once: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Its limits.
    pub resources: Resources,
    /// How far it is kept apart.
    pub security: Security,
    /// The signal that asks it to end; empty means the image's, or SIGTERM.
    pub stop_signal: String,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// Its end is not known: the machine went down, or its shim was killed.
    #[default]
    Unknown,
}

/// A container as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its sandbox.
    pub sandbox: String,
    /// Its pod.
    pub pod: PodId,
    /// Its name in the pod.
    pub name: String,
    /// From its configuration.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Nanoseconds since the epoch; zero if it has not happened.
    pub created_at: i64,
    /// The same.
    pub started_at: i64,
    /// The same.
    pub finished_at: i64,
    /// Its exit code: 128 + n if signal n ended it.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`; empty while it runs.
    pub reason: String,
    /// More about its end.
    pub message: String,
    /// The image as the user wrote it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// The image by digest, if it came from a registry; else its id.
    pub image_ref: String,
    /// From its configuration.
    pub labels: BTreeMap<String, String>,
    /// From its configuration.
    pub annotations: BTreeMap<String, String>,
    /// Its log file.
    pub log_path: PathBuf,
    /// Its limits as they are in force.
    pub resources: Resources,
    /// The user, group and groups of its main process.
    pub user: Option<ContainerUser>,
    /// Its main process on the node; zero if there is none.
    pub pid: u32,
}

/// As whom a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerUser {
    /// The user.
    pub uid: i64,
    /// The group.
    pub gid: i64,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
}

/// What a command that was run to its end left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// How it ended: 128 + n if signal n ended it.
    pub exit_code: i32,
}

/// A command to be run, connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal (then there is no `stderr`).
    pub tty: bool,
    /// Which streams are connected.
    pub stdin: bool,
    /// The same.
    pub stdout: bool,
    /// The same.
    pub stderr: bool,
}

/// Streams of a running container to be connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Whether the container has a terminal.
    pub tty: bool,
    /// Which streams are connected.
    pub stdin: bool,
    /// The same.
    pub stdout: bool,
    /// The same.
    pub stderr: bool,
}

/// A connected command or container. Dropping it disconnects; a command that was run in a container is then killed.
#[derive(Debug)]
pub struct Session {
    /// Its input; dropping the sender closes it.
    pub stdin: Option<mpsc::Sender<Vec<u8>>>,
    /// Its output, closed at its end.
    pub stdout: Option<mpsc::Receiver<Vec<u8>>>,
    /// Its complaints, closed at its end.
    pub stderr: Option<mpsc::Receiver<Vec<u8>>>,
    /// Sizes of the terminal: columns and rows.
    pub resize: Option<mpsc::Sender<(u16, u16)>>,
    /// Its exit code, or why it could not be run.
    pub exit: oneshot::Receiver<std::result::Result<i32, String>>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sandbox or a container of this pod, in some way.
    Pod(PodId),
    /// Events were lost: look at everything.
    Lagged,
}

/// An image as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of its configuration: `sha256:…`.
    pub id: String,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Bytes it takes.
    pub size: u64,
    /// The user it runs as if that is a number.
    pub uid: Option<i64>,
    /// The user it runs as if that is a name; else empty.
    pub username: String,
    /// Not to be removed to save space.
    pub pinned: bool,
}

/// What opens a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A user name…
    pub username: String,
    /// …and a password,
    pub password: String,
    /// or a token that is exchanged for one of the registry.
    pub identity_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credentials(hidden)")
    }
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStats {
    /// When it was measured: nanoseconds since the epoch.
    pub timestamp: i64,
    /// CPU time since its start, in nanoseconds.
    pub cpu_usage_nanos: u64,
    /// Memory that cannot be taken back, in bytes.
    pub memory_working_set: u64,
    /// Memory in all, in bytes.
    pub memory_usage: u64,
    /// Memory without files, in bytes.
    pub memory_rss: u64,
    /// Bytes written to its own layer.
    pub rootfs_used: u64,
    /// Files in its own layer.
    pub rootfs_inodes: u64,
    /// Processes and threads.
    pub pids: u64,
}
