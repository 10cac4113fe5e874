//! A cluster to measure: the release binary in a network and mount namespace of its own, with data of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use client::https::{Config, Connection, Credentials};
use env::Env;

/// Set in the process that is already inside the namespaces.
const INSIDE: &str = "IRONCLAD_BENCH_INSIDE";
/// The node's address there: one set aside for documentation.
const NODE_IP: &str = "192.0.2.78";

/// Runs this very command again in fresh namespaces, unless it is there already. Answers whether it was.
pub fn enter_namespaces() -> Result<bool> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "slave"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .context("unshare: run this as root")?;
    ensure!(status.success(), "the measurement failed");
    Ok(false)
}

/// A directory for one cluster, and the cluster in it if it was started.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    directory: PathBuf,
}

/// The program to measure: the first argument, or the one that was built here.
pub fn measured_binary(arguments: &[String]) -> Result<PathBuf> {
    let binary = arguments.first().map_or("target/release/ironclad", String::as_str);
    std::fs::canonicalize(binary).with_context(|| binary.to_owned())
}

impl Cluster {
    /// Prepares the namespaces and an empty directory. Nothing is started yet.
    pub fn prepare(binary: &Path) -> Result<Cluster> {
        let quietly = |words: &[&str]| -> Result<()> {
            let status = Command::new("ip").args(words).stderr(Stdio::null()).status().context("ip")?;
            // Made already by an earlier measurement of the same run.
            let _ = status;
            Ok(())
        };
        quietly(&["link", "set", "lo", "up"])?;
        quietly(&["link", "add", "uplink0", "type", "veth", "peer", "name", "uplink1"])?;
        quietly(&["addr", "add", &format!("{NODE_IP}/24"), "dev", "uplink0"])?;
        quietly(&["link", "set", "uplink0", "up"])?;
        quietly(&["link", "set", "uplink1", "up"])?;
        quietly(&["route", "add", "default", "via", "192.0.2.1", "dev", "uplink0"])?;
        let directory = std::env::temp_dir().join(format!("ic-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        Ok(Cluster { binary: binary.to_owned(), directory })
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Begins `ironclad up`; it ends when the cluster is ready.
    pub fn begin_up(&self) -> Result<std::process::Child> {
        self.begin(&["--node-name", "bench", "--node-ip", NODE_IP])
    }

    /// Begins `ironclad up` with so many nodes: `bench`, and `bench-2` and so on, which are processes of their own.
    pub fn begin_nodes(&self, nodes: u8) -> Result<std::process::Child> {
        self.begin(&["--node-name", "bench", "--node-ip", NODE_IP, "--nodes", &nodes.to_string()])
    }

    /// Begins `ironclad up` without a scheduler: pods exist, and nobody tries to place them.
    pub fn begin_unscheduled(&self) -> Result<std::process::Child> {
        self.begin(&["--node-name", "bench", "--node-ip", NODE_IP, "--disable-scheduler"])
    }

    /// Begins `ironclad up --control-plane-only`; it ends when the API is ready.
    pub fn begin_control_plane(&self) -> Result<std::process::Child> {
        self.begin(&["--control-plane-only"])
    }

    fn begin(&self, flags: &[&str]) -> Result<std::process::Child> {
        Command::new(&self.binary)
            .arg("up")
            .args(flags)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{}", self.binary.display()))
    }

    /// Stops the cluster; its data stays.
    pub fn stop(&self) -> Result<()> {
        let status = Command::new(&self.binary)
            .args(["down", "--data-dir"])
            .arg(self.data())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the cluster does not stop");
        Ok(())
    }

    /// Runs `ironclad kubectl` and fails if it does.
    pub fn kubectl(&self, words: &[&str]) -> Result<()> {
        let status = Command::new(&self.binary)
            .arg("kubectl")
            .args(words)
            .env("KUBECONFIG", self.kubeconfig())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "kubectl {} failed", words.join(" "));
        Ok(())
    }

    /// Takes the images of an archive in, on every node.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let status = Command::new(&self.binary)
            .args(["image", "import", "--data-dir"])
            .arg(self.data())
            .arg(archive)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the image was not taken in");
        Ok(())
    }

    /// A client as the administrator, once the certificates are there.
    pub fn client(&self, env: &Env) -> Result<Client> {
        Ok(Client::new(Arc::new(self.connection(env)?)))
    }

    /// A connection as the administrator, once the certificates are there.
    pub fn connection(&self, env: &Env) -> Result<Connection> {
        let read = |name: &str| std::fs::read(self.data().join("pki").join(name));
        let config = Config {
            server: "https://127.0.0.1:6443".to_owned(),
            ca: read("ca.crt")?,
            credentials: Credentials::Token(String::from_utf8(read("admin.token")?)?),
            user_agent: "bench".to_owned(),
            ..Config::default()
        };
        Ok(Connection::new(&config, env)?)
    }

    /// The process that runs the cluster.
    pub fn process(&self) -> Result<u32> {
        process_of(&self.data())
    }

    /// The process of a node that is one of its own.
    pub fn agent(&self, node: &str) -> Result<u32> {
        process_of(&self.data().join("nodes").join(node))
    }
}

fn process_of(data: &Path) -> Result<u32> {
    let text = std::fs::read_to_string(data.join("ironclad.pid"))?;
    text.trim().parse().context("the lock file holds no process id")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let down = Command::new(&self.binary)
            .args(["down", "--purge", "--data-dir"])
            .arg(self.data())
            .stdout(Stdio::null())
            .status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!("the cluster in {} could not be taken down", self.directory.display());
        }
        // What is left is an empty directory or evidence.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits until `attempt` answers true; how long it took since `begin`.
pub async fn until<F: Future<Output = bool>>(
    env: &Env,
    begin: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<Duration> {
    loop {
        if attempt().await {
            return Ok(env.clock.monotonic() - begin);
        }
        if env.clock.monotonic() - begin > Duration::from_secs(60) {
            bail!("it did not happen within a minute");
        }
        env.clock.sleep(Duration::from_millis(5)).await;
    }
}
