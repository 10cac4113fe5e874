//! What the machine is and has, read once.

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::StartError;
use crate::amounts::{self, Amounts};
use crate::config::{Config, Reserved};

/// The machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Processors.
    pub cpus: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of the file system that pods' files are on.
    pub storage: i64,
    /// Bytes of huge pages that are set aside, by their size (`2Mi`).
    pub hugepages: BTreeMap<String, i64>,
    /// How many pods.
    pub pods: u32,
    /// What is kept back.
    pub reserved: Reserved,
    /// Everything else.
    pub info: NodeSystemInfo,
}

/// Memory below which pods are evicted; they are not promised it.
const EVICTION_MEMORY: i64 = 100 << 20;

impl Facts {
    /// Reads them from the kernel.
    pub fn read(config: &Config) -> Result<Facts, StartError> {
        let meminfo = read("/proc/meminfo")?;
        let memory = memory(&meminfo);
        let storage = rustix::fs::statvfs(&config.root).map_or(0, |space| {
            i64::try_from(space.f_blocks.saturating_mul(space.f_frsize)).unwrap_or(i64::MAX)
        });
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let architecture = text(system.machine());
        Ok(Facts {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as i64),
            memory,
            storage,
            hugepages: hugepages(),
            pods: config.max_pods,
            reserved: config.reserved,
            info: NodeSystemInfo {
                architecture: go_architecture(&architecture).to_owned(),
                boot_id: read("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
                kernel_version: text(system.release()),
                kube_proxy_version: String::new(),
                kubelet_version: config.version.clone(),
                machine_id: first_line(&["/etc/machine-id", "/var/lib/dbus/machine-id"]),
                operating_system: "linux".to_owned(),
                os_image: os_name(&release),
                system_uuid: first_line(&["/sys/class/dmi/id/product_uuid", "/etc/machine-id"]),
                ..NodeSystemInfo::default()
            },
        })
    }

    /// All there is.
    pub fn capacity(&self) -> Amounts {
        let mut amounts = Amounts::from([
            ("cpu".to_owned(), amounts::from_millis(self.cpus * 1_000)),
            ("ephemeral-storage".to_owned(), kibibytes(self.storage)),
            ("memory".to_owned(), kibibytes(self.memory)),
            ("pods".to_owned(), Quantity(self.pods.to_string())),
        ]);
        for (size, bytes) in &self.hugepages {
            amounts.insert(format!("hugepages-{size}"), amounts::from_bytes(*bytes));
        }
        amounts
    }

    /// What pods may use of it.
    pub fn allocatable(&self) -> Amounts {
        let mut amounts = self.capacity();
        let cpu = (self.cpus * 1_000 - self.reserved.cpu_millis).max(0);
        amounts.insert("cpu".to_owned(), amounts::from_millis(cpu));
        let huge: i64 = self.hugepages.values().sum();
        let memory = self.memory - self.reserved.memory_bytes - EVICTION_MEMORY - huge;
        amounts.insert("memory".to_owned(), kibibytes(memory.max(0)));
        let storage = self.storage - self.storage / 10;
        amounts.insert("ephemeral-storage".to_owned(), Quantity(storage.to_string()));
        amounts
    }

    /// The labels every node has, and those it was given.
    pub fn labels(&self, config: &Config) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for (name, value) in [
            ("beta.kubernetes.io/arch", self.info.architecture.as_str()),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", self.info.architecture.as_str()),
            ("kubernetes.io/hostname", config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
        ] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        labels.extend(config.labels.clone());
        labels
    }
}

fn kibibytes(bytes: i64) -> Quantity {
    Quantity(format!("{}Ki", bytes / 1_024))
}

fn read(path: &'static str) -> Result<String, StartError> {
    fs::read_to_string(path).map_err(|source| StartError::Machine { path, source })
}

fn memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1_024)
}

fn hugepages() -> BTreeMap<String, i64> {
    let mut pages = BTreeMap::new();
    let directory = fs::read_dir("/sys/kernel/mm/hugepages");
    for entry in directory.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let size =
            name.strip_prefix("hugepages-").and_then(|name| name.strip_suffix("kB")?.parse::<i64>().ok());
        let count = fs::read_to_string(entry.path().join("nr_hugepages")).ok();
        let count = count.and_then(|count| count.trim().parse::<i64>().ok());
        if let (Some(size), Some(count)) = (size, count) {
            pages.insert(amounts::from_bytes(size * 1_024).0, size * 1_024 * count);
        }
    }
    pages
}

fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i686" | "i386" => "386",
        other => other,
    }
}

fn first_line(paths: &[&str]) -> String {
    let mut texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.find(|text| !text.trim().is_empty()).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
