//! `ironclad down`: stops the cluster and frees all it holds of the machine.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::agent::Joined;
use super::runtime::Alone;
use crate::args::Down;
use crate::background;
use crate::compose::node::NodeParts;
use crate::config::Instance;
use crate::nodes;
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
    let settings = Settings::read(&instance)?;
    let joined = Joined::read(&instance)?;
    let alone = Alone::read(&instance)?;
    if joined.is_some()
        || alone.is_some()
        || settings.as_ref().is_some_and(|settings| !settings.control_plane_only)
    {
        ensure!(
            rustix::process::geteuid().is_root(),
            "containers and networks are root's: run `ironclad down` with sudo"
        );
    }
    for node in nodes::present(&instance)? {
        nodes::end(&node, flags.purge)?;
    }
    let parts = match (settings, joined) {
        (Some(settings), _) if settings.control_plane_only => None,
        (Some(settings), _) => Some(NodeParts::of_server(&settings.cluster(&instance)?)),
        (None, Some(joined)) => Some(joined.parts(instance.clone(), 0)),
        (None, None) => alone.map(|alone| alone.parts(instance.clone())),
    };
    if let Some(parts) = parts {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(parts.free())?;
    }
    if flags.in_space {
        return Ok(());
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
