//! `bench node [BINARY]`: pods on one node, all the way from the API to their process: one after the other, many at
//! once, and many that are quiet; beside them, if it is installed, containerd with runc, told over CRI what a kubelet
//! would tell it.

mod grpc;
mod peer;
mod pods;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use env::Env;

use self::peer::Containerd;
use self::pods::Pods;
use crate::cluster::{Cluster, enter_namespaces, measured_binary};
use crate::process::{cpu_seconds, resident_mib};
use crate::report::{Figure, print};

/// Pods and commands that are measured one after the other.
const ROUNDS: usize = 100;
/// Pods at once.
const BURST: usize = 100;
/// Quiet pods on each of two nodes.
const QUIET: usize = 150;
/// How long they may calm down before they are measured, and for how long they are.
const SETTLE: Duration = Duration::from_secs(20);
const PERIOD: Duration = Duration::from_secs(60);

/// The image of all pods: Debian's static busybox.
const IMAGE: &str = "bench.local/busybox:1";

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    let archive = cluster.data().with_file_name("busybox.tar");
    make_archive(&archive)?;
    let theirs = match Containerd::find() {
        true => Some(measure_peer(&cluster.data().with_file_name("containerd"), &archive, &env).await?),
        false => {
            println!("containerd, runc or the CNI plugins are not installed: nothing to compare with");
            None
        }
    };
    ensure!(cluster.begin_nodes(3)?.wait()?.success(), "the cluster does not start");
    cluster.import(&archive)?;
    let pods = Pods::follow(&cluster, &env).await?;
    let ours = measure(&pods).await?;
    let quiet = measure_quiet(&cluster, &pods, &env).await?;
    print(&figures(&ours, theirs.as_ref(), &quiet));
    Ok(())
}

/// How long things took.
#[derive(Debug, Default)]
struct Times {
    /// One pod, from the answer that it exists to the news that it runs.
    starts: Vec<Duration>,
    execs: Vec<Duration>,
    burst: Duration,
}

/// What pods cost that have nothing to do.
struct Quiet {
    base_mib: f64,
    pod_mib: f64,
    cpu_percent: f64,
}

async fn measure(pods: &Pods) -> Result<Times> {
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let name = format!("one-{round}");
        times.starts.push(pods.start(&name).await?);
        times.execs.push(pods.exec(&name).await?);
        pods.delete(&name).await?;
    }
    times.burst = pods.start_all("burst", BURST, "bench").await?;
    pods.delete_all().await?;
    Ok(times)
}

async fn measure_peer(directory: &Path, archive: &Path, env: &Env) -> Result<Times> {
    let containerd = Containerd::start(directory, archive, env).await?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let begin = env.clock.monotonic();
        let (sandbox, container) = containerd.pod(&format!("one-{round}")).await?;
        times.starts.push(env.clock.monotonic() - begin);
        let begin = env.clock.monotonic();
        containerd.exec(&container).await?;
        times.execs.push(env.clock.monotonic() - begin);
        containerd.remove(&sandbox).await?;
    }
    let begin = env.clock.monotonic();
    let names: Vec<String> = (0..BURST).map(|number| format!("burst-{number}")).collect();
    let made = futures_util::future::try_join_all(names.iter().map(|name| containerd.pod(name))).await?;
    times.burst = env.clock.monotonic() - begin;
    for (sandbox, _) in made {
        containerd.remove(&sandbox).await?;
    }
    Ok(times)
}

/// Fills the two nodes whose agents are processes of their own, and looks at them.
async fn measure_quiet(cluster: &Cluster, pods: &Pods, env: &Env) -> Result<Quiet> {
    const NODES: [&str; 2] = ["bench-2", "bench-3"];
    let agents: Vec<u32> = NODES.iter().map(|node| cluster.agent(node)).collect::<Result<_>>()?;
    let memory = || agents.iter().map(|agent| resident_mib(*agent)).sum::<Result<f64>>();
    let cpu = || agents.iter().map(|agent| cpu_seconds(*agent)).sum::<Result<f64>>();
    let base = memory()?;
    for node in NODES {
        pods.start_all(&format!("quiet-{node}"), QUIET, node).await?;
    }
    env.clock.sleep(SETTLE).await;
    let before = cpu()?;
    env.clock.sleep(PERIOD).await;
    let used = cpu()? - before;
    let (nodes, all) = (NODES.len() as f64, (NODES.len() * QUIET) as f64);
    let quiet = Quiet {
        base_mib: base / nodes,
        pod_mib: (memory()? - base) / all,
        cpu_percent: 100.0 * used / PERIOD.as_secs_f64(),
    };
    pods.delete_all().await?;
    Ok(quiet)
}

fn figures(ours: &Times, theirs: Option<&Times>, quiet: &Quiet) -> Vec<Figure> {
    let against = |figure: Figure, of: &dyn Fn(&Times) -> f64| match theirs {
        Some(theirs) => figure.against("containerd", of(theirs)),
        None => figure,
    };
    let median = |times: &Times| percentile(&times.starts, 50);
    let slowest = |times: &Times| percentile(&times.starts, 99);
    let exec = |times: &Times| percentile(&times.execs, 50);
    let burst = |times: &Times| times.burst.as_secs_f64();
    // A quarter of what containerd takes; without it, as long as it took on the machine this was written on.
    let burst_bound = theirs.map_or(10.0, |theirs| burst(theirs) / 4.0);
    vec![
        against(Figure::at_most("node/pod-p50", median(ours), "ms", 60.0), &median),
        against(Figure::at_most("node/pod-p99", slowest(ours), "ms", 250.0), &slowest),
        against(Figure::at_most("node/burst-of-100", burst(ours), "s", burst_bound), &burst),
        against(Figure::at_most("node/exec-true", exec(ours), "ms", 15.0), &exec),
        Figure::at_most("node/agent-memory", quiet.base_mib, "MiB", 30.0),
        Figure::at_most("node/memory-of-a-pod", quiet.pod_mib, "MiB", 0.3),
        Figure::at_most("node/cpu-of-300-pods", quiet.cpu_percent, "% of a core", 2.0),
    ]
}

/// Milliseconds that so many of a hundred did not exceed.
fn percentile(times: &[Duration], of_hundred: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() - 1) * of_hundred / 100].as_secs_f64() * 1_000.0
}

/// The same archive for both. Its command is to wait, so that it can be containerd's pause image too.
pub fn make_archive(file: &Path) -> Result<()> {
    let status = Command::new("python3")
        .arg("tests/images/busybox.py")
        .arg(file)
        .args([IMAGE, "--command", "sleep", "--command", "1000000"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .context("python3")?;
    ensure!(status.success(), "the image cannot be made");
    Ok(())
}
