//! How a pod ends: containers first, sidecars last and in reverse, then its sandbox, its volumes, and what remains.

use cri::{Container, SandboxState};

use super::{Action, Kill, PodPlan, View};
use crate::memory::{Busy, Cause, End, Volumes};
use crate::pod::Role;

/// What a container gets at least, however late it is.
const LEAST_GRACE_SECS: u32 = 2;

/// Plans the next step of a pod that is to end.
pub(super) fn plan_end(view: &View<'_>, end: &End, plan: &mut PodPlan) {
    if stop_containers(view, end, plan) || !view.memory.busy.is_empty() || view.memory.pod_busy {
        return;
    }
    let mut stopping = false;
    for sandbox in view.observed.sandboxes() {
        if sandbox.state == SandboxState::Ready {
            plan.act(Action::StopSandbox { id: sandbox.id.clone() }, "its containers have ended");
            stopping = true;
        }
    }
    if stopping {
        return;
    }
    if view.memory.volumes != Volumes::Gone {
        plan.act(Action::Unmount, "its containers have ended");
        return;
    }
    if !end.leaves_nothing() {
        return;
    }
    if let Some(sandbox) = view.observed.sandboxes().first() {
        plan.act(Action::RemoveSandbox { id: sandbox.id.clone() }, "nothing of it is to remain");
    } else if let Some(container) = view.observed.containers().first() {
        plan.act(Action::Remove { id: container.id.clone() }, "nothing of it is to remain");
    } else if !view.memory.cleaned {
        plan.act(Action::Clean, "nothing of it is to remain");
    } else {
        plan.act(Action::Finish, "nothing of it is left");
    }
}

/// Whether containers still run.
fn stop_containers(view: &View<'_>, end: &End, plan: &mut PodPlan) -> bool {
    let is_sidecar = |container: &Container| {
        view.pod.member(&container.name).is_some_and(|member| member.role == Role::Sidecar)
    };
    let (sidecars, others): (Vec<&Container>, Vec<&Container>) =
        view.observed.running().partition(|container| is_sidecar(container));
    if !others.is_empty() {
        for container in others {
            stop(view, end, container, plan);
        }
        return true;
    }
    // A start that is under way may yet bring a container up; sidecars wait for that too.
    if view.memory.busy.values().any(|busy| *busy == Busy::Starting) {
        return true;
    }
    let order: Vec<String> = view.pod.init_members().map(|member| member.name().to_owned()).collect();
    let last =
        sidecars.into_iter().max_by_key(|container| order.iter().position(|name| *name == container.name));
    match last {
        Some(container) => {
            stop(view, end, container, plan);
            true
        }
        None => false,
    }
}

fn stop(view: &View<'_>, end: &End, container: &Container, plan: &mut PodPlan) {
    let deadline = end.deadline();
    match view.memory.busy.get(&container.name) {
        Some(Busy::Starting | Busy::Resizing) => return,
        Some(Busy::Stopping { deadline: before }) if *before <= deadline => return,
        _ => {}
    }
    let left = deadline.since(view.now).as_secs_f64().ceil();
    let least = end.grace_secs.min(LEAST_GRACE_SECS);
    let grace_secs = (left as u32).max(least);
    let reason = match &end.cause {
        Cause::Completed => "the pod has completed",
        Cause::Failed { .. } => "the pod has failed",
        Cause::Deleted => "the pod was deleted",
        Cause::Removed => "the pod is no longer there",
    };
    let kill = Kill {
        id: container.id.clone(),
        name: container.name.clone(),
        grace_secs,
        message: format!("Stopping container {}", container.name),
        restart: false,
    };
    plan.act(Action::Kill(kill), reason);
}

/// Removes what nobody will ask for again: of each container all but the newest instance and the one before, and
/// sandboxes that held nothing else.
pub(super) fn sweep(view: &View<'_>, plan: &mut PodPlan) {
    let mut kept: Vec<&Container> = Vec::new();
    for container in view.observed.containers() {
        let newer = kept.iter().filter(|other| other.name == container.name).count();
        let dead = container.state != cri::ContainerState::Running;
        if newer >= 2 && dead {
            let action = Action::Remove { id: container.id.clone() };
            plan.act(action, "newer instances of it have ended");
        } else {
            kept.push(container);
        }
    }
    for sandbox in view.observed.sandboxes().iter().skip(1) {
        if !kept.iter().any(|container| container.sandbox == sandbox.id) {
            let action = Action::RemoveSandbox { id: sandbox.id.clone() };
            plan.act(action, "a newer sandbox took its place");
        }
    }
}
