//! Whether a container is started again, and when.

use cri::{Container, ContainerState};
use env::WallTime;
use k8s_openapi::api::core::v1::{ContainerRestartRule, ContainerStatus};

use super::{SHOWN_FOR, View};
use crate::memory::Waiting;
use crate::pod::{Member, PodView, Role};

/// What becomes of a container that does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Something is being done to it already.
    Busy,
    /// It is started.
    Start {
        /// How often it was made before.
        attempt: u32,
    },
    /// It is started later.
    Later {
        /// When.
        at: WallTime,
        /// Why, if that is not known yet.
        waiting: Option<Waiting>,
    },
    /// It is not started again.
    Never,
}

/// Whether the rules let an ended container be started again.
pub(crate) fn may_restart(pod: &PodView, member: &Member<'_>, last: &Container) -> bool {
    match member.role {
        Role::Ephemeral => return false,
        Role::Sidecar => return true,
        Role::Init | Role::App => {}
    }
    if matching_rule(member, last.exit_code).is_some() {
        return true;
    }
    match member.spec.restart_policy.as_deref().unwrap_or(pod.restart_policy()) {
        // An init container that went well is done, whatever the policy.
        _ if member.role == Role::Init && last.exit_code == 0 => false,
        "Always" => true,
        "OnFailure" => last.exit_code != 0,
        _ => false,
    }
}

/// The first of a container's restart rules that is about this exit code.
pub(super) fn matching_rule<'m>(member: &'m Member<'_>, exit_code: i32) -> Option<&'m ContainerRestartRule> {
    member.spec.restart_policy_rules.iter().flatten().find(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    })
}

/// What becomes of a container that does not run, given its newest instance.
pub(super) fn next(view: &View<'_>, member: &Member<'_>, last: Option<&Container>) -> Next {
    let name = member.name();
    if view.memory.busy.contains_key(name) {
        return Next::Busy;
    }
    let attempt = next_attempt(view, name, last);
    if let Some(last) = last.filter(|last| last.state == ContainerState::Exited) {
        let forced = view.memory.must_restart.contains(name) || view.together().is_stale(last);
        if !forced && !may_restart(view.pod, member, last) {
            return Next::Never;
        }
        if let Some(later) = crash_pause(view, member, last) {
            return later;
        }
    }
    if let Some(later) = pull_pause(view, member) {
        return later;
    }
    match view.memory.retries.get(name) {
        Some(at) if *at > view.now => Next::Later { at: *at, waiting: None },
        _ => Next::Start { attempt },
    }
}

/// Restart counts never fall, even when the runtime has forgotten what the API still knows. A container that was made
/// but never ran, because nobody was left to start it, counts for nothing.
fn next_attempt(view: &View<'_>, name: &str, last: Option<&Container>) -> u32 {
    if let Some(last) = last.or_else(|| view.observed.latest(name)) {
        return last.attempt + u32::from(last.state != ContainerState::Created);
    }
    let status = view.pod.status();
    let lists = [&status.container_statuses, &status.init_container_statuses];
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|known| known.name == name && known.container_id.as_deref().is_some_and(|id| !id.is_empty()))
        .map_or(0, |known| u32::try_from(known.restart_count).unwrap_or(0) + u32::from(ran(known)))
}

/// Whether the container that the API knows ever ran: it does, it ended, or it waits to be started again after it did.
fn ran(known: &ContainerStatus) -> bool {
    let waits = known.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let before = known.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    !waits || before.is_some_and(|before| before.container_id == known.container_id)
}

fn crash_pause(view: &View<'_>, member: &Member<'_>, last: &Container) -> Option<Next> {
    let name = member.name();
    let finished = WallTime(last.finished_at);
    let back_off = view.memory.restarts.get(name)?;
    let at = back_off.until(&member.hash(), finished, view.now)?;
    let waiting = Waiting::new(
        "CrashLoopBackOff",
        format!(
            "back-off {} restarting failed container={name} pod={}",
            go_duration(back_off.pause.as_secs()),
            view.pod.long_name()
        ),
    );
    // The end itself is shown first.
    let shown_until = finished.plus(SHOWN_FOR);
    if view.now < shown_until && shown_until < at {
        return Some(Next::Later { at: shown_until, waiting: None });
    }
    Some(Next::Later { at, waiting: Some(waiting) })
}

fn pull_pause(view: &View<'_>, member: &Member<'_>) -> Option<Next> {
    let failure = view.memory.pulls.get(member.name())?;
    let image = member.spec.image.as_deref().unwrap_or_default();
    let failed = failure.back_off.updated;
    let at = failure.back_off.until(image, failed, view.now)?;
    let shown_until = failed.plus(SHOWN_FOR);
    if view.now < shown_until {
        return Some(Next::Later { at: shown_until, waiting: None });
    }
    let message = format!(
        "Back-off pulling image {}: {}: {}",
        machinery::field::go_quote(image),
        failure.error.reason,
        failure.error.message
    );
    Some(Next::Later { at, waiting: Some(Waiting::new("ImagePullBackOff", message)) })
}

/// Whole seconds as Go prints a duration: `10s`, `2m40s`, `5m0s`.
pub(super) fn go_duration(secs: u64) -> String {
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs}s"),
        (0, minutes, secs) => format!("{minutes}m{secs}s"),
        (hours, minutes, secs) => format!("{hours}h{minutes}m{secs}s"),
    }
}
