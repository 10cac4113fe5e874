//! `/metrics` and `/metrics/probes`: the node agent about itself.

use client::Cache;
use cri::ContainerState;

use super::page::Page;
use crate::kit::Kit;
use crate::pod::PodView;

/// What the agent has to do.
pub(in crate::server) fn own(kit: &Kit, pods: &Cache) -> String {
    let mut page = Page::default();
    page.metric("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    page.sample("kubelet_node_name", &[("node", &kit.config.node_name)], 1.0, None);
    let observed: Vec<_> = kit.observer.pods().iter().map(|pod| kit.observer.pod(&pod.uid)).collect();
    let sandboxes = observed.iter().filter(|pod| pod.ready_sandbox().is_some()).count();
    let help = "[ALPHA] Number of pods that have a running pod sandbox";
    page.metric("kubelet_running_pods", "gauge", help);
    page.sample("kubelet_running_pods", &[], sandboxes as f64, None);
    let name = "kubelet_running_containers";
    page.metric(name, "gauge", "[ALPHA] Number of containers currently running");
    for (state, word) in [
        (ContainerState::Created, "created"),
        (ContainerState::Exited, "exited"),
        (ContainerState::Running, "running"),
        (ContainerState::Unknown, "unknown"),
    ] {
        let containers = observed.iter().flat_map(|pod| pod.containers());
        let count = containers.filter(|container| container.state == state).count();
        page.sample(name, &[("container_state", word)], count as f64, None);
    }
    let name = "kubelet_desired_pods";
    page.metric(name, "gauge", "[ALPHA] The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.");
    let (own, others): (Vec<_>, Vec<_>) = pods
        .list()
        .into_iter()
        .filter_map(|entry| PodView::new(&entry.object).ok())
        .partition(PodView::is_static);
    page.sample(name, &[("static", "")], others.len() as f64, None);
    page.sample(name, &[("static", "true")], own.len() as f64, None);
    page.text()
}

/// How probes were answered.
pub(in crate::server) fn probes(kit: &Kit) -> String {
    let mut page = Page::default();
    let name = "prober_probe_total";
    page.metric(
        name,
        "counter",
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    );
    for (answered, count) in kit.probed.all() {
        let labels = [
            ("container", answered.container.as_str()),
            ("namespace", answered.namespace.as_str()),
            ("pod", answered.pod.as_str()),
            ("pod_uid", answered.uid.as_str()),
            ("probe_type", answered.kind),
            ("result", answered.result),
        ];
        page.sample(name, &labels, count as f64, None);
    }
    page.text()
}
