//! `ironclad status`: whether the cluster runs, how it is, and what it costs.

use std::process::ExitCode;

use anyhow::Context;
use client::{Call, resources};
use env::Env;
use k8s_openapi::api::core::v1::{Node, Pod};
use rustix::process::Pid;

use super::admin;
use super::agent::Joined;
use crate::background;
use crate::config::{Cluster, Instance};
use crate::nodes;
use crate::settings::Settings;

/// Tells; the exit code is 0 if the cluster runs.
pub fn run(flags: &crate::args::Instance) -> anyhow::Result<ExitCode> {
    let instance = Instance::in_dir(&flags.data_dir)?;
    let Some(pid) = background::running(&instance)? else {
        println!("The cluster in {} is not running; `ironclad up` starts it.", instance.data_dir.display());
        return Ok(ExitCode::FAILURE);
    };
    if let Some(joined) = Joined::read(&instance)? {
        println!(
            "The node {} in {} runs (process {}).",
            joined.node_name,
            instance.data_dir.display(),
            pid.as_raw_nonzero()
        );
        println!("  API server   {}", joined.server);
        println!("  memory       {}", memory(pid));
        return Ok(ExitCode::SUCCESS);
    }
    let cluster = Settings::read(&instance)?
        .context("the cluster has no settings; is it just starting?")?
        .cluster(&instance)?;
    println!("The cluster in {} runs (process {}).", instance.data_dir.display(), pid.as_raw_nonzero());
    println!("  API server   {}", cluster.server_url);
    println!("  kubeconfig   {}", cluster.kubeconfig.display());
    println!("  memory       {}", memory(pid));
    for node in nodes::present(&instance)? {
        let name = node.data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match background::running(&node)? {
            Some(pid) => println!("  agent        {name}: process {}, {}", pid.as_raw_nonzero(), memory(pid)),
            None => println!("  agent        {name}: not running"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(ask(&cluster))?;
    lines.iter().for_each(|line| println!("  {line}"));
    Ok(ExitCode::SUCCESS)
}

/// What the API says of nodes and pods.
async fn ask(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let client = admin(cluster, &Env::real())?;
    let mut lines = Vec::new();
    for node in client.transport().list(resources::NODES, Call::all("")).await?.items {
        let node = node.view::<Node>()?;
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let ready = node
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        lines.push(format!("node         {name}: {}", if ready { "ready" } else { "not ready" }));
    }
    let pods = client.transport().list(resources::PODS, Call::all("")).await?.items;
    let mut running = 0;
    for pod in &pods {
        let pod = pod.view::<Pod>()?;
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        running += usize::from(phase == Some("Running"));
    }
    lines.push(format!("pods         {running} of {} running", pods.len()));
    Ok(lines)
}

/// What the process holds of memory.
fn memory(pid: Pid) -> String {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    format!("{} MiB", kib.div_ceil(1024))
}
