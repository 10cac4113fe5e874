//! The status of each container.

use std::collections::BTreeMap;

use cri::{Container, ContainerState as State};
use env::WallTime;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, ResourceRequirements, VolumeMountStatus,
};

use super::{Scene, api_time};
use crate::amounts;
use crate::memory::Waiting;
use crate::pod::{Member, Role};

/// Thousandths of a core below which the kernel does not limit.
const LEAST_LIMIT: i64 = 10;
/// What is said of a container that the runtime has lost.
const LOST: &str = "The container could not be located when the pod was terminated";

/// The statuses of init containers and sidecars, in their order.
pub(super) fn init_statuses(scene: &Scene<'_>) -> Vec<ContainerStatus> {
    let before = scene.pod.status();
    let old = before.init_container_statuses.as_deref().unwrap_or_default();
    let waiting = Waiting::new("PodInitializing", "");
    scene.pod.init_members().map(|member| status(scene, &member, old, &waiting)).collect()
}

/// The statuses of app containers, by name.
pub(super) fn app_statuses(scene: &Scene<'_>) -> Vec<ContainerStatus> {
    let before = scene.pod.status();
    let old = before.container_statuses.as_deref().unwrap_or_default();
    let held_back = scene.pod.init_members().next().is_some();
    let waiting = Waiting::new(if held_back { "PodInitializing" } else { "ContainerCreating" }, "");
    let mut statuses: Vec<ContainerStatus> =
        scene.pod.app_members().map(|member| status(scene, &member, old, &waiting)).collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

/// The statuses of ephemeral containers, by name.
pub(super) fn ephemeral_statuses(scene: &Scene<'_>) -> Vec<ContainerStatus> {
    let before = scene.pod.status();
    let old = before.ephemeral_container_statuses.as_deref().unwrap_or_default();
    let waiting = Waiting::new("ContainerCreating", "");
    let mut statuses: Vec<ContainerStatus> =
        scene.pod.ephemeral_members().map(|member| status(scene, &member, old, &waiting)).collect();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

/// Ends what never ended: of a pod that is over, every container has a last state.
pub(super) fn close(inits: &mut [ContainerStatus], apps: &mut [ContainerStatus]) {
    let initialized = inits.iter().all(|status| terminated(status).is_some_and(|ended| ended.exit_code == 0));
    for status in apps.iter_mut() {
        // Containers that an init container's failure kept from starting go on waiting.
        if terminated(status).is_none() && (initialized || status.container_id.is_some()) {
            status.state = Some(lost());
        }
        status.ready = false;
        status.started = Some(false);
    }
    for status in inits.iter_mut() {
        if terminated(status).is_none() && status.container_id.is_some() {
            status.state = Some(lost());
        }
        status.started = Some(false);
    }
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn lost() -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(LOST.to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn status(
    scene: &Scene<'_>,
    member: &Member<'_>,
    old: &[ContainerStatus],
    default_waiting: &Waiting,
) -> ContainerStatus {
    let old = old.iter().find(|status| status.name == member.name());
    // One that was only made may yet be made anew by a kubelet that finds it: it is told of when it has begun. And
    // until its first hook is done a container does not count as running. What was before it is shown.
    let mut begun = scene.observed.begun(member.name()).peekable();
    let newest_runs = begun.peek().is_some_and(|container| container.state == State::Running);
    if scene.memory.is_starting(member.name()) && newest_runs {
        begun.next();
    }
    let shown = begun.next();
    let waiting = scene.memory.waiting.get(member.name());
    let mut status = match shown {
        Some(container) => from_runtime(scene, member, container, old),
        None => unseen(scene, member, old, default_waiting),
    };
    let will_start = scene.memory.end.is_none() && !status_runs(&status);
    if let Some(waiting) = waiting.filter(|_| will_start) {
        let ended = status.state.take().filter(|state| state.terminated.is_some());
        if ended.is_some() {
            status.last_state = ended;
        }
        status.state = Some(waiting_state(waiting));
    }
    judge(scene, member, shown, &mut status);
    status
}

fn status_runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn waiting_state(waiting: &Waiting) -> ContainerState {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: text(&waiting.reason),
            message: text(&waiting.message),
        }),
        ..ContainerState::default()
    }
}

/// A container of which the runtime knows nothing: not made yet, or its record is gone.
fn unseen(
    scene: &Scene<'_>,
    member: &Member<'_>,
    old: Option<&ContainerStatus>,
    default_waiting: &Waiting,
) -> ContainerStatus {
    let fresh = ContainerStatus {
        name: member.name().to_owned(),
        image: member.spec.image.clone().unwrap_or_default(),
        state: Some(waiting_state(default_waiting)),
        ..ContainerStatus::default()
    };
    let Some(old) = old.filter(|old| old.container_id.as_deref().is_some_and(|id| !id.is_empty())) else {
        return fresh;
    };
    let mut status = old.clone();
    if terminated(old).is_some() {
        return status;
    }
    if status_runs(old) {
        let mut last = lost();
        if let Some(ended) = last.terminated.as_mut() {
            ended.container_id = old.container_id.clone();
        }
        status.last_state = Some(last);
    }
    status.state = Some(if scene.memory.end.is_some() && status_runs(old) {
        lost()
    } else {
        waiting_state(default_waiting)
    });
    status.resources = None;
    status.allocated_resources = None;
    status
}

fn from_runtime(
    scene: &Scene<'_>,
    member: &Member<'_>,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = format!("{}://{}", scene.place.runtime, container.id);
    let running = container.state == State::Running;
    let before = scene
        .observed
        .containers()
        .iter()
        .find(|other| other.name == container.name && other.attempt < container.attempt);
    let last_state = match before {
        Some(before) => {
            Some(ContainerState { terminated: Some(end_of(scene, before)), ..ContainerState::default() })
        }
        // Its predecessor's record is gone; the API may still know its end.
        None => old.and_then(|old| match (&old.container_id, terminated(old)) {
            (Some(other), Some(_)) if *other != id && !other.is_empty() => old.state.clone(),
            _ => old.last_state.clone(),
        }),
    };
    let state = if running {
        let started_at = time(container.started_at);
        ContainerState { running: Some(ContainerStateRunning { started_at }), ..ContainerState::default() }
    } else {
        ContainerState { terminated: Some(end_of(scene, container)), ..ContainerState::default() }
    };
    // Whatever was told before, it never falls.
    let told = old.map_or(0, |old| old.restart_count);
    let requests = member.spec.resources.as_ref().and_then(|resources| resources.requests.clone());
    ContainerStatus {
        name: container.name.clone(),
        state: Some(state),
        last_state: last_state.filter(|state| *state != ContainerState::default()),
        restart_count: i32::try_from(container.attempt).unwrap_or(i32::MAX).max(told),
        image: if container.image.is_empty() {
            member.spec.image.clone().unwrap_or_default()
        } else {
            container.image.clone()
        },
        image_id: if container.image_ref.is_empty() {
            container.image_id.clone()
        } else {
            container.image_ref.clone()
        },
        container_id: Some(id),
        allocated_resources: requests.filter(|requests| !requests.is_empty()),
        resources: Some(resources(member, container, running)),
        user: container.user.as_ref().filter(|_| running).map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: user.uid,
                gid: user.gid,
                supplemental_groups: Some(user.supplemental_groups.clone())
                    .filter(|groups| !groups.is_empty()),
            }),
        }),
        volume_mounts: volume_mounts(member),
        ..ContainerStatus::default()
    }
}

