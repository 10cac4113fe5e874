//! containerd with runc and a pod network of CNI's plugins, with directories of its own, asked over CRI for the same pods.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use env::Env;

use super::IMAGE;
use super::grpc::{Message, Service};
use crate::cluster::until;

const PLUGINS: &str = "/usr/lib/cni";
/// In the namespace of CRI, processes of its own (the numbers of `NamespaceMode`).
const CONTAINER: u64 = 1;

/// A containerd that runs.
#[derive(Debug)]
pub struct Containerd {
    process: Child,
    runtime: Service,
    directory: PathBuf,
}

impl Containerd {
    /// Whether all that it takes is installed.
    pub fn find() -> bool {
        let is_there = |program: &str| {
            let asked =
                Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        is_there("containerd") && is_there("runc") && Path::new(PLUGINS).join("ptp").exists()
    }

    /// Starts it in `directory`, with the image.
    pub async fn start(directory: &Path, archive: &Path, env: &Env) -> Result<Containerd> {
        std::fs::create_dir_all(directory.join("cni"))?;
        std::fs::write(directory.join("config.toml"), configuration(directory))?;
        std::fs::write(directory.join("cni/10-bench.conflist"), network(directory))?;
        let log = std::fs::File::create(directory.join("log"))?;
        let process = Command::new("containerd")
            .arg("--config")
            .arg(directory.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("containerd")?;
        let socket = directory.join("containerd.sock");
        let connect = || Service::connect(&socket, "runtime.v1.RuntimeService", env);
        until(env, env.clock.monotonic(), || async {
            let Ok(service) = connect().await else { return false };
            service.call("Version", &Message::default()).await.is_ok()
        })
        .await
        .context("containerd does not answer")?;
        let runtime = connect().await?;
        let imported = Command::new("ctr")
            .arg("--address")
            .arg(&socket)
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive)
            .stdout(Stdio::null())
            .status()
            .context("ctr")?;
        let containerd = Containerd { process, runtime, directory: directory.to_owned() };
        ensure!(imported.success(), "containerd does not take the image");
        Ok(containerd)
    }

    /// A pod, from nothing to its process. Answers its sandbox and its container.
    pub async fn pod(&self, name: &str) -> Result<(String, String)> {
        let config = self.sandbox(name);
        let sandbox = self.runtime.call("RunPodSandbox", &Message::default().message(1, &config)).await?;
        let container = Message::default()
            .message(1, &Message::default().text(1, "main"))
            .message(2, &Message::default().text(1, IMAGE))
            .text(3, "sleep")
            .text(4, "1000000")
            .text(11, "main/0.log")
            .message(15, &Message::default().message(2, &Message::default().message(3, &own_processes())));
        let request = Message::default().text(1, &sandbox).message(2, &container).message(3, &config);
        std::fs::create_dir_all(self.directory.join("logs").join(name).join("main"))?;
        let container = self.runtime.call("CreateContainer", &request).await?;
        self.runtime.call("StartContainer", &Message::default().text(1, &container)).await?;
        Ok((sandbox, container))
    }

    fn sandbox(&self, name: &str) -> Message {
        let metadata = Message::default().text(1, name).text(2, name).text(3, "bench");
        let security = Message::default().message(1, &own_processes());
        let linux = Message::default().text(1, "/ic-bench-peer").message(2, &security);
        Message::default()
            .message(1, &metadata)
            .text(2, name)
            .text(3, &self.directory.join("logs").join(name).to_string_lossy())
            .message(8, &linux)
    }

    /// Runs `true` in a container.
    pub async fn exec(&self, container: &str) -> Result<()> {
        let request = Message::default().text(1, container).text(2, "true").number(3, 10);
        self.runtime.call("ExecSync", &request).await.map(drop)
    }

    /// Ends a pod.
    pub async fn remove(&self, sandbox: &str) -> Result<()> {
        let request = Message::default().text(1, sandbox);
        self.runtime.call("StopPodSandbox", &request).await?;
        self.runtime.call("RemovePodSandbox", &request).await.map(drop)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Its pods were removed, and their shims with them.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // Where it made none there is none.
            let _ = std::fs::remove_dir(hierarchy.path().join("ic-bench-peer"));
        }
    }
}

fn own_processes() -> Message {
    Message::default().number(2, CONTAINER)
}

fn configuration(directory: &Path) -> String {
    let at = directory.display();
    format!(
        r#"version = 2
root = "{at}/root"
state = "{at}/state"
[grpc]
address = "{at}/containerd.sock"
[ttrpc]
address = "{at}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "{IMAGE}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{at}/cni"
"#
    )
}

fn network(directory: &Path) -> String {
    let leases = directory.join("leases");
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "bench",
        "plugins": [{
            "type": "ptp",
            "ipam": { "type": "host-local", "subnet": "10.200.0.0/16", "dataDir": leases },
        }],
    })
    .to_string()
}
