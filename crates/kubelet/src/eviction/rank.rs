//! Which pod goes first: who uses more than it asked for, then who matters less, then who would give back the most.

use std::cmp::Reverse;

use super::Signal;
use crate::pod::PodView;

/// From here on a pod is the system's own.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// What a container uses and asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub name: String,
    /// Bytes of memory, and what was asked for.
    pub memory: (i64, i64),
    /// Bytes on disk: its own layer and its log; and what was asked for.
    pub disk: (i64, i64),
}

impl Member {
    /// What it uses of what a signal is about, and what it asked for.
    pub fn of(&self, signal: Signal) -> (i64, i64) {
        match signal {
            Signal::MemoryAvailable => self.memory,
            Signal::NodefsAvailable => self.disk,
            Signal::NodefsInodesFree | Signal::PidAvailable => (0, 0),
        }
    }
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub uid: String,
    pub priority: i32,
    /// Whether it may never be evicted.
    pub critical: bool,
    /// Its containers.
    pub members: Vec<Member>,
    /// Bytes of memory, and what the pod asked for in all.
    pub memory: (i64, i64),
    /// Bytes on disk, volumes included, and what the pod asked for in all.
    pub disk: (i64, i64),
    /// Files on disk.
    pub inodes: i64,
    /// Processes.
    pub pids: i64,
}

/// Whether the node would not be one without it.
pub(crate) fn is_critical(pod: &PodView) -> bool {
    pod.is_static() || pod.spec().priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL)
}

/// Sorts: those that go first come first.
pub(crate) fn rank(signal: Signal, pods: &mut [Usage]) {
    let by_excess = |of: fn(&Usage) -> (i64, i64), pods: &mut [Usage]| {
        pods.sort_by_cached_key(|pod| {
            let (used, asked) = of(pod);
            (Reverse(used > asked), pod.priority, Reverse(used.saturating_sub(asked)), pod.uid.clone())
        });
    };
    match signal {
        Signal::MemoryAvailable => by_excess(|pod| pod.memory, pods),
        Signal::NodefsAvailable => by_excess(|pod| pod.disk, pods),
        Signal::NodefsInodesFree => {
            pods.sort_by_cached_key(|pod| (pod.priority, Reverse(pod.inodes), pod.uid.clone()));
        }
        Signal::PidAvailable => {
            pods.sort_by_cached_key(|pod| (pod.priority, Reverse(pod.pids), pod.uid.clone()));
        }
    }
}
