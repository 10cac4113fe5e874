//! Failing pods are replaced ever later: a node that refuses a pod would otherwise be offered it without end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::Key;
use env::WallTime;
use smol_str::SmolStr;

/// How long after the first failed pod of a node the second is removed; doubled with each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// What failed on a node, and when it may be removed.
#[derive(Debug)]
struct Failures {
    generation: i64,
    delay: Duration,
    last: WallTime,
    pods: BTreeMap<SmolStr, WallTime>,
}

/// When failed pods may be removed, by set and node.
#[derive(Debug, Default)]
pub struct Backoff {
    sets: Mutex<BTreeMap<Key, BTreeMap<SmolStr, Failures>>>,
}

impl Backoff {
    /// The set is no more.
    pub fn forget(&self, set: &Key) {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).remove(set);
    }

    /// Takes notice of the pods of a set that have failed now, as node and identity. Answers with when each may be
    /// removed. A set that was changed begins anew.
    pub fn observe(
        &self,
        set: &Key,
        generation: i64,
        failed: &[(SmolStr, SmolStr)],
        now: WallTime,
    ) -> BTreeMap<SmolStr, WallTime> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_empty() && !sets.contains_key(set) {
            return BTreeMap::new();
        }
        let nodes = sets.entry(set.clone()).or_default();
        nodes.retain(|_, failures| {
            failures.pods.retain(|pod, _| failed.iter().any(|(_, other)| other == pod));
            // A node where all went well for long is as good as new, and one that is gone is not kept for ever.
            let is_recent = now.since(failures.last) < LONGEST_DELAY * 2;
            failures.generation == generation && (is_recent || !failures.pods.is_empty())
        });
        failed.iter().map(|(node, pod)| (pod.clone(), allow(nodes, (node, pod), generation, now))).collect()
    }
}

fn allow(
    nodes: &mut BTreeMap<SmolStr, Failures>,
    (node, pod): (&SmolStr, &SmolStr),
    generation: i64,
    now: WallTime,
) -> WallTime {
    let first = || Failures { generation, delay: Duration::ZERO, last: now, pods: BTreeMap::new() };
    let failures = nodes.entry(node.clone()).or_insert_with(first);
    if let Some(at) = failures.pods.get(pod) {
        return *at;
    }
    let at = failures.last.plus(failures.delay).max(now);
    failures.delay = (failures.delay * 2).clamp(FIRST_DELAY, LONGEST_DELAY);
    failures.last = at;
    failures.pods.insert(pod.clone(), at);
    at
}
