//! What to do with a pod next: a pure function from what is seen to actions with reasons.

mod apps;
mod end;
mod inits;
mod restart;
#[cfg(test)]
mod tests;
pub(crate) mod together;

use std::time::Duration;

use cri::{ContainerState, Resources, SandboxState};
use env::WallTime;

use crate::memory::{Cause, End, Memory, Volumes, Waiting};
use crate::observed::Observed;
use crate::pod::{Member, PodView};
use crate::resources;

pub(crate) use apps::HASH_ANNOTATION;
pub(crate) use restart::may_restart;
pub(crate) use together::Together;

/// How long a state is shown before the waiting that follows it is, so that whoever watches sees both.
const SHOWN_FOR: Duration = Duration::from_secs(1);

/// All that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// What is wanted.
    pub pod: &'a PodView,
    /// What there is.
    pub observed: &'a Observed,
    /// What else is known.
    pub memory: &'a Memory,
    /// When.
    pub now: WallTime,
}

impl<'a> View<'a> {
    /// Whether all containers are to be started again.
    fn together(&self) -> Together<'a> {
        Together::of(self.pod, self.observed)
    }
}

/// A container that is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// Its id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// Seconds it gets.
    pub grace_secs: u32,
    /// What the event says.
    pub message: String,
    /// Whether it is started again whatever the restart policy says.
    pub restart: bool,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the volumes, or renew their content.
    Mount,
    /// Make a sandbox.
    StartSandbox {
        /// How often one was made before.
        attempt: u32,
    },
    /// Stop a sandbox that containers can no longer use.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Pull, make and start a container.
    Start {
        /// Its name.
        name: String,
        /// How often it was made before.
        attempt: u32,
    },
    /// Remember, and say, that a container waits.
    Wait {
        /// Its name.
        name: String,
        /// Why.
        waiting: Waiting,
    },
    /// Tell the pod as a whole what it may use from now on.
    ResizePod {
        /// Its sandbox.
        id: String,
        /// What it may use.
        resources: Resources,
    },
    /// Tell a container what it may use from now on.
    Resize {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// What it may use.
        resources: Resources,
    },
    /// End a container.
    Kill(Kill),
    /// Remove an ended container and its log.
    Remove {
        /// Its id.
        id: String,
    },
    /// Remove a sandbox with all that is in it.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// The pod is to end.
    End(End),
    /// Take the volumes away.
    Unmount,
    /// Take the pod's directories away.
    Clean,
    /// Tell the API that nothing is left.
    Finish,
}

/// What to do, when to look again, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodPlan {
    /// In order; those of different containers do not depend on each other.
    pub actions: Vec<Action>,
    /// When to look again although nothing changed.
    pub requeue: Option<WallTime>,
    /// For people.
    pub reasons: Vec<String>,
}

impl PodPlan {
    fn act(&mut self, action: Action, reason: impl Into<String>) {
        self.actions.push(action);
        self.reasons.push(reason.into());
    }

    fn look_again(&mut self, at: WallTime) {
        self.requeue = Some(self.requeue.map_or(at, |before| before.min(at)));
    }
}

/// Plans the pod's next steps.
pub(crate) fn plan_pod(view: &View<'_>) -> PodPlan {
    let mut plan = PodPlan::default();
    if let Some(end) = &view.memory.end {
        end::plan_end(view, end, &mut plan);
        return plan;
    }
    if let Some(end) = ended_before(view) {
        plan.act(Action::End(end), "the pod has ended");
        return plan;
    }
    if past_deadline(view, &mut plan) {
        return plan;
    }
    if view.memory.pod_busy {
        return plan;
    }
    run(view, &mut plan);
    plan
}

/// A pod that the API says has ended stays ended, whatever a restarted kubelet finds of it.
fn ended_before(view: &View<'_>) -> Option<End> {
    let status = view.pod.status();
    if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let cause = match status.reason.clone().filter(|reason| !reason.is_empty()) {
        Some(reason) => Cause::Failed { reason, message: status.message.clone().unwrap_or_default() },
        None => Cause::Completed,
    };
    Some(End { cause, since: view.now, grace_secs: view.pod.grace_secs() })
}

fn past_deadline(view: &View<'_>, plan: &mut PodPlan) -> bool {
    let status = view.pod.status();
    let (Some(limit), Some(started)) = (view.pod.spec().active_deadline_seconds, &status.start_time) else {
        return false;
    };
    let limit = Duration::from_secs(u64::try_from(limit).unwrap_or(0));
    let deadline = WallTime::from_secs(started.0.as_second()).plus(limit);
    if view.now < deadline {
        plan.look_again(deadline);
        return false;
    }
    let cause = Cause::Failed {
        reason: "DeadlineExceeded".to_owned(),
        message: "Pod was active on the node longer than the specified deadline".to_owned(),
    };
    let end = End { cause, since: view.now, grace_secs: view.pod.grace_secs() };
    plan.act(Action::End(end), "its active deadline has passed");
    true
}

