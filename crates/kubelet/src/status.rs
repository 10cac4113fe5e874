//! A pod's status, computed from what is seen. Nothing here remembers anything: what must outlive a moment (start
//! time, transition times, the end of a container whose record is gone) is taken over from the status in the API.

mod conditions;
mod containers;
mod phase;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use env::WallTime;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::memory::{Cause, Memory};
use crate::observed::Observed;
use crate::plan::Together;
use crate::pod::PodView;
use crate::qos;

/// Types of conditions that the kubelet writes; all others are somebody else's.
pub(crate) const OWN_CONDITIONS: [&str; 9] = [
    "AllContainersRestarting",
    "PodResizePending",
    "PodResizeInProgress",
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "DisruptionTarget",
];

/// What a status needs to know of the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The node's addresses, the first one first.
    pub ips: Vec<IpAddr>,
    /// The runtime's name, which container ids begin with.
    pub runtime: String,
}

/// All that a status is computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// What is wanted, and what the API says.
    pub pod: &'a PodView,
    /// What there is.
    pub observed: &'a Observed,
    /// What else is known.
    pub memory: &'a Memory,
    /// Where.
    pub place: &'a Place,
    /// Last words of ended containers, by id.
    pub messages: &'a std::collections::BTreeMap<String, String>,
    /// When.
    pub now: WallTime,
}

/// A wall time as the API writes it, in whole seconds.
pub(crate) fn api_time(at: WallTime) -> Time {
    Time(Timestamp::from_second(at.secs()).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Computes the status.
pub(crate) fn compute(scene: &Scene<'_>) -> PodStatus {
    let pod = scene.pod;
    let before = pod.status();
    let ended = scene.memory.end.as_ref();
    let over = ended.is_some() && scene.memory.busy.is_empty() && scene.observed.running().next().is_none();
    let mut inits = containers::init_statuses(scene);
    let mut apps = containers::app_statuses(scene);
    let ephemerals = containers::ephemeral_statuses(scene);
    let memory = scene.memory;
    let made = |name: &str| {
        scene.observed.latest(name).is_some_and(|newest| newest.state == cri::ContainerState::Created)
    };
    let together = Together::of(pod, scene.observed);
    let restarting = |name: &str| {
        memory.must_restart.contains(name)
            || memory.is_starting(name)
            || made(name)
            || together.stale(name).is_some()
    };
    let course = if over {
        phase::Course::Over
    } else if pod.app_members().any(|member| restarting(member.name())) {
        phase::Course::Restarting
    } else {
        phase::Course::Usual
    };
    let mut phase = phase::phase(pod, &inits, &apps, course);
    if together.is_under_way() && phase == "Failed" {
        // What ended is started again, whatever its policy says.
        phase = "Running";
    }
    if over {
        containers::close(&mut inits, &mut apps);
        phase = phase::final_phase(pod, &inits, &apps);
    }
    let mut status = PodStatus {
        start_time: before
            .start_time
            .clone()
            .or_else(|| Some(api_time(scene.memory.began.unwrap_or(scene.now)))),
        observed_generation: pod.pod().metadata.generation,
        qos_class: Some(before.qos_class.clone().unwrap_or_else(|| qos::class(pod).as_str().to_owned())),
        ..PodStatus::default()
    };
    if let Some(Cause::Failed { reason, message }) = ended.map(|end| &end.cause) {
        phase = "Failed";
        status.reason = Some(reason.clone());
        status.message = Some(message.clone()).filter(|message| !message.is_empty());
    }
    // What has ended never comes back.
    if let Some(final_phase) =
        before.phase.as_deref().filter(|phase| matches!(*phase, "Succeeded" | "Failed"))
    {
        phase = if final_phase == "Succeeded" { "Succeeded" } else { "Failed" };
        status.reason = status.reason.or_else(|| before.reason.clone());
        status.message = status.message.or_else(|| before.message.clone());
    }
    status.phase = Some(phase.to_owned());
    if scene.observed.running().next().is_some() {
        hold_back_the_end(&before, &mut status);
    }
    addresses(scene, &mut status);
    let listed = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    status.conditions =
        Some(conditions::conditions(&conditions::Facts { scene, phase, inits: &inits, apps: &apps }));
    status.init_container_statuses = listed(inits);
    status.container_statuses = listed(apps);
    status.ephemeral_container_statuses = listed(ephemerals);
    status
}

/// Nobody is told that a pod has ended while something of it runs: a sidecar that is still asked to go, or a container
/// of a pod that is evicted.
fn hold_back_the_end(before: &PodStatus, status: &mut PodStatus) {
    let is_end = |phase: Option<&str>| matches!(phase, Some("Succeeded" | "Failed"));
    if is_end(status.phase.as_deref()) && !is_end(before.phase.as_deref()) {
        status.phase = before.phase.clone().or_else(|| Some("Pending".to_owned()));
        status.reason.clone_from(&before.reason);
        status.message.clone_from(&before.message);
    }
}

/// The status of a pod that was never let in.
pub(crate) fn rejected(pod: &PodView, reason: &str, message: &str, now: WallTime) -> PodStatus {
    let before = pod.status();
    PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(format!("Pod was rejected: {message}")),
        start_time: before.start_time.clone().or_else(|| Some(api_time(now))),
        observed_generation: pod.pod().metadata.generation,
        qos_class: Some(qos::class(pod).as_str().to_owned()),
        conditions: before.conditions.clone(),
        ..PodStatus::default()
    }
}

fn addresses(scene: &Scene<'_>, status: &mut PodStatus) {
    let place = &scene.place.ips;
    status.host_ip = place.first().map(IpAddr::to_string);
    status.host_ips = Some(place.iter().map(|ip| HostIP { ip: ip.to_string() }).collect())
        .filter(|ips: &Vec<_>| !ips.is_empty());
    let before = scene.pod.status();
    let found: Vec<String> = if scene.pod.host_network() {
        place.iter().map(IpAddr::to_string).collect()
    } else {
        scene.observed.ips().iter().map(IpAddr::to_string).collect()
    };
    if found.is_empty() {
        // An ended pod keeps the address it had, for those who read its status later.
        status.pod_ip = before.pod_ip.clone();
        status.pod_ips = before.pod_ips.clone();
    } else {
        status.pod_ip = found.first().cloned();
        status.pod_ips = Some(found.into_iter().map(|ip| PodIP { ip }).collect());
    }
}
