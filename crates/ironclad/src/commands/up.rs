//! `ironclad up`: starts a cluster on this machine and answers when it is ready.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Up;
use crate::background::{self, Taken};
use crate::compose::Running;
use crate::config::Cluster;
use crate::pki::{Pki, make_private_dir};
use crate::settings::Settings;
use crate::{kubeconfig, logging};

/// How long open work may take when the cluster stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Starts the cluster, or says that it runs already.
pub fn run(flags: &Up) -> anyhow::Result<()> {
    let cluster = Cluster::from_flags(flags)?;
    if !cluster.control_plane_only {
        ensure!(
            rustix::process::geteuid().is_root(),
            "`ironclad up` makes network namespaces and mounts, which only root may: run it with sudo \
             (or take --control-plane-only)"
        );
    }
    make_private_dir(&cluster.instance.data_dir)?;
    if flags.report_start {
        return in_background(flags, &cluster);
    }
    if let Some(pid) = background::running_for_good(&cluster.instance)? {
        println!(
            "The cluster in {} runs already (process {}).",
            cluster.instance.data_dir.display(),
            pid.as_raw_nonzero()
        );
        println!("See `ironclad status`, or stop it with `ironclad down`.");
        return Ok(());
    }
    if flags.foreground {
        return serve(flags, &cluster, || {
            println!("The cluster is ready. KUBECONFIG={}", cluster.kubeconfig.display());
        });
    }
    let clock = env::Clock::real();
    background::start(&cluster.instance, &background_arguments(), Duration::from_secs(flags.wait))
        .context("the cluster did not start")?;
    tell(&cluster, clock.monotonic())
}

/// What was typed, and that the new process is to report.
fn background_arguments() -> Vec<String> {
    let typed = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    typed.chain(["--report-start".to_owned()]).collect()
}

/// The process in the background: what goes wrong at the start goes to whoever waits; the log has it too.
fn in_background(flags: &Up, cluster: &Cluster) -> anyhow::Result<()> {
    background::detach()?;
    let mut reported = false;
    let result = serve(flags, cluster, || {
        background::report("ready");
        reported = true;
    });
    if let Err(error) = &result
        && !reported
    {
        background::report(&format!("{error:#}"));
    }
    result
}

/// Runs the cluster until it is asked to end.
fn serve(flags: &Up, cluster: &Cluster, ready: impl FnOnce()) -> anyhow::Result<()> {
    let _lock = match background::take_lock(&cluster.instance)? {
        Taken::Ours(lock) => lock,
        Taken::By(pid) => anyhow::bail!("process {} runs this cluster already", pid.as_raw_nonzero()),
    };
    logging::start(&flags.log)?;
    let environment = env::Env::real();
    let pki = Pki::open(&cluster.instance.pki_dir(), cluster, environment.clock.now().secs())?;
    Settings::of(cluster).keep(&cluster.instance)?;
    kubeconfig::write(cluster, &pki, flags.kubeconfig.is_some())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let started = async {
            let running = Running::start(cluster, &pki, environment.clone()).await?;
            running.ready().await;
            anyhow::Ok(running)
        };
        let running = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            running = started => running?,
        };
        ready();
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; containers go on running");
        running.stop(DRAIN).await;
        Ok(())
    })
}

/// Threads for the cluster's own work: few, because it waits more than it computes.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

fn tell(cluster: &Cluster, took: Duration) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let what = if cluster.control_plane_only { "The API server is ready" } else { "The cluster is ready" };
    writeln!(out, "{what} after {:.1} s: {}", took.as_secs_f64(), cluster.server_url)?;
    if kubeconfig::plain_kubectl_finds_it(cluster) {
        writeln!(out, "kubectl finds it by itself. Try:")?;
    } else {
        writeln!(out, "Tell kubectl where it is, then try:")?;
        writeln!(out, "  export KUBECONFIG={}", cluster.kubeconfig.display())?;
    }
    writeln!(out, "  ironclad kubectl create deployment hello --image=ironclad.local/hello")?;
    writeln!(out, "  ironclad kubectl get pods -o wide")?;
    writeln!(out, "  ironclad status")?;
    Ok(())
}