fn time(nanos: i64) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    (nanos > 0).then(|| api_time(WallTime(nanos)))
}

fn end_of(scene: &Scene<'_>, container: &Container) -> ContainerStateTerminated {
    let id = Some(format!("{}://{}", scene.place.runtime, container.id));
    if container.state != State::Exited {
        return ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(LOST.to_owned()),
            container_id: id,
            ..ContainerStateTerminated::default()
        };
    }
    let reason = match (container.reason.as_str(), container.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let message =
        scene.messages.get(&container.id).filter(|text| !text.is_empty()).unwrap_or(&container.message);
    ContainerStateTerminated {
        exit_code: container.exit_code,
        reason: Some(reason.to_owned()),
        message: Some(message.clone()).filter(|message| !message.is_empty()),
        started_at: time(container.started_at),
        finished_at: time(container.finished_at),
        container_id: id,
        signal: None,
    }
}

/// The resources in force: what was asked for, with what the runtime says where it differs.
fn resources(member: &Member<'_>, container: &Container, running: bool) -> ResourceRequirements {
    let Some(wanted) = member.spec.resources.as_ref() else { return ResourceRequirements::default() };
    let mut limits = wanted.limits.clone().unwrap_or_default();
    let mut requests = wanted.requests.clone().unwrap_or_default();
    if running {
        let actual = &container.resources;
        if actual.cpu_quota > 0 && actual.cpu_period > 0 {
            let millis = actual.cpu_quota.saturating_mul(1_000) / (actual.cpu_period as i64);
            // The kernel cannot do less than it does; what was asked for is in force as far as it can be.
            let least = amounts::millis_of(Some(&limits), "cpu") <= LEAST_LIMIT && millis <= LEAST_LIMIT;
            if !least {
                replace(&mut limits, "cpu", amounts::from_millis(millis));
            }
        }
        if actual.memory_limit > 0 {
            replace(&mut limits, "memory", amounts::from_bytes(actual.memory_limit));
        }
        let asked = amounts::millis_of(Some(&requests), "cpu");
        if actual.cpu_shares > 0 && crate::resources::shares(asked) != actual.cpu_shares {
            let millis = (actual.cpu_shares.saturating_mul(1_000)).div_ceil(1_024) as i64;
            replace(&mut requests, "cpu", amounts::from_millis(millis));
        }
    }
    let listed = |amounts: BTreeMap<_, _>| (!amounts.is_empty()).then_some(amounts);
    ResourceRequirements { limits: listed(limits), requests: listed(requests), claims: None }
}

