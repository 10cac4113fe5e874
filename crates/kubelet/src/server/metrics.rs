//! What containers, pods and the node use, in the form that metrics-server scrapes.

pub(super) mod cadvisor;
pub(super) mod own;
mod page;

use std::fs;

use cri::{Container, ContainerStats};

use crate::kit::Kit;
use page::Page;

/// A container and what it uses.
pub(super) struct Measured {
    pub container: Container,
    pub stats: ContainerStats,
}

/// What all running containers use, by pod and name.
pub(super) async fn measure(kit: &Kit) -> (Vec<Measured>, bool) {
    let (mut measured, mut complete) = (Vec::new(), true);
    for pod in kit.observer.pods() {
        let observed = kit.observer.pod(&pod.uid);
        for container in observed.running() {
            match kit.runtime.container_stats(container.id.clone()).await {
                Ok(stats) => measured.push(Measured { container: container.clone(), stats }),
                // It may have ended in between.
                Err(cri::RuntimeError::NotFound { .. }) => {}
                Err(error) => {
                    tracing::debug!(container = %container.name, "it could not be measured: {error}");
                    complete = false;
                }
            }
        }
    }
    measured
        .sort_by(|a, b| (&a.container.pod, &a.container.name).cmp(&(&b.container.pod, &b.container.name)));
    (measured, complete)
}

/// Seconds of processor time and bytes of memory that the whole node uses.
pub(super) fn node() -> (f64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (busy_secs(&stat), used_bytes(&meminfo))
}

fn busy_secs(stat: &str) -> f64 {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let ticks: Vec<u64> =
        line.unwrap_or_default().split_whitespace().filter_map(|ticks| ticks.parse().ok()).collect();
    // User, nice, system, (idle, waiting,) interrupts; in hundredths of a second.
    let busy: u64 = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|position| ticks.get(position)).sum();
    busy as f64 / 100.0
}

fn used_bytes(meminfo: &str) -> u64 {
    let kibibytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    kibibytes("MemTotal").saturating_sub(kibibytes("MemAvailable")) * 1_024
}

/// The page `/metrics/resource`.
pub(super) async fn resource(kit: &Kit) -> String {
    let (measured, complete) = measure(kit).await;
    let mut page = Page::default();
    of_containers(&mut page, &measured);
    let now = kit.env.clock.now().0 / 1_000_000;
    let (cpu, memory) = node();
    page.metric(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    page.sample("node_cpu_usage_seconds_total", &[], cpu, Some(now));
    page.metric(
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
    );
    page.sample("node_memory_working_set_bytes", &[], memory as f64, Some(now));
    of_pods(&mut page, &measured);
    let name = "resource_scrape_error";
    page.metric(
        name,
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    page.sample(name, &[], f64::from(u8::from(!complete)), None);
    page.text()
}

fn of_containers(page: &mut Page, measured: &[Measured]) {
    type Value = fn(&Measured) -> f64;
    let metrics: [(&str, &str, &str, Value); 3] = [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
            |measured| measured.stats.cpu_usage_nanos as f64 / 1e9,
        ),
        (
            "container_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the container in bytes",
            |measured| measured.stats.memory_working_set as f64,
        ),
        (
            "container_start_time_seconds",
            "gauge",
            "[STABLE] Start time of the container since unix epoch in seconds",
            |measured| measured.container.started_at as f64 / 1e9,
        ),
    ];
    for (name, kind, help, value) in metrics {
        page.metric(name, kind, help);
        for one in measured {
            let labels = [
                ("container", one.container.name.as_str()),
                ("namespace", one.container.pod.namespace.as_str()),
                ("pod", one.container.pod.name.as_str()),
            ];
            let at = (name != "container_start_time_seconds").then_some(one.stats.timestamp / 1_000_000);
            page.sample(name, &labels, value(one), at);
        }
    }
}

fn of_pods(page: &mut Page, measured: &[Measured]) {
    let cpu = "pod_cpu_usage_seconds_total";
    let memory = "pod_memory_working_set_bytes";
    let pods: Vec<&[Measured]> = measured.chunk_by(|a, b| a.container.pod == b.container.pod).collect();
    page.metric(cpu, "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
    for pod in &pods {
        let sum: u64 = pod.iter().map(|one| one.stats.cpu_usage_nanos).sum();
        sample_of_pod(page, cpu, pod, sum as f64 / 1e9);
    }
    page.metric(memory, "gauge", "[STABLE] Current working set of the pod in bytes");
    for pod in &pods {
        let sum: u64 = pod.iter().map(|one| one.stats.memory_working_set).sum();
        sample_of_pod(page, memory, pod, sum as f64);
    }
}

fn sample_of_pod(page: &mut Page, name: &str, pod: &[Measured], value: f64) {
    let Some(first) = pod.first() else { return };
    let id = &first.container.pod;
    let labels = [("namespace", id.namespace.as_str()), ("pod", id.name.as_str())];
    page.sample(name, &labels, value, Some(first.stats.timestamp / 1_000_000));
}
