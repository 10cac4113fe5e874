//! `ironclad up` and `ironclad server`: start a cluster on this machine and answer when it is ready.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::token;
use crate::args::Up;
use crate::background::{self, Taken};
use crate::compose::Running;
use crate::config::Cluster;
use crate::pki::{Pki, make_private_dir};
use crate::settings::Settings;
use crate::{kubeconfig, logging};

/// How long open work may take when the cluster stops.
const DRAIN: Duration = Duration::from_secs(10);
/// For how long others can join with what a server prints, in hours.
const TOKEN_HOURS: u32 = 24;

/// What is told when the cluster is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// How to use it.
    HowToUse,
    /// How other machines join it, too.
    HowToJoin,
}

/// Starts the cluster, or says that it runs already.
pub fn run(flags: &Up, what: Tell) -> anyhow::Result<()> {
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
        return background::run(|ready| serve(flags, &cluster, ready));
    }
    if let Some(pid) = background::running(&cluster.instance)? {
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
    background::start(&cluster.instance, &background::arguments(), Duration::from_secs(flags.wait))
        .context("the cluster did not start")?;
    tell(&cluster, clock.monotonic())?;
    if what == Tell::HowToJoin { token::print_new(&cluster, TOKEN_HOURS) } else { Ok(()) }
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
    background::threads()?.block_on(async {
        let start = async {
            let running = Running::start(cluster, &pki, environment.clone()).await?;
            running.ready().await;
            anyhow::Ok(running)
        };
        if let Some(running) = background::until_asked(start, |_| ready()).await? {
            running.stop(DRAIN).await;
        }
        Ok(())
    })
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
    // Another's runtime does not have the image that is built in.
    let image = if cluster.foreign_runtime.is_some() { "nginx" } else { "ironclad.local/hello" };
    writeln!(out, "  ironclad kubectl create deployment hello --image={image}")?;
    writeln!(out, "  ironclad kubectl get pods -o wide")?;
    writeln!(out, "  ironclad status")?;
    Ok(())
}