/// Replaces an amount that was asked for by the one in force, unless they are the same.
fn replace(
    amounts: &mut amounts::Amounts,
    name: &str,
    actual: k8s_openapi::apimachinery::pkg::api::resource::Quantity,
) {
    if let Some(wanted) = amounts.get_mut(name)
        && !amounts::same(wanted, &actual)
    {
        *wanted = actual;
    }
}

fn volume_mounts(member: &Member<'_>) -> Option<Vec<VolumeMountStatus>> {
    let mounts = member.spec.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    let statuses = mounts.iter().map(|mount| {
        let read_only = mount.read_only.filter(|read_only| *read_only);
        let recursive = match mount.recursive_read_only.as_deref() {
            Some("Enabled" | "IfPossible") => "Enabled",
            _ => "Disabled",
        };
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only,
            recursive_read_only: read_only.map(|_| recursive.to_owned()),
            volume_status: None,
        }
    });
    Some(statuses.collect())
}

/// Whether it has come up, and whether it wants traffic.
fn judge(scene: &Scene<'_>, member: &Member<'_>, shown: Option<&Container>, status: &mut ContainerStatus) {
    if member.role == Role::Ephemeral {
        return;
    }
    let probed = shown.map(|container| scene.memory.probed(&container.id)).unwrap_or_default();
    let running = status_runs(status);
    let started = running && (member.spec.startup_probe.is_none() || probed.startup == Some(true));
    status.started = Some(started);
    status.ready = if member.role == Role::Init {
        terminated(status).is_some_and(|ended| ended.exit_code == 0)
    } else {
        started && (member.spec.readiness_probe.is_none() || probed.readiness == Some(true))
    };
}
