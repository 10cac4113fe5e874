//! What the flags mean: every path, address and name of an instance, worked out once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ipnet::{IpNet, Ipv4Net};

use crate::args::{DEFAULT_DATA_DIR, Up};
use crate::datastore::Datastore;
use crate::settings::Settings;

/// The addresses of Services where none are chosen: kubeadm's habit.
const SERVICES: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16));
/// The addresses of pods where none are chosen: flannel's habit.
const PODS: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16));

/// The domain of Service names.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

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

    /// Where `ironclad image` asks.
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
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

/// A cluster as it is to be started.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where.
    pub instance: Instance,
    /// The API server's address.
    pub listen: SocketAddr,
    /// How clients on this machine reach the API server.
    pub server_url: String,
    /// The node's name.
    pub node_name: String,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The addresses of Services.
    pub service_cidr: IpNet,
    /// The addresses of pods.
    pub pod_cidr: IpNet,
    /// The first address of the Services: the API server's own.
    pub api_service_ip: IpAddr,
    /// The tenth: DNS.
    pub dns_ip: IpAddr,
    /// No controllers, no scheduler, no node.
    pub control_plane_only: bool,
    /// Where the objects are kept.
    pub datastore: Datastore,
    /// Where the administrator's kubeconfig goes.
    pub kubeconfig: PathBuf,
}

/// What a cluster is made of; all else follows from it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The API server's address.
    pub listen: SocketAddr,
    /// The node's name.
    pub node_name: String,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The addresses of Services.
    pub service_cidr: IpNet,
    /// The addresses of pods.
    pub pod_cidr: IpNet,
    /// Where the administrator's kubeconfig goes.
    pub kubeconfig: PathBuf,
    /// No controllers, no scheduler, no node.
    pub control_plane_only: bool,
    /// Where the objects are kept.
    pub datastore: Datastore,
}

impl Cluster {
    /// From the flags of `up`; what they leave open is as it was at the last start, and at the first as the machine
    /// has it.
    pub fn from_flags(flags: &Up) -> anyhow::Result<Cluster> {
        let instance = Instance::in_dir(&flags.instance.data_dir)?;
        let before = match Settings::read(&instance)? {
            Some(settings) => Some(settings.cluster(&instance)?),
            None => None,
        };
        let before = before.as_ref();
        let kubeconfig = match &flags.kubeconfig {
            Some(file) => std::path::absolute(file)?,
            None => instance.kubeconfig(),
        };
        Cluster::new(
            instance,
            Parts {
                listen: SocketAddr::new(flags.bind, flags.port),
                node_name: match (&flags.node_name, before) {
                    (None, Some(before)) => before.node_name.clone(),
                    (named, _) => node_name(named.as_deref())?,
                },
                node_ip: flags.node_ip.unwrap_or_else(default_address),
                service_cidr: flags
                    .service_cidr
                    .or(before.map(|before| before.service_cidr))
                    .unwrap_or(SERVICES),
                pod_cidr: flags.pod_cidr.or(before.map(|before| before.pod_cidr)).unwrap_or(PODS),
                kubeconfig,
                control_plane_only: flags.control_plane_only,
                datastore: Datastore::from_flags(&flags.datastore, before.map(|before| &before.datastore))?,
            },
        )
    }

    /// Works out what follows from the parts.
    pub fn new(instance: Instance, parts: Parts) -> anyhow::Result<Cluster> {
        ensure!(
            !overlap(&parts.service_cidr, &parts.pod_cidr),
            "Services ({}) and pods ({}) must not share addresses; choose another --service-cidr or --pod-cidr",
            parts.service_cidr,
            parts.pod_cidr
        );
        let bound = parts.listen.ip();
        let host = if bound.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound };
        Ok(Cluster {
            listen: parts.listen,
            server_url: format!("https://{}", SocketAddr::new(host, parts.listen.port())),
            api_service_ip: nth_address(&parts.service_cidr, 1)?,
            dns_ip: nth_address(&parts.service_cidr, 10)?,
            node_name: parts.node_name,
            node_ip: parts.node_ip,
            service_cidr: parts.service_cidr,
            pod_cidr: parts.pod_cidr,
            control_plane_only: parts.control_plane_only,
            datastore: parts.datastore,
            kubeconfig: parts.kubeconfig,
            instance,
        })
    }
}

