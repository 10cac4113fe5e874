//! `ironclad down`: stops the cluster and frees all it holds of the machine.

use std::time::Duration;

use anyhow::{Context, ensure};
use env::Env;

use crate::args::Down;
use crate::background;
use crate::compose;
use crate::config::{Cluster, Instance};
use crate::pki::make_private_dir;
use crate::settings::Settings;

/// How long the process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops the process, then its containers and networks; with `--purge` the data goes too.
pub fn run(flags: &Down) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    if !instance.data_dir.exists() {
        println!("There is no cluster in {}.", instance.data_dir.display());
        return Ok(());
    }
    let was_running = match background::running(&instance)? {
        Some(pid) => {
            background::stop(pid, PATIENCE)?;
            true
        }
        None => false,
    };
    if let Some(settings) = Settings::read(&instance)?
        && !settings.control_plane_only
    {
        ensure!(
            rustix::process::geteuid().is_root(),
            "containers and networks are root's: run `ironclad down` with sudo"
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(free_node(&settings.cluster(&instance)?))?;
    }
    if flags.purge {
        purge(&instance)?;
        println!("The cluster and its data are gone.");
    } else if was_running {
        println!(
            "The cluster is down. Its data stays in {}; `ironclad up` brings it back.",
            instance.data_dir.display()
        );
    } else {
        println!("The cluster was not running. Its data is in {}.", instance.data_dir.display());
    }
    Ok(())
}

/// Ends the containers, then takes volumes and network back.
async fn free_node(cluster: &Cluster) -> anyhow::Result<()> {
    let env = Env::real();
    let network_config = compose::network_config(cluster)?;
    let here = network_config.namespace.clone();
    let pods = network_config.pod_net(env.clone()).context("the pod network cannot be opened")?;
    let engine = runtime::Engine::start(compose::runtime_config(cluster), pods, env)
        .await
        .context("the container runtime cannot be opened")?;
    engine.teardown().await.context("not all containers could be ended")?;
    kubelet::teardown(&cluster.instance.kubelet_dir()).context("not all volumes could be unmounted")?;
    network::teardown(&cluster.instance.id, &here, &cluster.instance.data_dir)
        .context("not all of the network could be taken back")?;
    Ok(())
}

fn purge(instance: &Instance) -> anyhow::Result<()> {
    // Whoever starts meanwhile would lose data: the lock keeps them out until everything is gone.
    make_private_dir(&instance.data_dir)?;
    let _lock = background::take_lock(instance)?;
    std::fs::remove_dir_all(&instance.data_dir)
        .with_context(|| format!("cannot delete {}", instance.data_dir.display()))?;
    let logs = instance.pod_logs_dir();
    if !logs.starts_with(&instance.data_dir) && logs.exists() {
        std::fs::remove_dir_all(&logs).with_context(|| format!("cannot delete {}", logs.display()))?;
    }
    Ok(())
}
