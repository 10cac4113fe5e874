//! What can be typed: the commands and their flags. What they do is in `commands`, one file each.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use network::cni::Folders;

/// Where an instance keeps everything unless told otherwise.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/ironclad";

/// Kubernetes, whole, in one small binary.
///
/// `ironclad up` makes a cluster on this machine in about a second; `ironclad kubectl` (or any kubectl) talks to it;
/// `ironclad down` takes all of it away again.
#[derive(Debug, Parser)]
#[command(name = "ironclad", version, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster on this machine, and wait until it is ready
    Up(Up),
    /// Start a cluster that other machines are to join, and say how they do
    Server(Up),
    /// Make this machine a node of a cluster elsewhere
    Agent(Agent),
    /// Run the container runtime alone, asked over CRI, for a kubelet that is not Ironclad's
    Runtime(Runtime),
    /// Work with the tokens that machines join with
    #[command(subcommand)]
    Token(Token),
    /// Stop the cluster: its containers, networks, mounts and processes; the data stays
    Down(Down),
    /// Say whether the cluster runs, how it is, and what it costs
    Status(Instance),
    /// Work with the images of this machine's node
    #[command(subcommand)]
    Image(Image),
    /// Look into the network of the cluster
    #[command(subcommand)]
    Net(Net),
    /// Write a backup of all objects, while the cluster runs or not
    Backup(Backup),
    /// Take a backup into a data directory that has no objects yet
    Restore(Restore),
    /// Move the objects between this machine and etcd, or look them over
    #[command(subcommand)]
    Datastore(Datastore),
    /// Talk to the cluster as kubectl does
    #[command(disable_help_flag = true)]
    Kubectl(Kubectl),
    /// Serve the demo page (this is what the image ironclad.local/hello runs)
    Hello(Hello),
}

/// Which cluster, if there are several on this machine.
#[derive(Args, Clone, Debug)]
pub struct Instance {
    /// The directory that holds all of the cluster's data; each directory is a cluster of its own
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
}

/// `ironclad up`
#[derive(Args, Clone, Debug)]
pub struct Up {
    #[command(flatten)]
    pub instance: Instance,
    /// Where to write the administrator's kubeconfig [default: DIR/admin.kubeconfig, and ~/.kube/config if there is none]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The port of the API server
    #[arg(long, default_value_t = 6443)]
    pub port: u16,
    /// The address the API server listens on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub bind: IpAddr,
    /// How many nodes this machine is: itself, and others in network namespaces of their own [default: as before, else 1]
    #[arg(long, value_name = "NUMBER")]
    pub nodes: Option<u8>,
    /// The machine's address as a node [default: that of the interface that leads to the internet, else 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// The node's name; the others of this machine have a number behind it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The addresses of the other nodes of this machine [default: a free part of 198.18.0.0/15]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub node_cidr: Vec<IpNet>,
    /// The addresses of Services; one range of IPv4 and one of IPv6 for both [default: 10.96.0.0/16]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub service_cidr: Vec<IpNet>,
    /// The addresses of pods; one range of IPv4 and one of IPv6 for both [default: 10.244.0.0/16]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub pod_cidr: Vec<IpNet>,
    #[command(flatten)]
    pub cni: CniFlags,
    #[command(flatten)]
    pub runtime: RuntimeFlags,
    #[command(flatten)]
    pub shutdown: ShutdownFlags,
    #[command(flatten)]
    pub datastore: DatastoreFlags,
    #[command(flatten)]
    pub security: crate::security::Flags,
    /// The API server and its store alone: no controllers, no scheduler, no node
    #[arg(long)]
    pub control_plane_only: bool,
    /// No scheduler: another one, which knows the API server, binds pods to nodes
    #[arg(long, conflicts_with = "control_plane_only")]
    pub disable_scheduler: bool,
    /// Stay in the foreground and print the log; end with Ctrl-C
    #[arg(long)]
    pub foreground: bool,
    /// How long to wait for the cluster to be ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// Print more: info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
    /// This is the process in the background: report the start on standard output
    #[arg(long, hide = true)]
    pub report_start: bool,
}