/// The given name, or the host's as a node may be called: lower case, as DNS has it.
fn node_name(given: Option<&str>) -> anyhow::Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase(),
    };
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    let ends = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    ensure!(
        name.chars().all(fits) && name.starts_with(ends) && name.ends_with(ends) && name.len() <= 253,
        "{name:?} cannot be a node's name (lower case letters, digits, '-' and '.'); give one with --node-name"
    );
    Ok(name)
}

/// The address of the interface that leads to the internet, without sending anything there.
fn default_address() -> IpAddr {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Connecting a datagram socket only looks the route up. The address is one set aside for documentation.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    match probe() {
        Ok(address) if !address.ip().is_unspecified() => address.ip(),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

fn nth_address(net: &IpNet, n: usize) -> anyhow::Result<IpAddr> {
    let address = match net {
        IpNet::V4(net) => {
            u32::from(net.network()).checked_add(u32::try_from(n)?).map(|ip| IpAddr::V4(ip.into()))
        }
        IpNet::V6(net) => u128::from(net.network()).checked_add(n as u128).map(|ip| IpAddr::V6(ip.into())),
    };
    address
        .filter(|address| net.contains(address))
        .with_context(|| format!("{net} has too few addresses for Services; a /16 is usual, a /24 the least"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn cluster(flags: &[&str]) -> anyhow::Result<Cluster> {
        let words = ["ironclad", "up", "--node-name", "n1", "--node-ip", "192.0.2.7"];
        let place = ["--data-dir", "/nonexistent"];
        let elsewhere = if flags.contains(&"--data-dir") { &[][..] } else { &place[..] };
        let cli = Cli::parse_from(words.iter().chain(elsewhere).chain(flags));
        let Command::Up(up) = cli.command else { unreachable!("it is up") };
        Cluster::from_flags(&up)
    }

    #[test]
    fn addresses_follow_from_the_ranges() {
        let cluster = cluster(&["--service-cidr", "10.0.0.0/16"]).expect("right flags");
        assert_eq!(cluster.api_service_ip.to_string(), "10.0.0.1");
        assert_eq!(cluster.dns_ip.to_string(), "10.0.0.10");
        assert_eq!(cluster.server_url, "https://127.0.0.1:6443");
    }

    #[test]
    fn what_is_not_said_is_as_it_was_at_the_last_start() {
        let dir = std::env::temp_dir().join(format!("ironclad-again-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let place = dir.to_str().expect("a temporary directory has a plain name");
        let first = cluster(&["--data-dir", place, "--pod-cidr", "10.9.0.0/16"]).expect("right flags");
        Settings::of(&first).keep(&first.instance).expect("written");
        let Command::Up(up) = Cli::parse_from(["ironclad", "up", "--data-dir", place]).command else {
            unreachable!("it is up")
        };
        let again = Cluster::from_flags(&up).expect("right flags");
        assert_eq!((again.node_name.as_str(), again.pod_cidr), ("n1", first.pod_cidr));
        std::fs::remove_dir_all(&dir).expect("ours");
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_do() {
        let shared = cluster(&["--service-cidr", "10.244.1.0/24"]).expect_err("they overlap");
        assert!(shared.to_string().contains("--pod-cidr"), "{shared}");
        let small = cluster(&["--service-cidr", "10.96.0.0/30"]).expect_err("no tenth address");
        assert!(small.to_string().contains("too few"), "{small}");
    }

    #[test]
    fn each_directory_is_an_instance_of_its_own() {
        let one = Instance::in_dir(Path::new("/a")).expect("a path");
        let other = Instance::in_dir(Path::new("/b")).expect("a path");
        assert_ne!(one.id, other.id);
        assert_eq!(one.id, Instance::in_dir(Path::new("/a")).expect("a path").id);
    }
}
