//! App containers run side by side; ephemeral ones are started once.

use cri::{Container, ContainerState};
use env::WallTime;
use k8s_openapi::api::core::v1::Probe;

use super::restart::{Next, next};
use super::{Action, Kill, PodPlan, View};
use crate::memory::{Busy, Waiting};
use crate::pod::{Member, Role};
use crate::resources;

/// Annotation of a container: the hash of what it was made from.
pub(crate) const HASH_ANNOTATION: &str = "io.kubernetes.container.hash";

/// Whether the pod goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apps {
    /// Some container runs, or is to be started.
    Going,
    /// None is.
    Over,
}

/// Whether a running container may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It may.
    Good,
    /// It is to be killed, or is being killed.
    Bad,
}

/// Plans app containers.
pub(super) fn plan_apps(view: &View<'_>, plan: &mut PodPlan) -> Apps {
    let mut result = Apps::Over;
    for member in view.pod.app_members() {
        let latest = view.observed.latest(member.name());
        match latest {
            Some(container) if container.state == ContainerState::Running => {
                check(view, &member, container, plan);
                result = Apps::Going;
                continue;
            }
            _ => {}
        }
        match next(view, &member, latest) {
            Next::Never => continue,
            Next::Busy => {}
            Next::Start { attempt } => {
                let reason =
                    if latest.is_some() { "it ended and is started again" } else { "it was never started" };
                plan.act(Action::Start { name: member.name().to_owned(), attempt }, reason);
            }
            Next::Later { at, waiting } => wait(plan, member.name(), at, waiting),
        }
        result = Apps::Going;
    }
    result
}

/// Plans ephemeral containers: each is started once, and pulled until that goes well.
pub(super) fn plan_ephemeral(view: &View<'_>, plan: &mut PodPlan) {
    for member in view.pod.ephemeral_members() {
        if view.observed.latest(member.name()).is_some() {
            continue;
        }
        match next(view, &member, None) {
            Next::Start { attempt } => {
                let name = member.name().to_owned();
                plan.act(Action::Start { name, attempt }, "it was added to the pod");
            }
            Next::Later { at, waiting } => wait(plan, member.name(), at, waiting),
            Next::Busy | Next::Never => {}
        }
    }
}

/// Remembers why a container waits, once, and when to look again.
pub(super) fn wait(plan: &mut PodPlan, name: &str, at: WallTime, waiting: Option<Waiting>) {
    plan.look_again(at);
    if let Some(waiting) = waiting {
        let reason = waiting.message.clone();
        plan.act(Action::Wait { name: name.to_owned(), waiting }, reason);
    }
}

/// Whether a running container has come up: its startup probe, if it has one, went well.
pub(super) fn has_started(view: &View<'_>, member: &Member<'_>, container: &Container) -> bool {
    !view.memory.is_starting(member.name())
        && (member.spec.startup_probe.is_none() || view.memory.probed(&container.id).startup == Some(true))
}

type Verdict<'a> = (String, Option<&'a Probe>, bool);

/// Gives a running container what was allocated to it; or says that it must be started again for that.
fn resize<'a>(
    view: &View<'_>,
    member: &Member<'_>,
    container: &Container,
    plan: &mut PodPlan,
) -> Option<Verdict<'a>> {
    let difference = resources::difference(view.pod, member, &container.resources)?;
    if view.memory.resized.get(&container.id) == Some(&difference.wanted) {
        return None;
    }
    let restarts = |name: &str| {
        let policies = member.spec.resize_policy.as_deref().unwrap_or_default();
        policies
            .iter()
            .any(|policy| policy.resource_name == name && policy.restart_policy == "RestartContainer")
    };
    if (difference.cpu && restarts("cpu")) || (difference.memory && restarts("memory")) {
        let message = format!("Container {} resize requires restart", member.name());
        return Some((message, None, true));
    }
    let (id, name) = (container.id.clone(), member.name().to_owned());
    plan.act(Action::Resize { id, name, resources: difference.wanted }, "its resources were changed");
    None
}

/// Kills a running container that changed, or whose probes failed.
pub(super) fn check(
    view: &View<'_>,
    member: &Member<'_>,
    container: &Container,
    plan: &mut PodPlan,
) -> Health {
    if view.memory.busy.contains_key(member.name()) {
        let stopping = matches!(view.memory.busy.get(member.name()), Some(Busy::Stopping { .. }));
        return if stopping { Health::Bad } else { Health::Good };
    }
    let name = member.name();
    let probed = view.memory.probed(&container.id);
    let changed = container.annotations.get(HASH_ANNOTATION).is_some_and(|hash| *hash != member.hash());
    let verdict: Option<Verdict<'_>> = if changed && member.role != Role::Ephemeral {
        Some((format!("Container {name} definition changed, will be restarted"), None, true))
    } else if probed.startup == Some(false) {
        let message = format!("Container {name} failed startup probe, will be restarted");
        Some((message, member.spec.startup_probe.as_ref(), false))
    } else if probed.liveness == Some(false) {
        let message = format!("Container {name} failed liveness probe, will be restarted");
        Some((message, member.spec.liveness_probe.as_ref(), false))
    } else {
        resize(view, member, container, plan)
    };
    let Some((message, probe, restart)) = verdict else { return Health::Good };
    let grace = probe.and_then(|probe| probe.termination_grace_period_seconds);
    let grace_secs =
        grace.map_or(view.pod.grace_secs(), |secs| u32::try_from(secs.max(0)).unwrap_or(u32::MAX));
    let kill = Kill { id: container.id.clone(), name: name.to_owned(), grace_secs, message, restart };
    let reason = kill.message.clone();
    plan.act(Action::Kill(kill), reason);
    Health::Bad
}
