//! The conditions of a pod, in the order and the words everybody knows.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::phase::{find, runs};
use super::{OWN_CONDITIONS, Scene, api_time};
use crate::memory::Cause;
use crate::plan::{Together, together};
use crate::pod::Role;

/// What conditions are computed from.
pub(super) struct Facts<'a> {
    pub scene: &'a Scene<'a>,
    pub phase: &'a str,
    pub inits: &'a [ContainerStatus],
    pub apps: &'a [ContainerStatus],
}

#[derive(Clone, Default)]
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Verdict {
        Verdict { holds: true, ..Verdict::default() }
    }

    fn because(holds: bool, reason: &'static str) -> Verdict {
        Verdict { holds, reason, message: String::new() }
    }
}

/// All of the kubelet's conditions, then those of others as they are.
pub(super) fn conditions(facts: &Facts<'_>) -> Vec<PodCondition> {
    let containers_ready = containers_ready(facts);
    let ready = ready(facts, &containers_ready);
    let mut list = vec![
        condition(facts, "PodReadyToStartContainers", sandbox(facts)),
        condition(facts, "Initialized", initialized(facts)),
        condition(facts, "Ready", ready),
        condition(facts, "ContainersReady", containers_ready),
        condition(facts, "PodScheduled", Verdict::yes()),
    ];
    if let Some(Cause::Failed { reason, message }) = facts.scene.memory.end.as_ref().map(|end| &end.cause)
        && facts.scene.memory.disrupted
        && !reason.is_empty()
    {
        let message = message.clone();
        let verdict = Verdict { holds: true, reason: "TerminationByKubelet", message };
        list.push(condition(facts, "DisruptionTarget", verdict));
    }
    if let Some(pending) = &facts.scene.memory.resize_pending {
        let verdict = Verdict { holds: true, reason: pending.reason, message: pending.message.clone() };
        list.push(condition(facts, "PodResizePending", verdict));
    }
    if is_resizing(facts.scene) {
        list.push(condition(facts, "PodResizeInProgress", Verdict::yes()));
    }
    if together::is_possible(facts.scene.pod) {
        list.push(condition(facts, "AllContainersRestarting", restarting_together(facts)));
    }
    let before = facts.scene.pod.status();
    let others = before
        .conditions
        .iter()
        .flatten()
        .filter(|other| {
            !OWN_CONDITIONS.contains(&other.type_.as_str())
                || (other.type_ == "DisruptionTarget" && !list.iter().any(|own| own.type_ == other.type_))
        })
        .cloned();
    let others: Vec<PodCondition> = others.collect();
    list.extend(others);
    list
}

/// Whether one container's end is about to end all of them.
fn restarting_together(facts: &Facts<'_>) -> Verdict {
    let scene = facts.scene;
    match facts.phase {
        "Succeeded" => Verdict::because(false, "PodCompleted"),
        "Failed" => Verdict::because(false, "PodFailed"),
        _ if Together::of(scene.pod, scene.observed).running().next().is_some() => Verdict {
            holds: true,
            reason: "RestartAllContainersStarted",
            message: "container exited with restart policy rule".to_owned(),
        },
        _ => Verdict::default(),
    }
}

/// Whether some running container does not yet use what was allocated to it.
fn is_resizing(scene: &Scene<'_>) -> bool {
    let mut members = scene.pod.init_members().chain(scene.pod.app_members());
    let parts = scene.observed.running().map(|container| &container.resources);
    let whole = scene
        .observed
        .ready_sandbox()
        .is_some_and(|sandbox| crate::resources::room(scene.pod, parts, &sandbox.resources).is_some());
    scene.memory.end.is_none()
        && (whole
            || members.any(|member| {
                scene.observed.latest(member.name()).is_some_and(|container| {
                    container.state == cri::ContainerState::Running
                        && crate::resources::difference(scene.pod, &member, &container.resources).is_some()
                })
            }))
}