fn run(view: &View<'_>, plan: &mut PodPlan) {
    if !volumes_ready(view, plan) {
        return;
    }
    let Some(sandbox) = view.observed.ready_sandbox() else {
        renew_sandbox(view, plan);
        return;
    };
    let parts = view.observed.running().map(|container| &container.resources);
    if let Some(resources) = resources::room(view.pod, parts, &sandbox.resources)
        && view.memory.pod_resized.as_ref() != Some(&resources)
    {
        // Before its containers get more, and after they have less.
        plan.act(Action::ResizePod { id: sandbox.id.clone(), resources }, "what the pod may use has changed");
        return;
    }
    end::sweep(view, plan);
    if together::plan_together(view, plan) {
        return;
    }
    let inits = inits::plan_inits(view, plan);
    let apps = match inits {
        inits::Inits::Done => apps::plan_apps(view, plan),
        inits::Inits::Pending => apps::Apps::Going,
        inits::Inits::Failed => apps::Apps::Over,
    };
    apps::plan_ephemeral(view, plan);
    if apps == apps::Apps::Over && view.memory.busy.is_empty() {
        // What else was planned (a sidecar's restart, say) would be undone at once.
        plan.actions.clear();
        let end = End { cause: Cause::Completed, since: view.now, grace_secs: view.pod.grace_secs() };
        plan.act(Action::End(end), "no container is left that would be started again");
    }
}

/// Whether volumes are there. Running containers go on while content that changed is renewed.
fn volumes_ready(view: &View<'_>, plan: &mut PodPlan) -> bool {
    match &view.memory.volumes {
        Volumes::Mounted { renew_at } => {
            let due = renew_at.is_some_and(|at| at <= view.now);
            if due || view.memory.volumes_stale {
                plan.act(Action::Mount, "what its volumes hold has changed");
            } else if let Some(at) = renew_at {
                plan.look_again(*at);
            }
            true
        }
        Volumes::Failed { retry_at, .. } if *retry_at > view.now && !view.memory.volumes_stale => {
            plan.look_again(*retry_at);
            false
        }
        Volumes::Unknown | Volumes::Failed { .. } | Volumes::Gone => {
            plan.act(Action::Mount, "its volumes are not there yet");
            false
        }
    }
}

/// There is no sandbox to run containers in: a new one is made unless the pod is over.
fn renew_sandbox(view: &View<'_>, plan: &mut PodPlan) {
    let old = view.observed.sandbox();
    if let Some(sandbox) = old.filter(|sandbox| sandbox.state == SandboxState::Ready) {
        let action = Action::StopSandbox { id: sandbox.id.clone() };
        plan.act(action, "its sandbox has no address");
        return;
    }
    if view.observed.running().next().is_some() {
        for container in view.observed.running().filter(|c| !view.memory.busy.contains_key(&c.name)) {
            plan.act(
                Action::Kill(Kill {
                    id: container.id.clone(),
                    name: container.name.clone(),
                    grace_secs: view.pod.grace_secs(),
                    message: format!("Stopping container {}", container.name),
                    restart: false,
                }),
                "its sandbox is gone",
            );
        }
        return;
    }
    if !view.memory.busy.is_empty() {
        return;
    }
    if !worth_a_sandbox(view) {
        let end = End { cause: Cause::Completed, since: view.now, grace_secs: view.pod.grace_secs() };
        plan.act(Action::End(end), "its sandbox is gone and no container is to be started again");
        return;
    }
    match view.memory.sandbox_retry {
        Some(at) if at > view.now => plan.look_again(at),
        _ => {
            let attempt = old.map_or(0, |sandbox| sandbox.attempt + 1);
            plan.act(Action::StartSandbox { attempt }, "it has no sandbox to run containers in");
        }
    }
}

fn worth_a_sandbox(view: &View<'_>) -> bool {
    if view.observed.containers().is_empty() {
        return true;
    }
    let restarts_on_failure = |member: &Member<'_>| {
        member.spec.restart_policy.as_deref().unwrap_or(view.pod.restart_policy()) != "Never"
            || member.spec.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())
    };
    let mut apps = view.pod.app_members();
    apps.any(|member| match view.observed.latest(member.name()) {
        None => view.pod.restart_policy() != "Never" || restarts_on_failure(&member),
        Some(last) if last.state == ContainerState::Exited => may_restart(view.pod, &member, last),
        Some(_) => restarts_on_failure(&member),
    })
}
