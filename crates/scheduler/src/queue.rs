//! Pods that wait for a node: those whose turn it is, those that failed a moment ago, and those that wait for the
//! cluster to change.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use smol_str::SmolStr;

use crate::plugins;
use crate::pod::Pod;

/// A pod's first pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so long even a pod that nothing spoke for is tried again, in case something was missed.
const WAITED_LONG: Duration = Duration::from_secs(300);

/// What happened in the cluster that may let a pod in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A node came or changed.
    Node,
    /// A pod that had a node is gone, or its labels changed.
    PodGone,
    /// A pod got a node.
    PodPlaced,
    /// A namespace's labels changed.
    Namespace,
}

impl Happening {
    /// Whether a pod that a plugin was against is worth another try.
    fn concerns(self, plugin: &str) -> bool {
        use plugins::{interpod_affinity, node_ports, resources_fit, topology_spread};
        let is_about_pods = matches!(plugin, interpod_affinity::NAME | topology_spread::NAME);
        match self {
            Happening::Node => true,
            Happening::PodGone => is_about_pods || matches!(plugin, resources_fit::NAME | node_ports::NAME),
            Happening::PodPlaced => is_about_pods,
            Happening::Namespace => plugin == interpod_affinity::NAME,
        }
    }
}

type Uid = SmolStr;
/// Higher priority first, then who came first.
type Turn = (Reverse<i32>, u64, Uid);

#[derive(Clone, Debug)]
struct Waiting {
    pod: Pod,
    serial: u64,
    attempts: u32,
    place: Place,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Active,
    /// Until then.
    Pausing(Duration),
    /// Since then, because of these.
    Stuck {
        since: Duration,
        plugins: BTreeSet<&'static str>,
    },
    /// It is being decided about, or bound.
    InFlight,
    /// Something holds it back.
    Gated,
}

/// Pods that wait for a node. Bounded by the pods there are.
#[derive(Debug, Default)]
pub struct Queue {
    pods: BTreeMap<Uid, Waiting>,
    active: BTreeSet<Turn>,
    pausing: BTreeSet<(Duration, Uid)>,
    stuck: BTreeSet<Uid>,
    serial: u64,
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

fn uid(pod: &Pod) -> Uid {
    pod.object.header().uid.clone()
}

impl Queue {
    /// A pod came or changed. `true` if it is now held back and was not before.
    pub fn set(&mut self, pod: Pod) -> bool {
        let is_gated = plugins::scheduling_gates::held_back(&pod).is_some();
        let key = uid(&pod);
        let Some(known) = self.pods.get(&key) else {
            self.serial += 1;
            let waiting = Waiting { pod, serial: self.serial, attempts: 0, place: Place::Gated };
            self.pods.insert(key.clone(), waiting);
            if !is_gated {
                self.put(&key, Place::Active);
            }
            return is_gated;
        };
        let was_gated = known.place == Place::Gated;
        let has_new_spec = known.pod.object.header().generation != pod.object.header().generation
            || known.pod.object.header().labels != pod.object.header().labels;
        let place = known.place.clone();
        self.take_out(&key);
        if let Some(known) = self.pods.get_mut(&key) {
            known.pod = pod;
        }
        let place = match place {
            Place::Gated if !is_gated => Place::Active,
            Place::Stuck { .. } if has_new_spec => Place::Active,
            other => other,
        };
        self.put(&key, place);
        is_gated && !was_gated
    }

    /// A pod is gone, or has a node.
    pub fn remove(&mut self, uid: &str) {
        self.take_out(uid);
        self.pods.remove(uid);
    }

    fn take_out(&mut self, uid: &str) {
        let Some(waiting) = self.pods.get(uid) else { return };
        match &waiting.place {
            Place::Active => {
                self.active.remove(&(Reverse(waiting.pod.facts.priority), waiting.serial, SmolStr::new(uid)));
            }
            Place::Pausing(until) => {
                self.pausing.remove(&(*until, SmolStr::new(uid)));
            }
            Place::Stuck { .. } => {
                self.stuck.remove(uid);
            }
            Place::InFlight | Place::Gated => {}
        }
    }

    fn put(&mut self, uid: &Uid, place: Place) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        match &place {
            Place::Active => {
                self.active.insert((Reverse(waiting.pod.facts.priority), waiting.serial, uid.clone()));
            }
            Place::Pausing(until) => {
                self.pausing.insert((*until, uid.clone()));
            }
            Place::Stuck { .. } => {
                self.stuck.insert(uid.clone());
            }
            Place::InFlight | Place::Gated => {}
        }
        waiting.place = place;
    }

    /// The pod whose turn it is. It has to be handed back by [`Queue::failed`], or removed.
    pub fn next(&mut self, now: Duration) -> Option<Pod> {
        while let Some((until, key)) = self.pausing.first().cloned() {
            if until > now {
                break;
            }
            self.take_out(&key);
            self.put(&key, Place::Active);
        }
        let (_, _, key) = self.active.first().cloned()?;
        self.take_out(&key);
        self.put(&key, Place::InFlight);
        let waiting = self.pods.get_mut(&key)?;
        waiting.attempts += 1;
        Some(waiting.pod.clone())
    }

    /// When the next pause is over.
    pub fn next_due(&self) -> Option<Duration> {
        self.pausing.first().map(|(until, _)| *until)
    }

    /// A pod cannot go anywhere, because of these plugins.
    pub fn refused(&mut self, uid: &Uid, because_of: BTreeSet<&'static str>, now: Duration) {
        self.put(uid, Place::Stuck { since: now, plugins: because_of });
    }

    /// A pod could not be bound, for a reason that may pass.
    pub fn failed(&mut self, uid: &Uid, now: Duration) {
        if let Some(waiting) = self.pods.get(uid) {
            let until = now + pause(waiting.attempts);
            self.put(uid, Place::Pausing(until));
        }
    }

    /// Something happened: pods it may let in get another turn.
    pub fn happened(&mut self, what: Happening) {
        let stuck: Vec<Uid> = self.stuck.iter().cloned().collect();
        for key in stuck {
            let Some(Waiting { place: Place::Stuck { since, plugins }, attempts, .. }) = self.pods.get(&key)
            else {
                continue;
            };
            if plugins.iter().any(|plugin| what.concerns(plugin)) {
                let until = *since + pause(*attempts);
                self.take_out(&key);
                self.put(&key, Place::Pausing(until));
            }
        }
    }

    /// Gives pods that waited very long another turn. Answers with when to ask again, if any pod waits.
    pub fn flush(&mut self, now: Duration) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        let stuck: Vec<Uid> = self.stuck.iter().cloned().collect();
        for key in stuck {
            let Some(Waiting { place: Place::Stuck { since, .. }, .. }) = self.pods.get(&key) else {
                continue;
            };
            let due = *since + WAITED_LONG;
            if due <= now {
                self.take_out(&key);
                self.put(&key, Place::Active);
            } else {
                next = Some(next.map_or(due, |earlier| earlier.min(due)));
            }
        }
        next
    }

    /// How many pods wait for anything.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether no pod waits.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }
}
