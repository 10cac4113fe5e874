//! The runtime alone: a pod from nothing to its process, a command run in it, many pods at once, and what each costs in
//! memory. With a network that does nothing; as root.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cri::{
    BoxFuture, ContainerConfig, NamespaceMode, Namespaces, NetworkRequest, PodId, PodNetwork, Runtime,
    SandboxConfig, Security,
};
use env::{Clock, Env};
use runtime::{Config, Engine};

/// How often each thing is measured.
const ROUNDS: usize = 100;
/// Pods at once.
const BURST: usize = 100;

#[derive(Debug)]
struct NoNetwork;

impl PodNetwork for NoNetwork {
    fn attach(&self, _request: NetworkRequest) -> BoxFuture<'_, cri::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn detach(&self, _sandbox: String) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep_only(&self, _sandboxes: Vec<String>) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Bench {
    engine: Arc<Engine>,
    image: String,
    clock: Clock,
    root: PathBuf,
}

/// `runtime [HELPER ARCHIVE]`: a program that calls `helper_main`, and an image archive with `/bin/sh`, `sleep` and `true`;
/// if nothing is said, the program that was built here and an archive of busybox.
pub async fn run(arguments: &[String]) -> Result<()> {
    let [helper, archive] = arguments else {
        anyhow::ensure!(
            arguments.is_empty(),
            "say: runtime [HELPER ARCHIVE] (the helper is `ironclad` or `ironclad-shim`; the archive has a shell)"
        );
        let helper = crate::cluster::measured_binary(arguments)?;
        let archive = std::env::temp_dir().join(format!("ironclad-bench-{}.tar", std::process::id()));
        crate::node::make_archive(&archive)?;
        let measured = measure(&helper, &archive).await;
        std::fs::remove_file(&archive)?;
        return measured;
    };
    measure(Path::new(helper), Path::new(archive)).await
}

async fn measure(helper: &Path, archive: &Path) -> Result<()> {
    let root = std::env::temp_dir().join(format!("ironclad-bench-{}", std::process::id()));
    let mut config = Config::new(&root, format!("bench-{}", std::process::id()));
    config.helper_exe = helper.canonicalize().context("the helper")?;
    let env = Env::real();
    let engine = Engine::start(config, Arc::new(NoNetwork), env.clone()).await?;
    let image = engine
        .import_archive(archive.to_owned())
        .await?
        .into_iter()
        .next()
        .context("the archive is empty")?;
    let bench = Bench { engine, image, clock: env.clock.clone(), root: root.clone() };
    let measured = bench.all().await;
    bench.engine.teardown().await?;
    std::fs::remove_dir_all(root)?;
    measured
}

impl Bench {
    async fn all(&self) -> Result<()> {
        let (mut sandboxes, mut starts, mut execs, mut ends) = (vec![], vec![], vec![], vec![]);
        for round in 0..ROUNDS {
            let start = self.clock.monotonic();
            let sandbox = self.engine.run_sandbox(self.sandbox(round)).await?;
            sandboxes.push(self.clock.monotonic() - start);
            let start = self.clock.monotonic();
            let id = self.container(&sandbox).await?;
            starts.push(self.clock.monotonic() - start);
            let start = self.clock.monotonic();
            self.engine.exec_sync(id, vec!["true".into()], 10).await?;
            execs.push(self.clock.monotonic() - start);
            let start = self.clock.monotonic();
            self.engine.remove_sandbox(sandbox).await?;
            ends.push(self.clock.monotonic() - start);
        }
        tell("sandbox made", sandboxes);
        tell("container made and started", starts);
        tell("command run", execs);
        tell("pod removed", ends);
        self.burst().await
    }

    async fn burst(&self) -> Result<()> {
        let start = self.clock.monotonic();
        let work = (0..BURST).map(|number| async move {
            let sandbox = self.engine.run_sandbox(self.sandbox(1_000 + number)).await?;
            self.container(&sandbox).await?;
            cri::Result::Ok(sandbox)
        });
        let made = futures_util::future::try_join_all(work).await?;
        println!("{BURST} pods at once: {} ms", (self.clock.monotonic() - start).as_millis());
        let shims: Vec<u64> =
            made.iter().filter_map(|id| private_memory(&self.root.join("s").join(id))).collect();
        let largest = shims.iter().max().copied().unwrap_or(0);
        let mean = shims.iter().sum::<u64>() / shims.len().max(1) as u64;
        println!("private memory of a shim: {mean} KiB on average, {largest} KiB at most");
        let start = self.clock.monotonic();
        futures_util::future::try_join_all(made.into_iter().map(|id| self.engine.remove_sandbox(id))).await?;
        println!("{BURST} pods removed: {} ms", (self.clock.monotonic() - start).as_millis());
        Ok(())
    }

    fn sandbox(&self, number: usize) -> SandboxConfig {
        SandboxConfig {
            pod: PodId { namespace: "bench".into(), name: format!("p{number}"), uid: format!("u{number}") },
            hostname: format!("p{number}"),
            log_directory: self.root.join("logs").join(number.to_string()),
            namespaces: Namespaces { pid: NamespaceMode::Container, ..Namespaces::default() },
            cgroup_parent: format!("kubepods/podu{number}"),
            ..SandboxConfig::default()
        }
    }

    async fn container(&self, sandbox: &str) -> cri::Result<String> {
        let config = ContainerConfig {
            name: "main".into(),
            image: self.image.clone(),
            command: vec!["sleep".into(), "1000".into()],
            log_path: "main/0.log".into(),
            security: Security {
                namespaces: Namespaces { pid: NamespaceMode::Container, ..Namespaces::default() },
                ..Security::default()
            },
            ..ContainerConfig::default()
        };
        let id = self.engine.create_container(sandbox.to_owned(), config).await?;
        self.engine.start_container(id.clone()).await?;
        Ok(id)
    }
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros() as f64 / 1_000.0;
    println!("{what}: {:.1} ms (median), {:.1} ms (99 of 100)", at(50), at(99));
}

/// What a shim has that it shares with nobody, in KiB.
fn private_memory(sandbox: &Path) -> Option<u64> {
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.join("shim.json")).ok()?).ok()?;
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", state.get("pid")?)).ok()?;
    let field = |name: &str| -> Option<u64> {
        rollup.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    Some(field("Private_Dirty:")? + field("Private_Clean:")?)
}
