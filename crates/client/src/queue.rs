//! A queue of keys: each is worked on by one worker at a time, is in the queue at most once, may come later, and comes
//! ever later while it fails.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use env::{Clock, Env};
use tokio::sync::Notify;

/// How long a key waits after its first failure; doubled with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(5);
/// The longest wait of a failing key: 1,000 s upstream, where a user waits a quarter of an hour for a repaired thing.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// How many keys an empty queue has room for at most.
const KEPT_ROOM: usize = 1_024;

/// A queue of keys. Clones share it. It holds each key once, so it is bounded by the number of keys there are.
#[derive(Debug)]
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Queue { shared: self.shared.clone() }
    }
}

#[derive(Debug)]
struct Shared<K> {
    clock: Clock,
    state: Mutex<State<K>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// What is in `ready`, or has to go there when it is no longer worked on.
    wanted: BTreeSet<K>,
    working: BTreeSet<K>,
    delayed: BTreeSet<(Duration, K)>,
    due: BTreeMap<K, Duration>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> State<K> {
    fn add(&mut self, key: K) -> bool {
        if !self.wanted.insert(key.clone()) || self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    /// The first key that is ready. The room of a long queue goes with its last key: all objects are in it at the start,
    /// and then few.
    fn take_ready(&mut self) -> Option<K> {
        let key = self.ready.pop_front();
        if self.ready.is_empty() && self.ready.capacity() > KEPT_ROOM {
            self.ready = VecDeque::new();
        }
        key
    }

    /// Moves what is due to `ready`; answers with when the next one is.
    fn take_due(&mut self, now: Duration) -> Option<Duration> {
        while let Some((when, key)) = self.delayed.pop_first() {
            if when > now {
                self.delayed.insert((when, key));
                return Some(when);
            }
            self.due.remove(&key);
            self.add(key);
        }
        None
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty queue.
    pub fn new(env: &Env) -> Queue<K> {
        let state = State {
            ready: VecDeque::new(),
            wanted: BTreeSet::new(),
            working: BTreeSet::new(),
            delayed: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        let shared = Shared { clock: env.clock.clone(), state: Mutex::new(state), changed: Notify::new() };
        Queue { shared: Arc::new(shared) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State<K>) -> T) -> T {
        work(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Wants `key` to be worked on. If it is being worked on now, it will be once more.
    pub fn add(&self, key: K) {
        if self.with(|state| state.add(key)) {
            self.shared.changed.notify_one();
        }
    }

    /// Wants `key` to be worked on after a while; of several such wishes the earliest counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let when = self.shared.clock.monotonic() + delay;
        self.with(|state| match state.due.get(&key).copied() {
            Some(earlier) if earlier <= when => {}
            other => {
                if let Some(later) = other {
                    state.delayed.remove(&(later, key.clone()));
                }
                state.due.insert(key.clone(), when);
                state.delayed.insert((when, key));
            }
        });
        self.shared.changed.notify_one();
    }

    /// Wants `key` to be worked on again after a failure: later each time. Answers with the delay.
    pub fn retry(&self, key: K) -> Duration {
        let failures = self.with(|state| {
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures
        });
        let delay = FIRST_DELAY.saturating_mul(1 << (failures - 1).min(20)).min(LONGEST_DELAY);
        self.add_after(key, delay);
        delay
    }

    /// `key` succeeded: its next failure is the first again.
    pub fn forget(&self, key: &K) {
        self.with(|state| state.failures.remove(key));
    }

    /// How often `key` failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.with(|state| state.failures.get(key).copied().unwrap_or(0))
    }

    /// How many keys could be worked on at once.
    pub fn len(&self) -> usize {
        self.with(|state| state.ready.len())
    }

    /// Whether nothing is ready, being worked on, or wanted.
    pub fn is_idle(&self) -> bool {
        self.with(|state| state.ready.is_empty() && state.working.is_empty())
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for a key and takes it. It is not handed out again before [`Queue::done`].
    pub async fn next(&self) -> K {
        loop {
            let changed = self.shared.changed.notified();
            let now = self.shared.clock.monotonic();
            let (key, next_due) = self.with(|state| {
                let next_due = state.take_due(now);
                let key = state.take_ready();
                if let Some(key) = &key {
                    state.wanted.remove(key);
                    state.working.insert(key.clone());
                }
                (key, next_due)
            });
            if let Some(key) = key {
                // There may be more for other workers, whose wake-ups this one may have taken.
                self.shared.changed.notify_one();
                return key;
            }
            match next_due {
                None => changed.await,
                Some(when) => {
                    // Either way the loop looks again.
                    let _ = self.shared.clock.timeout(when.saturating_sub(now), changed).await;
                }
            }
        }
    }

    /// The work on `key` is over.
    pub fn done(&self, key: &K) {
        let again = self.with(|state| {
            state.working.remove(key);
            let again = state.wanted.contains(key);
            if again {
                state.ready.push_back(key.clone());
            }
            again
        });
        if again {
            self.shared.changed.notify_one();
        }
    }
}
