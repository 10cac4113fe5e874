//! The phase: one word for how far a pod is, as everybody expects it to be computed.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::pod::{PodView, Role};

pub(super) fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}

fn ended(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|ended| ended.exit_code)
}

fn ended_before(status: &ContainerStatus) -> Option<i32> {
    status.last_state.as_ref()?.terminated.as_ref().map(|ended| ended.exit_code)
}

pub(super) fn runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

pub(super) fn waits(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_none_or(|state| state.terminated.is_none() && state.running.is_none())
}

#[derive(Default)]
struct Count {
    init_pending: usize,
    init_failed: usize,
    unknown: usize,
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

fn count(pod: &PodView, inits: &[ContainerStatus], apps: &[ContainerStatus]) -> Count {
    let mut count = Count::default();
    for member in pod.init_members() {
        let status = find(inits, member.name());
        if member.role == Role::Sidecar {
            // A sidecar holds the others back until it has come up once.
            let up = status.is_some_and(|status| {
                status.started == Some(true) || ended(status).is_some() || ended_before(status).is_some()
            });
            count.init_pending += usize::from(!up);
            continue;
        }
        match status.map(|status| (ended(status), ended_before(status), status)) {
            Some((Some(0), _, _)) => {}
            Some((Some(_), _, _)) => count.init_failed += 1,
            Some((None, Some(code), status)) if waits(status) && code != 0 => {
                count.init_failed += 1;
                count.init_pending += 1;
            }
            _ => count.init_pending += 1,
        }
    }
    for member in pod.app_members() {
        match find(apps, member.name()) {
            None => count.unknown += 1,
            Some(status) if runs(status) => count.running += 1,
            Some(status) => match (ended(status), ended_before(status)) {
                (Some(code), _) => {
                    count.stopped += 1;
                    count.succeeded += usize::from(code == 0);
                }
                (None, Some(_)) => count.stopped += 1,
                (None, None) => count.waiting += 1,
            },
        }
    }
    count
}

/// What is known of a pod beside its containers' statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Containers that ended are started again as the restart policy says.
    Usual,
    /// Some container is being started again whatever the policy says.
    Restarting,
    /// Nothing of it runs or will be started.
    Over,
}

/// The phase of a pod.
pub(super) fn phase(
    pod: &PodView,
    inits: &[ContainerStatus],
    apps: &[ContainerStatus],
    course: Course,
) -> &'static str {
    let count = count(pod, inits, apps);
    let policy = pod.restart_policy();
    if count.init_failed > 0 && policy == "Never" {
        return "Failed";
    }
    let begun = count.running + count.stopped > 0;
    if count.init_pending + count.init_failed > 0 && !begun {
        return "Pending";
    }
    if count.waiting > 0 {
        return "Pending";
    }
    if count.unknown > 0 {
        return "Pending";
    }
    if count.running > 0 {
        return "Running";
    }
    if count.stopped == 0 {
        return "Pending";
    }
    let all_succeeded = count.stopped == count.succeeded;
    match (course, policy) {
        (Course::Over, _) if all_succeeded => "Succeeded",
        (Course::Over, _) => "Failed",
        (Course::Restarting, _) | (Course::Usual, "Always") => "Running",
        (Course::Usual, _) if restarts_by_container(pod) => "Running",
        (Course::Usual, _) if all_succeeded => "Succeeded",
        (Course::Usual, "Never") => "Failed",
        (Course::Usual, _) => "Running",
    }
}

/// Whether some app container has restart rules of its own: then the pod's policy alone says nothing.
fn restarts_by_container(pod: &PodView) -> bool {
    pod.app_members().any(|member| {
        member.spec.restart_policy.as_deref().is_some_and(|policy| policy != "Never")
            || member.spec.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())
    })
}

/// The phase of a pod of which nothing runs any more.
pub(super) fn final_phase(
    pod: &PodView,
    inits: &[ContainerStatus],
    apps: &[ContainerStatus],
) -> &'static str {
    match phase(pod, inits, apps, Course::Over) {
        "Succeeded" => "Succeeded",
        _ => "Failed",
    }
}