/// `ironclad agent`
#[derive(Args, Clone, Debug)]
pub struct Agent {
    #[command(flatten)]
    pub instance: Instance,
    /// The API server of the cluster: https://ADDRESS:PORT [default: the one that was joined before]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// What `ironclad token create` printed on the server; needed once
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The node's address [default: that of the interface that leads to the internet]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// The node's name [default: as before, else the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The port of the node's own server
    #[arg(long, default_value_t = 10250)]
    pub kubelet_port: u16,
    #[command(flatten)]
    pub cni: CniFlags,
    #[command(flatten)]
    pub runtime: RuntimeFlags,
    #[command(flatten)]
    pub shutdown: ShutdownFlags,
    /// Stay in the foreground and print the log; end with Ctrl-C
    #[arg(long)]
    pub foreground: bool,
    /// How long to wait for the node to be ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// Print more: info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
    /// This is the process in the background: report the start on standard output
    #[arg(long, hide = true)]
    pub report_start: bool,
    /// The node lives in a space of its own on the machine of the server
    #[arg(long, hide = true)]
    pub in_space: bool,
}

/// Whose network pods are on, if not ours.
#[derive(Args, Clone, Debug, Default)]
pub struct CniFlags {
    /// Where the configuration of a CNI network is that pods are put on instead of our own; say its addresses with
    /// --pod-cidr [default: as at the last start, and at the first our own network]
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Where the programs of its plugins are
    #[arg(
        long,
        value_name = "DIR",
        value_delimiter = ',',
        default_value = "/opt/cni/bin",
        requires = "cni_conf_dir"
    )]
    pub cni_bin_dir: Vec<PathBuf>,
}

impl CniFlags {
    /// The folders that are meant: as at the last start if nothing is said.
    pub fn folders(&self, before: Option<&Folders>) -> anyhow::Result<Option<Folders>> {
        let Some(configurations) = &self.cni_conf_dir else { return Ok(before.cloned()) };
        let absolute = |folder: &PathBuf| std::path::absolute(folder);
        Ok(Some(Folders {
            configurations: absolute(configurations)?,
            programs: self.cni_bin_dir.iter().map(absolute).collect::<Result<_, _>>()?,
        }))
    }
}

/// What is done when the machine is shut down.
#[derive(Args, Clone, Debug, Default)]
pub struct ShutdownFlags {
    /// How long a shutdown of this machine waits for its pods to end, in seconds; systemd-logind holds it back meanwhile
    /// [default: 0, not at all: pods are started again at the next start]
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    pub shutdown_grace_period: u64,
    /// How much of that is kept for critical pods, which go last
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub shutdown_grace_period_critical_pods: u64,
}

impl ShutdownFlags {
    /// What they ask for, if it is anything.
    pub fn grace(&self) -> anyhow::Result<Option<kubelet::ShutdownGrace>> {
        let (total, critical) = (self.shutdown_grace_period, self.shutdown_grace_period_critical_pods);
        anyhow::ensure!(
            critical <= total,
            "--shutdown-grace-period-critical-pods is a part of --shutdown-grace-period, and cannot be longer"
        );
        let secs = std::time::Duration::from_secs;
        Ok((total > 0).then(|| kubelet::ShutdownGrace::new(secs(total), secs(critical))))
    }
}

/// What runs containers, if not we.
#[derive(Args, Clone, Debug, Default)]
pub struct RuntimeFlags {
    /// The socket of a container runtime (containerd, CRI-O) that is asked over CRI instead of our own, and puts pods on the
    /// networks of its own CNI configuration: unix:///run/containerd/containerd.sock [default: as at the last start, and at
    /// the first our own runtime]
    #[arg(long, value_name = "ADDRESS")]
    pub container_runtime_endpoint: Option<String>,
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// How our runtime speaks to registries.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryFlags {
    /// A file that says how registries are spoken to, a line for each: `docker.io: {mirrors: [mirror.example.com]}`,
    /// `registry.example.com:5000: {plainHttp: true}`; also skipVerify and authorities (a file of certificates) [default:
    /// DIR/registries.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub registries: Option<PathBuf>,
}