fn condition(facts: &Facts<'_>, kind: &str, verdict: Verdict) -> PodCondition {
    let pod = facts.scene.pod;
    let status = if verdict.holds { "True" } else { "False" };
    let before = pod.status();
    // What was published last may not have come back yet.
    let since = facts
        .scene
        .memory
        .conditions
        .iter()
        .chain(before.conditions.iter().flatten())
        .find(|before| before.type_ == kind && before.status == status)
        .and_then(|before| before.last_transition_time.clone());
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: text(verdict.reason),
        message: text(&verdict.message),
        observed_generation: pod.pod().metadata.generation,
        last_probe_time: None,
        last_transition_time: Some(since.unwrap_or_else(|| api_time(facts.scene.now))),
    }
}

fn sandbox(facts: &Facts<'_>) -> Verdict {
    Verdict { holds: facts.scene.observed.ready_sandbox().is_some(), ..Verdict::default() }
}

fn list(label: &str, names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| format!("{label}: [{}]", names.join(" ")))
}

fn not_yet(reason: &'static str, parts: [Option<String>; 2]) -> Verdict {
    let message = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Verdict { holds: false, reason, message }
}

fn initialized(facts: &Facts<'_>) -> Verdict {
    let members: Vec<_> = facts.scene.pod.init_members().collect();
    if members.is_empty() {
        return Verdict::yes();
    }
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for member in &members {
        match find(facts.inits, member.name()) {
            None => unknown.push(member.name()),
            Some(status) => {
                let done =
                    if member.role == Role::Sidecar { status.started == Some(true) } else { status.ready };
                if !done {
                    incomplete.push(member.name());
                }
            }
        }
    }
    if facts.phase == "Succeeded" && unknown.is_empty() {
        return Verdict::because(true, "PodCompleted");
    }
    // Whatever runs, or ever ran, was let start.
    let begun = facts
        .apps
        .iter()
        .any(|status| runs(status) || status.container_id.as_deref().is_some_and(|id| !id.is_empty()));
    if begun || (unknown.is_empty() && incomplete.is_empty()) {
        return Verdict::yes();
    }
    not_yet(
        "ContainersNotInitialized",
        [
            list("containers with unknown status", &unknown),
            list("containers with incomplete status", &incomplete),
        ],
    )
}

fn containers_ready(facts: &Facts<'_>) -> Verdict {
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let pod = facts.scene.pod;
    let sidecars = pod.init_members().filter(|member| member.role == Role::Sidecar);
    let members: Vec<_> = sidecars.chain(pod.app_members()).collect();
    for member in &members {
        let statuses = if member.role == Role::Sidecar { facts.inits } else { facts.apps };
        match find(statuses, member.name()) {
            None => unknown.push(member.name()),
            Some(status) if !status.ready => unready.push(member.name()),
            Some(_) => {}
        }
    }
    match facts.phase {
        "Succeeded" if unknown.is_empty() => return Verdict::because(false, "PodCompleted"),
        "Failed" if unknown.is_empty() => return Verdict::because(false, "PodFailed"),
        _ if unknown.is_empty() && unready.is_empty() => return Verdict::yes(),
        _ => {}
    }
    not_yet(
        "ContainersNotReady",
        [list("containers with unknown status", &unknown), list("containers with unready status", &unready)],
    )
}

fn ready(facts: &Facts<'_>, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.holds {
        return containers_ready.clone();
    }
    let before = facts.scene.pod.status();
    let mut missing = Vec::new();
    for gate in facts.scene.pod.spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        let found = before.conditions.iter().flatten().find(|condition| condition.type_ == *kind);
        match found {
            None => missing.push(format!(
                "corresponding condition of pod readiness gate {} does not exist.",
                machinery::field::go_quote(kind)
            )),
            Some(condition) if condition.status != "True" => missing.push(format!(
                "the status of pod readiness gate {} is not \"True\", but {}",
                machinery::field::go_quote(kind),
                condition.status
            )),
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Verdict::yes();
    }
    Verdict { holds: false, reason: "ReadinessGatesNotReady", message: missing.join(", ") }
}
