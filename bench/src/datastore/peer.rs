//! etcd beside the embedded store: one member on the same disk, reached by the store's own client.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use env::{Clock, Env};
use store::Options;
use store::etcd::{Config, Etcd};

/// How long a member may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A member that runs as long as this exists.
pub struct Peer {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Peer {
    /// Starts a member in a new directory; `None` if there is no etcd on this machine.
    pub fn start(directory: &Path) -> Result<Option<Peer>> {
        let program = std::env::var("IRONCLAD_ETCD").unwrap_or_else(|_| "etcd".to_owned());
        if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("{program} is not there: nothing to compare with");
            return Ok(None);
        }
        std::fs::create_dir_all(directory)?;
        let free = || Ok::<u16, std::io::Error>(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port());
        let (port, peers) = (free()?, free()?);
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(directory)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Some(Peer { child, port, directory: directory.to_owned() }))
    }

    /// Its process, by number.
    pub fn process(&self) -> String {
        self.child.id().to_string()
    }

    /// A store on it, as soon as it is ready.
    pub async fn store(&self, clock: &Clock) -> Result<Arc<Etcd>> {
        let config =
            Config::parse(&format!("etcd://127.0.0.1:{}", self.port), None).map_err(anyhow::Error::msg)?;
        let until = clock.monotonic() + START_LIMIT;
        loop {
            match Etcd::open(config.clone(), Options::default(), Env::real()).await {
                Ok(store) => return Ok(store),
                Err(error) if clock.monotonic() > until => {
                    return Err(error).context("etcd does not get ready");
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; its directory goes in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
