//! What the kubelet knows of a pod that neither the API nor the runtime tells: what it is just doing, what failed and
//! when to try again, what probes say. All of it is lost when the kubelet restarts, and none of it is missed then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cri::Resources;
use env::WallTime;
use k8s_openapi::api::core::v1::PodCondition;

use crate::pod::PodView;
use crate::resize::{Allocation, Pending};
use crate::volumes::content::Told;

/// The first pause before something that failed is tried again.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a container waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// `CrashLoopBackOff`, `ErrImagePull`, …
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Waiting {
    /// From its parts.
    pub fn new(reason: &str, message: impl Into<String>) -> Waiting {
        Waiting { reason: reason.to_owned(), message: message.into() }
    }
}

/// What is being done to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// It is pulled, made, started, or its first hook runs.
    Starting,
    /// It is told what it may use.
    Resizing,
    /// It was asked to end by then.
    Stopping {
        /// When it is killed.
        deadline: WallTime,
    },
}

/// A pause that grows with each failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    /// What failed: a container's hash, or an image. Something else starts anew.
    pub subject: String,
    /// The pause now.
    pub pause: Duration,
    /// When it last grew.
    pub updated: WallTime,
}

impl BackOff {
    /// The pause after one more failure at `failed` that is dealt with `now`.
    pub fn grown(before: Option<&BackOff>, subject: &str, failed: WallTime, now: WallTime) -> BackOff {
        let pause = match before {
            Some(before) if before.subject == subject && !before.is_over(failed) => {
                (before.pause * 2).min(LONGEST_PAUSE)
            }
            _ => FIRST_PAUSE,
        };
        BackOff { subject: subject.to_owned(), pause, updated: now }
    }

    /// Whether it went well for so long before `failed` that the failure counts as the first.
    pub fn is_over(&self, failed: WallTime) -> bool {
        failed.since(self.updated) > LONGEST_PAUSE * 2
    }

    /// When something that failed at `failed` may be tried again; `None` if at once.
    pub fn until(&self, subject: &str, failed: WallTime, now: WallTime) -> Option<WallTime> {
        let until = failed.plus(self.pause);
        (self.subject == subject && !self.is_over(failed) && now < until).then_some(until)
    }
}

/// An image that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PullFailure {
    /// Grows with each failure.
    pub back_off: BackOff,
    /// What was wrong.
    pub error: Waiting,
}

/// Whether the pod's volumes are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Volumes {
    /// Not looked at since the kubelet started.
    #[default]
    Unknown,
    /// All are there, and their content is what it was when they were last looked at.
    Mounted {
        /// When content must be renewed (tokens), if ever.
        renew_at: Option<WallTime>,
    },
    /// Not all could be had.
    Failed {
        /// When to try again.
        retry_at: WallTime,
        /// The pause that leads there.
        pause: Duration,
    },
    /// They were taken away.
    Gone,
}

/// What probes say of a container; `None` where one has not answered yet, or does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probed {
    /// Whether it has come up.
    pub startup: Option<bool>,
    /// Whether it is alive.
    pub liveness: Option<bool>,
    /// Whether it wants traffic.
    pub readiness: Option<bool>,
}

/// Why a pod ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its containers ended and none is to be started again.
    Completed,
    /// It may not run here, or no longer: deadline, eviction, admission.
    Failed {
        /// `DeadlineExceeded`, `Evicted`, `OutOfcpu`, …
        reason: String,
        /// For people.
        message: String,
    },
    /// It was deleted; the API waits for us.
    Deleted,
    /// The API no longer has it.
    Removed,
}

/// A pod that is to end, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: WallTime,
    /// Seconds its containers get.
    pub grace_secs: u32,
}

impl End {
    /// When what still runs is killed.
    pub fn deadline(&self) -> WallTime {
        self.since.plus(Duration::from_secs(u64::from(self.grace_secs)))
    }

