//! `bench idle [BINARY]`: what a cluster costs that has nothing to do: memory of all its processes, CPU over a minute.

use std::time::Duration;

use anyhow::Result;
use env::Env;

use crate::cluster::{Cluster, enter_namespaces, measured_binary};
use crate::process::{cpu_seconds, resident_mib};
use crate::report::{Figure, print};

/// How long it may calm down before it is measured.
const SETTLE: Duration = Duration::from_secs(15);
/// How long it is measured.
const PERIOD: Duration = Duration::from_secs(60);

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let size = std::fs::metadata(&binary)?.len();
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    cluster.begin_up()?.wait()?;
    let process = cluster.process()?;
    env.clock.sleep(SETTLE).await;
    let before = cpu_seconds(process)?;
    env.clock.sleep(PERIOD).await;
    let used = cpu_seconds(process)? - before;
    print(&[
        Figure::at_most("idle/memory", resident_mib(process)?, "MiB", 64.0).against("upstream", 494.0),
        Figure::at_most("idle/cpu", 100.0 * used / PERIOD.as_secs_f64(), "% of a core", 0.5)
            .against("upstream", 3.5),
        Figure::at_most("idle/binary", size as f64 / 1e6, "MB", 60.0),
    ]);
    Ok(())
}