impl RuntimeFlags {
    /// The socket that is meant: as at the last start if nothing is said.
    pub fn socket(&self, before: Option<&PathBuf>) -> anyhow::Result<Option<PathBuf>> {
        let Some(address) = &self.container_runtime_endpoint else { return Ok(before.cloned()) };
        let path = PathBuf::from(address.strip_prefix("unix://").unwrap_or(address));
        anyhow::ensure!(
            path.is_absolute(),
            "--container-runtime-endpoint {address}: give a socket of this machine as unix:///PATH"
        );
        Ok(Some(path))
    }
}

/// `ironclad runtime`
#[derive(Args, Clone, Debug)]
pub struct Runtime {
    #[command(flatten)]
    pub instance: Instance,
    #[command(flatten)]
    pub registries: RegistryFlags,
    /// The addresses of this machine's pods; one range of IPv4 and one of IPv6 for both
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.244.0.0/24")]
    pub pod_cidr: Vec<IpNet>,
    /// The machine's address [default: that of the interface that leads to the internet]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// Print more: info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// `ironclad net …`
#[derive(Clone, Debug, Subcommand)]
pub enum Net {
    /// Say hop by hop what would happen to a packet, and what decides
    ///
    /// What decides is a name, a Service and its endpoints, the NetworkPolicies of both sides, the way between the
    /// nodes. Nothing is sent: it is worked out from what the API says, by the same decisions that make the rules.
    /// Ends with 0 if the packet arrives or leaves the cluster, else with 1.
    ///
    ///   ironclad net trace client web:80
    ///   ironclad net trace shop/cart db.data.svc.cluster.local:5432
    ///   ironclad net trace shop/cart 10.244.1.7:53 --udp
    ///   ironclad net trace 203.0.113.9 192.0.2.1:30080      (an address outside, and a node port)
    #[command(verbatim_doc_comment)]
    Trace(NetTrace),
}

/// `ironclad net trace`
#[derive(Args, Clone, Debug)]
pub struct NetTrace {
    #[command(flatten)]
    pub instance: Instance,
    /// Who sends: POD, NAMESPACE/POD or an address
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where to: a name or an address, and the port
    #[arg(value_name = "TO:PORT")]
    pub to: String,
    /// The namespace of a pod that is named without one
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Over UDP instead of TCP
    #[arg(long)]
    pub udp: bool,
}

/// `ironclad token …`
#[derive(Clone, Debug, Subcommand)]
pub enum Token {
    /// Make a token and print how a machine joins with it
    Create(TokenCreate),
}

/// `ironclad token create`
#[derive(Args, Clone, Debug)]
pub struct TokenCreate {
    #[command(flatten)]
    pub instance: Instance,
    /// For how many hours machines can join with it
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub hours: u32,
}

/// Where the objects are kept.
#[derive(Args, Clone, Debug, Default)]
pub struct DatastoreFlags {
    /// Where the objects are kept: `embedded`, or `etcd://HOST:PORT,HOST:PORT/PREFIX` (`etcds://` for TLS) [default: as
    /// at the last start, and at the first `embedded`]
    #[arg(long, value_name = "ADDRESS")]
    pub datastore: Option<String>,
    #[command(flatten)]
    pub certificates: EtcdCertificates,
}

/// What is trusted and shown where etcd is reached by TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct EtcdCertificates {
    /// Who signed the certificates of etcd
    #[arg(long, value_name = "FILE")]
    pub datastore_ca: Option<PathBuf>,
    /// Our own certificate for etcd
    #[arg(long, value_name = "FILE", requires = "datastore_key")]
    pub datastore_cert: Option<PathBuf>,
    /// The key of our certificate for etcd
    #[arg(long, value_name = "FILE", requires = "datastore_cert")]
    pub datastore_key: Option<PathBuf>,
}

