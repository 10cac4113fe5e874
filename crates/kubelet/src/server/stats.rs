//! What containers, pods and the node use, as `/stats/summary` tells it.

use serde_json::{Value, json};

use super::metrics::{Measured, measure, node};
use crate::kit::Kit;

/// The summary.
pub(super) async fn summary(kit: &Kit) -> Value {
    let (measured, _) = measure(kit).await;
    let pods = measured.chunk_by(|a, b| a.container.pod == b.container.pod);
    let pods: Vec<Value> = pods.filter_map(of_pod).collect();
    let now = client::time::seconds(kit.env.clock.now());
    let (cpu, memory) = node();
    let space = rustix::fs::statvfs(&kit.config.root).ok();
    let bytes = |blocks: u64| space.as_ref().map_or(0, |space| blocks.saturating_mul(space.f_frsize));
    json!({
        "node": {
            "nodeName": kit.config.node_name,
            "cpu": {"time": now, "usageCoreNanoSeconds": (cpu * 1e9) as u64},
            "memory": {
                "time": now,
                "workingSetBytes": memory,
                "usageBytes": memory,
                "availableBytes": (kit.machine.memory as u64).saturating_sub(memory),
            },
            "fs": {
                "time": now,
                "availableBytes": bytes(space.as_ref().map_or(0, |space| space.f_bavail)),
                "capacityBytes": bytes(space.as_ref().map_or(0, |space| space.f_blocks)),
                "usedBytes": bytes(space.as_ref().map_or(0, |space| space.f_blocks - space.f_bfree)),
                "inodesFree": space.as_ref().map_or(0, |space| space.f_ffree),
                "inodes": space.as_ref().map_or(0, |space| space.f_files),
            },
        },
        "pods": pods,
    })
}

fn of_pod(measured: &[Measured]) -> Option<Value> {
    let first = measured.first()?;
    let id = &first.container.pod;
    let at = client::time::seconds(env::WallTime(first.stats.timestamp));
    let sum = |value: fn(&Measured) -> u64| measured.iter().map(value).sum::<u64>();
    let containers: Vec<Value> = measured.iter().map(of_container).collect();
    Some(json!({
        "podRef": {"name": id.name, "namespace": id.namespace, "uid": id.uid},
        "startTime": client::time::seconds(env::WallTime(first.container.started_at)),
        "containers": containers,
        "cpu": {"time": at, "usageCoreNanoSeconds": sum(|one| one.stats.cpu_usage_nanos)},
        "memory": {
            "time": at,
            "usageBytes": sum(|one| one.stats.memory_usage),
            "workingSetBytes": sum(|one| one.stats.memory_working_set),
            "rssBytes": sum(|one| one.stats.memory_rss),
        },
        "process_stats": {"process_count": sum(|one| one.stats.pids)},
    }))
}

fn of_container(measured: &Measured) -> Value {
    let stats = &measured.stats;
    let at = client::time::seconds(env::WallTime(stats.timestamp));
    json!({
        "name": measured.container.name,
        "startTime": client::time::seconds(env::WallTime(measured.container.started_at)),
        "cpu": {"time": at, "usageCoreNanoSeconds": stats.cpu_usage_nanos},
        "memory": {
            "time": at,
            "usageBytes": stats.memory_usage,
            "workingSetBytes": stats.memory_working_set,
            "rssBytes": stats.memory_rss,
        },
        "rootfs": {"time": at, "usedBytes": stats.rootfs_used, "inodesUsed": stats.rootfs_inodes},
    })
}