    /// Whether nothing of the pod is to remain.
    pub fn leaves_nothing(&self) -> bool {
        matches!(self.cause, Cause::Deleted | Cause::Removed)
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// What is being done to containers, by name.
    pub busy: BTreeMap<String, Busy>,
    /// Something is being done to the pod as a whole.
    pub pod_busy: bool,
    /// Its volumes.
    pub volumes: Volumes,
    /// Content of its volumes may have changed.
    pub volumes_stale: bool,
    /// What its volumes tell of the pod itself.
    pub told: Option<Told>,
    /// Pauses between restarts, by container.
    pub restarts: BTreeMap<String, BackOff>,
    /// Images that could not be had, by container.
    pub pulls: BTreeMap<String, PullFailure>,
    /// When to try again what failed otherwise, by container.
    pub retries: BTreeMap<String, WallTime>,
    /// When to try again to make the sandbox.
    pub sandbox_retry: Option<WallTime>,
    /// How often in a row the sandbox could not be made.
    pub sandbox_failures: u32,
    /// Why containers wait, by name.
    pub waiting: BTreeMap<String, Waiting>,
    /// Containers that are started again whatever the restart policy says.
    pub must_restart: BTreeSet<String>,
    /// What probes say, by container id.
    pub probes: BTreeMap<String, Probed>,
    /// When the pod was first looked at.
    pub began: Option<WallTime>,
    /// The conditions that were published last.
    pub conditions: Vec<PodCondition>,
    /// Why it was not let in, if it was not: reason and message.
    pub refused: Option<(String, String)>,
    /// What was allocated to it, once that is known.
    pub allocation: Option<Allocation>,
    /// Why it does not get what it asks for now.
    pub resize_pending: Option<Pending>,
    /// What containers were last told to use, by id: whoever does not do as told is not told again.
    pub resized: BTreeMap<String, Resources>,
    /// The pod is to end.
    pub end: Option<End>,
    /// It ends because of the node, not because of itself.
    pub disrupted: bool,
    /// What remained of it was taken away: sandboxes, containers, logs, directories.
    pub cleaned: bool,
    /// Its status is final and will not be looked at again.
    pub sealed: bool,
}

impl Memory {
    /// What probes say of a container.
    pub fn probed(&self, container_id: &str) -> Probed {
        self.probes.get(container_id).copied().unwrap_or_default()
    }

    /// Takes over the pauses that the API says containers are in, so that a restart of the kubelet ends none early.
    pub fn adopt_pauses(&mut self, pod: &PodView) {
        let status = pod.status();
        let lists = [&status.container_statuses, &status.init_container_statuses];
        for known in lists.into_iter().flatten().flatten() {
            let waiting = known.state.as_ref().and_then(|state| state.waiting.as_ref());
            let ended =
                known.last_state.as_ref().and_then(|state| state.terminated.as_ref()?.finished_at.as_ref());
            let (Some(waiting), Some(ended), Some(member)) = (waiting, ended, pod.member(&known.name)) else {
                continue;
            };
            if waiting.reason.as_deref() != Some("CrashLoopBackOff") {
                continue;
            }
            // The first restart is not waited for; from then on pauses double.
            let doublings = u32::try_from(known.restart_count.saturating_sub(1)).unwrap_or(0).min(8);
            let pause = (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE);
            let updated = WallTime::from_secs(ended.0.as_second());
            self.restarts.insert(known.name.clone(), BackOff { subject: member.hash(), pause, updated });
            let message = waiting.message.clone().unwrap_or_default();
            self.waiting.insert(known.name.clone(), Waiting::new("CrashLoopBackOff", message));
        }
    }

    /// Whether the container is being started.
    pub fn is_starting(&self, name: &str) -> bool {
        self.busy.get(name) == Some(&Busy::Starting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_limit_and_are_forgotten_after_a_good_run() {
        let mut now = WallTime::from_secs(1_000);
        let mut back_off: Option<BackOff> = None;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let grown = BackOff::grown(back_off.as_ref(), "c", now, now);
            pauses.push(grown.pause.as_secs());
            now = now.plus(grown.pause);
            back_off = Some(grown);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        let back_off = back_off.unwrap();
        let long_after = now.plus(Duration::from_secs(601));
        assert_eq!(BackOff::grown(Some(&back_off), "c", long_after, long_after).pause, FIRST_PAUSE);
        assert_eq!(BackOff::grown(Some(&back_off), "other", now, now).pause, FIRST_PAUSE);
        assert_eq!(back_off.until("c", now, now), Some(now.plus(LONGEST_PAUSE)));
        assert_eq!(back_off.until("c", now, now.plus(LONGEST_PAUSE)), None);
        assert_eq!(back_off.until("other", now, now), None);
    }
}