/// `ironclad backup`
#[derive(Args, Clone, Debug)]
pub struct Backup {
    #[command(flatten)]
    pub instance: Instance,
    /// The file to write, which must not exist
    pub file: PathBuf,
}

/// `ironclad restore`
#[derive(Args, Clone, Debug)]
pub struct Restore {
    #[command(flatten)]
    pub instance: Instance,
    /// The backup
    pub file: PathBuf,
}

/// `ironclad datastore …`
#[derive(Clone, Debug, Subcommand)]
pub enum Datastore {
    /// Move all objects from one place to another, while no server runs; the old place stays as it is
    Migrate(DatastoreMigrate),
    /// Read everything that is stored and say what is wrong with it, while no server runs
    Check(DatastoreCheck),
}

/// `ironclad datastore migrate`
#[derive(Args, Clone, Debug)]
pub struct DatastoreMigrate {
    #[command(flatten)]
    pub instance: Instance,
    /// Where the objects are: `embedded` or `etcd://…`
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    /// Where they shall be, which must have none: `embedded` or `etcd://…`
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    #[command(flatten)]
    pub certificates: EtcdCertificates,
}

/// `ironclad datastore check`
#[derive(Args, Clone, Debug)]
pub struct DatastoreCheck {
    #[command(flatten)]
    pub instance: Instance,
    /// A backup to look over, instead of the cluster's own objects
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
    #[command(flatten)]
    pub datastore: DatastoreFlags,
}

/// `ironclad down`
#[derive(Args, Clone, Debug)]
pub struct Down {
    #[command(flatten)]
    pub instance: Instance,
    /// The node lives in a space of its own: only what is in it is freed
    #[arg(long, hide = true)]
    pub in_space: bool,
    /// Delete the data too
    #[arg(long)]
    pub purge: bool,
}

/// `ironclad image …`
#[derive(Clone, Debug, Subcommand)]
pub enum Image {
    /// Take images in from an archive, as `docker save` and `skopeo copy oci-archive:` write them
    Import(ImageImport),
    /// Fetch an image from its registry
    Pull(ImagePull),
    /// List the images
    Ls(Instance),
}

/// `ironclad image import`
#[derive(Args, Clone, Debug)]
pub struct ImageImport {
    #[command(flatten)]
    pub instance: Instance,
    /// The archives
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `ironclad image pull`
#[derive(Args, Clone, Debug)]
pub struct ImagePull {
    #[command(flatten)]
    pub instance: Instance,
    /// The image, as a pod would name it
    pub image: String,
}

/// `ironclad kubectl …`: everything after the name is kubectl's own.
#[derive(Args, Clone, Debug)]
pub struct Kubectl {
    /// What kubectl is to do; `ironclad kubectl --help` lists it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<std::ffi::OsString>,
}

/// `ironclad hello`
#[derive(Args, Clone, Debug)]
pub struct Hello {
    /// The port to serve on
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_has_the_defaults_that_the_readme_promises() {
        let Command::Up(up) = Cli::parse_from(["ironclad", "up"]).command else { unreachable!("it is up") };
        assert_eq!(up.instance.data_dir, PathBuf::from("/var/lib/ironclad"));
        assert_eq!((up.port, up.control_plane_only, up.foreground), (6443, false, false));
    }

    #[test]
    fn kubectls_flags_are_left_to_kubectl() {
        let cli = Cli::parse_from(["ironclad", "kubectl", "get", "pods", "-A", "--help"]);
        let Command::Kubectl(kubectl) = cli.command else { unreachable!("it is kubectl") };
        assert_eq!(kubectl.args, ["get", "pods", "-A", "--help"]);
    }
}
