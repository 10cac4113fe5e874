//! What controllers cost while nothing happens: a cluster with many pods is started anew, so that it holds what it must
//! and nothing of the making; then the API server alone on the same objects, and the difference is theirs.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use env::Env;
use http::{HeaderMap, Method};

use crate::cluster::Cluster;
use crate::process::{cpu_seconds, resident_mib};

/// How long it may calm down before it is measured.
const SETTLE: Duration = Duration::from_secs(20);
/// How long it is measured.
const PERIOD: Duration = Duration::from_secs(60);

/// What the node asks for.
const OWN_PODS: &str = "/api/v1/pods?fieldSelector=spec.nodeName%3Dbench";

/// What was measured.
pub struct Quiet {
    /// Of all the process: the API server, the controllers and a node without pods.
    pub percent_of_a_core: f64,
    /// What it holds more than the API server alone.
    pub added_mib: f64,
}

/// Measures a cluster that runs, and leaves its API server running.
pub async fn measure(cluster: &Cluster, env: &Env) -> Result<Quiet> {
    cluster.stop()?;
    ensure!(cluster.begin_unscheduled()?.wait()?.success(), "it does not start again");
    let process = cluster.process()?;
    env.clock.sleep(SETTLE).await;
    let before = cpu_seconds(process)?;
    env.clock.sleep(PERIOD).await;
    let percent_of_a_core = 100.0 * (cpu_seconds(process)? - before) / PERIOD.as_secs_f64();
    let all = resident_mib(process)?;
    cluster.stop()?;
    ensure!(cluster.begin_control_plane()?.wait()?.success(), "its API server does not start again");
    // What the API server notes of each pod when a node first asks for its own is not the controllers'.
    let answer =
        cluster.connection(env)?.request(Method::GET, OWN_PODS, HeaderMap::new(), Bytes::new()).await?;
    ensure!(answer.status().is_success(), "pods are not listed: {}", answer.status());
    env.clock.sleep(SETTLE).await;
    Ok(Quiet { percent_of_a_core, added_mib: all - resident_mib(cluster.process()?)? })
}
