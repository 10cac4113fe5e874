//! Init containers run one after the other to their end; sidecars start among them and stay.

use cri::{Container, ContainerState};

use super::apps::{self, Health};
use super::restart::{Next, next};
use super::{Action, PodPlan, View};
use crate::pod::{Member, Role};

/// How far the pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inits {
    /// App containers may start.
    Done,
    /// Not yet.
    Pending,
    /// They never will.
    Failed,
}

/// Plans init containers and sidecars.
pub(super) fn plan_inits(view: &View<'_>, plan: &mut PodPlan) -> Inits {
    let members: Vec<Member<'_>> = view.pod.init_members().collect();
    let together = view.together();
    let active = |name: &str| view.observed.active(name).filter(|container| !together.is_stale(container));
    let apps_begun = view.pod.app_members().any(|app| active(app.name()).is_some());
    let furthest = if apps_begun {
        members.len()
    } else {
        // Records of init containers that ended may be gone; one that came later proves that they went well.
        members.iter().rposition(|member| active(member.name()).is_some()).unwrap_or(0)
    };
    for (position, member) in members.iter().enumerate() {
        let active = active(member.name());
        let step = match member.role {
            Role::Sidecar => sidecar(view, member, active, plan),
            _ if position < furthest => Inits::Done,
            _ => init(view, member, active, plan),
        };
        if position >= furthest && step != Inits::Done {
            return step;
        }
    }
    Inits::Done
}

fn sidecar(view: &View<'_>, member: &Member<'_>, active: Option<&Container>, plan: &mut PodPlan) -> Inits {
    match active {
        Some(container) if container.state == ContainerState::Running => {
            if apps::check(view, member, container, plan) == Health::Good
                && apps::has_started(view, member, container)
            {
                Inits::Done
            } else {
                Inits::Pending
            }
        }
        other => {
            begin(view, member, other, plan);
            Inits::Pending
        }
    }
}

fn init(view: &View<'_>, member: &Member<'_>, active: Option<&Container>, plan: &mut PodPlan) -> Inits {
    match active {
        Some(container) if container.state == ContainerState::Running => Inits::Pending,
        Some(container) if container.state == ContainerState::Exited && container.exit_code == 0 => {
            if view.memory.busy.contains_key(member.name()) { Inits::Pending } else { Inits::Done }
        }
        other => begin(view, member, other, plan),
    }
}

/// Starts it, now or later; it fails the pod if it may not be started again.
fn begin(view: &View<'_>, member: &Member<'_>, active: Option<&Container>, plan: &mut PodPlan) -> Inits {
    match next(view, member, active.or_else(|| view.together().stale(member.name()))) {
        Next::Busy => Inits::Pending,
        Next::Start { attempt } => {
            let name = member.name().to_owned();
            plan.act(Action::Start { name, attempt }, "the init containers before it are done");
            Inits::Pending
        }
        Next::Later { at, waiting } => {
            apps::wait(plan, member.name(), at, waiting);
            Inits::Pending
        }
        Next::Never => Inits::Failed,
    }
}
