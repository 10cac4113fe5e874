//! `/metrics/cadvisor`: what containers use, under the names that dashboards know.

use client::{Cache, Key};

use super::page::Page;
use super::{Measured, measure};
use crate::kit::Kit;
use crate::pod::PodView;
use crate::resources;

type Value = fn(&Measured) -> f64;

/// Name, kind, help, value.
const METRICS: [(&str, &str, &str, Value); 8] = [
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        |measured| measured.stats.cpu_usage_nanos as f64 / 1e9,
    ),
    (
        "container_fs_usage_bytes",
        "gauge",
        "Number of bytes that are consumed by the container on this filesystem.",
        |measured| measured.stats.rootfs_used as f64,
    ),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |measured| measured.stats.memory_rss as f64),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |measured| measured.stats.memory_usage as f64,
    ),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |measured| {
        measured.stats.memory_working_set as f64
    }),
    ("container_processes", "gauge", "Number of processes running inside the container.", |measured| {
        measured.stats.pids as f64
    }),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", |measured| {
        measured.container.resources.memory_limit.max(0) as f64
    }),
    (
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
        |measured| measured.container.started_at as f64 / 1e9,
    ),
];

/// The page.
pub(in crate::server) async fn page(kit: &Kit, pods: &Cache) -> String {
    let (measured, _) = measure(kit).await;
    let ids: Vec<String> = measured.iter().map(|one| cgroup(kit, pods, one)).collect();
    let mut page = Page::default();
    for (name, kind, help, value) in METRICS {
        page.metric(name, kind, help);
        for (one, id) in measured.iter().zip(&ids) {
            let container = &one.container;
            let mut labels = vec![
                ("container", container.name.as_str()),
                ("id", id),
                ("image", container.image_ref.as_str()),
                ("name", container.id.as_str()),
                ("namespace", container.pod.namespace.as_str()),
                ("pod", container.pod.name.as_str()),
            ];
            if name == "container_cpu_usage_seconds_total" {
                labels.insert(1, ("cpu", "total"));
            }
            page.sample(name, &labels, value(one), Some(one.stats.timestamp / 1_000_000));
        }
    }
    page.metric("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    page.sample("machine_cpu_cores", &[], cores as f64, None);
    page.metric("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
    page.sample("machine_memory_bytes", &[], kit.machine.memory as f64, None);
    page.text()
}

/// The container's cgroup.
fn cgroup(kit: &Kit, pods: &Cache, measured: &Measured) -> String {
    let id = &measured.container.pod;
    let entry = pods.get(&Key::new(&id.namespace, &id.name));
    let pod = entry.and_then(|entry| PodView::new(&entry.object).ok());
    let pod = pod.filter(|pod| pod.runtime_uid() == id.uid);
    let parent = pod.map(|pod| resources::cgroup_parent(&kit.config.cgroup_root, &pod)).unwrap_or_default();
    format!("{parent}/{}", measured.container.id)
}
