//! The end of one container may start all containers of its pod again, in the sandbox that they have: its restart rules
//! say so (`RestartAllContainers`).
//!
//! What was made before that end is stale: what of it runs is killed, and then everything is started as if for the
//! first time, init containers too. All of this is read from what the runtime still knows of containers, so that a
//! kubelet that was killed meanwhile goes on where it was.

use cri::{Container, ContainerState};

use super::{Action, Kill, PodPlan, View, restart};
use crate::observed::Observed;
use crate::pod::{Member, PodView, Role};

/// What the rule says that does it.
const ALL: &str = "RestartAllContainers";

/// The containers of a pod that all end together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together<'a> {
    pod: &'a PodView,
    observed: &'a Observed,
    /// When the last container ended whose end starts all of them again.
    since: Option<i64>,
}

impl<'a> Together<'a> {
    /// Looks at what there is of a pod.
    pub fn of(pod: &'a PodView, observed: &'a Observed) -> Together<'a> {
        let since = if is_possible(pod) {
            let sources = observed.containers().iter().filter(|container| starts_all_again(pod, container));
            sources.map(|source| source.finished_at).max()
        } else {
            None
        };
        Together { pod, observed, since }
    }

    /// Whether a container was made before the end that starts all of them again.
    pub fn is_stale(&self, container: &Container) -> bool {
        let is_part = |member: Member<'_>| member.role != Role::Ephemeral;
        self.since.is_some_and(|since| container.created_at <= since)
            && self.pod.member(&container.name).is_some_and(is_part)
    }

    /// The newest container of that name, if it is to be followed by another.
    pub fn stale(&self, name: &str) -> Option<&'a Container> {
        self.observed.latest(name).filter(|container| self.is_stale(container))
    }

    /// Those that are to end first.
    pub fn running(&self) -> impl Iterator<Item = &'a Container> {
        self.observed.running().filter(|container| self.is_stale(container))
    }

    /// Whether some container is yet to be started again.
    pub fn is_under_way(&self) -> bool {
        let mut members = self.pod.init_members().chain(self.pod.app_members());
        self.since.is_some() && members.any(|member| self.stale(member.name()).is_some())
    }
}

/// Whether some container of the pod has such a rule.
pub(crate) fn is_possible(pod: &PodView) -> bool {
    let mut members = pod.init_members().chain(pod.app_members());
    members.any(|member| member.spec.restart_policy_rules.iter().flatten().any(|rule| rule.action == ALL))
}

fn starts_all_again(pod: &PodView, container: &Container) -> bool {
    container.state == ContainerState::Exited
        && pod.member(&container.name).is_some_and(|member| {
            restart::matching_rule(&member, container.exit_code).is_some_and(|rule| rule.action == ALL)
        })
}

/// Kills what is stale and runs; answers whether there is anything to wait for.
pub(super) fn plan_together(view: &View<'_>, plan: &mut PodPlan) -> bool {
    let mut waits = false;
    for container in view.together().running() {
        waits = true;
        if view.memory.busy.contains_key(&container.name) {
            continue;
        }
        let kill = Kill {
            id: container.id.clone(),
            name: container.name.clone(),
            grace_secs: 0,
            message: format!("Container {} will be restarted with all others of its pod", container.name),
            restart: false,
        };
        plan.act(Action::Kill(kill), "a container ended whose rules start all of them again");
    }
    waits
}
