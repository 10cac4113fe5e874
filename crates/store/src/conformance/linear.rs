//! Whether a store behaves as if everything happened at single moments: histories of many clients, and the search for
//! an order that explains them.
//!
//! Keys are looked at one by one: if each is in order, all are. Each write has a value that no other has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use env::Entropy;

use super::*;

/// What a key holds: the number of the write that put it there.
type Held = Option<u64>;

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It read this.
    Read(Held),
    /// It replaced one by the other.
    Replaced(Held, Held),
    /// It wanted to replace something, and another was there.
    Refused(Held),
    /// It wanted to replace one by the other, and never heard what became of that.
    Unsure(Held, Held),
}

/// An act, and between which moments it happened.
#[derive(Clone, Copy, Debug)]
struct Step {
    key: u64,
    called: u64,
    /// Later than everything, if no answer came.
    answered: u64,
    act: Act,
}

/// What clients did, all with one clock that only counts.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    moments: AtomicU64,
    values: AtomicU64,
    steps: Mutex<Vec<Step>>,
    /// The revision of each write that was answered, with the moments around it.
    revisions: Mutex<Vec<(u64, u64, Revision)>>,
}

impl Recorder {
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, key: u64, called: u64, act: Act) {
        let answered = if matches!(act, Act::Unsure(..)) { u64::MAX } else { self.moment() };
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(Step { key, called, answered, act });
    }

    /// How many acts there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many of them nobody was told the outcome of.
    pub(crate) fn unsure(&self) -> usize {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.iter().filter(|step| matches!(step.act, Act::Unsure(..))).count()
    }

    /// Everything that cannot be explained.
    pub(crate) fn verdict(&self) -> Vec<String> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: BTreeMap<u64, Vec<Step>> = BTreeMap::new();
        steps.iter().for_each(|step| keys.entry(step.key).or_default().push(*step));
        let mut verdict: Vec<String> = keys
            .iter()
            .filter(|(_, steps)| !is_explained(steps))
            .map(|(key, steps)| format!("no order explains what happened to key {key}: {steps:?}"))
            .collect();
        let mut revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        verdict.extend(disorder(&mut revisions));
        verdict
    }
}

/// Writes whose revisions are not in the order in which they happened, or not their own.
fn disorder(revisions: &mut [(u64, u64, Revision)]) -> Vec<String> {
    revisions.sort_unstable_by_key(|(_, _, revision)| *revision);
    let mut found = Vec::new();
    // Going back through the revisions: whatever was answered must not come after something that was asked later.
    let mut earliest_answer = u64::MAX;
    for pair in revisions.windows(2) {
        if pair[0].2 == pair[1].2 {
            found.push(format!("revision {} was given out twice", pair[0].2));
        }
    }
    for (called, answered, revision) in revisions.iter().rev() {
        if earliest_answer < *called {
            found.push(format!("revision {revision} came after a later one was answered"));
        }
        earliest_answer = earliest_answer.min(*answered);
    }
    found
}

/// What a key holds after an act, if the act is possible where it holds `held`.
fn after(act: Act, held: Held) -> Option<Held> {
    match act {
        Act::Read(read) => (read == held).then_some(held),
        Act::Replaced(expected, new) | Act::Unsure(expected, new) => (expected == held).then_some(new),
        Act::Refused(current) => (current == held).then_some(held),
    }
}

/// Whether there is an order of the steps of one key that explains what each of them saw, in which no step comes after
/// one that was called only when it was answered. Steps without an answer may be left out.
fn is_explained(steps: &[Step]) -> bool {
    let mut steps = steps.to_vec();
    steps.sort_unstable_by_key(|step| step.called);
    let wanted = steps.iter().filter(|step| step.answered != u64::MAX).count();
    let mut search = Search { steps: &steps, taken: vec![false; steps.len()], seen: BTreeSet::new() };
    let (mut held, mut done) = (None, 0);
    let mut path: Vec<(usize, Held)> = Vec::new();
    let mut from = 0;
    while done < wanted {
        match search.next(from, held) {
            Some((step, new)) => {
                path.push((step, held));
                search.taken[step] = true;
                done += usize::from(steps[step].answered != u64::MAX);
                held = new;
                from = 0;
            }
            None => {
                let Some((step, before)) = path.pop() else { return false };
                search.taken[step] = false;
                done -= usize::from(steps[step].answered != u64::MAX);
                held = before;
                from = step + 1;
            }
        }
    }
    true
}

/// The search for an order. What was tried once from the same point is not tried again.
struct Search<'a> {
    /// In the order in which they were called.
    steps: &'a [Step],
    taken: Vec<bool>,
    seen: BTreeSet<(Vec<bool>, Held)>,
}

impl Search<'_> {
    /// The first step at or after `from` that may come next.
    fn next(&mut self, from: usize, held: Held) -> Option<(usize, Held)> {
        // Whoever was called after another had been answered must wait for that one.
        let open = self.steps.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        let limit = open.map(|(step, _)| step.answered).min()?;
        for (number, step) in self.steps.iter().enumerate().skip(from) {
            if step.called > limit {
                return None;
            }
            if self.taken[number] {
                continue;
            }
            let Some(new) = after(step.act, held) else { continue };
            let mut taken = self.taken.clone();
            taken[number] = true;
            if self.seen.insert((taken, new)) {
                return Some((number, new));
            }
        }
        None
    }
}

/// A client: reads, writes and deletes keys, `steps` times, and notes what it sees.
pub(crate) async fn client(store: &dyn Store, recorder: &Recorder, steps: usize, entropy: &Entropy) {
    let mut known: BTreeMap<u64, Option<KeyValue>> = BTreeMap::new();
    for _ in 0..steps {
        let number = entropy.below(5);
        let key = bytes(&format!("linear-{number}"));
        let called = recorder.moment();
        if entropy.below(3) == 0 || !known.contains_key(&number) {
            // What cannot be read was not read; it tells nothing.
            let Ok(found) = store.get(key).await else { continue };
            recorder.note(number, called, Act::Read(held(found.as_ref())));
            known.insert(number, found);
            continue;
        }
        let expected = known.remove(&number).flatten();
        let new = (entropy.below(8) > 0).then(|| recorder.values.fetch_add(1, Ordering::SeqCst) + 1);
        let before = held(expected.as_ref());
        if before.is_none() && new.is_none() {
            continue;
        }
        let guard = match &expected {
            None => Guard::Absent(key.clone()),
            Some(held) => Guard::ModifiedAt(key.clone(), held.modified),
        };
        let write = match new {
            None => Write::Delete(key),
            Some(value) => Write::Put { key, value: bytes(&value.to_string()), ttl_secs: None },
        };
        match store.commit(Txn { guards: vec![guard], writes: vec![write], ..Txn::default() }).await {
            Ok(Outcome::Committed(revision)) => {
                recorder.note(number, called, Act::Replaced(before, new));
                let answered = recorder.moment();
                let mut revisions = recorder.revisions.lock().unwrap_or_else(PoisonError::into_inner);
                revisions.push((called, answered, revision));
            }
            Ok(Outcome::Conflict { current, .. }) => {
                recorder.note(number, called, Act::Refused(held(current.as_ref())));
                known.insert(number, current);
            }
            // It was not carried out, and never will be: if its value is found all the same, nothing explains that.
            Err(StoreError::Unavailable { .. }) => {}
            Err(StoreError::Unknown { .. }) => recorder.note(number, called, Act::Unsure(before, new)),
            Err(other) => panic!("{other}"),
        }
    }
}

fn held(found: Option<&KeyValue>) -> Held {
    found.map(|found| std::str::from_utf8(&found.value).expect("text").parse().expect("a number"))
}

pub(crate) async fn concurrent_histories_are_linearizable<B: Backend>() {
    let backend = B::make(tight()).await;
    let store = backend.store();
    let recorder = Recorder::default();
    let entropy = Entropy::from_os();
    let clients = [0, 1, 2, 3].map(|client| entropy.child(&client.to_string()));
    let run = |number: usize| client(store, &recorder, 150, &clients[number]);
    tokio::join!(run(0), run(1), run(2), run(3));
    assert!(recorder.len() > 100);
    assert_eq!(recorder.verdict(), Vec::<String>::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(steps: &[(u64, u64, Act)]) -> bool {
        let step = |(called, answered, act): &(u64, u64, Act)| Step {
            key: 0,
            called: *called,
            answered: *answered,
            act: *act,
        };
        is_explained(&steps.iter().map(step).collect::<Vec<_>>())
    }

    #[test]
    fn possible_histories_are_explained() {
        use Act::{Read, Refused, Replaced, Unsure};
        let never = u64::MAX;
        for (name, steps) in [
            ("one after the other", vec![(0, 1, Replaced(None, Some(1))), (2, 3, Read(Some(1)))]),
            ("a read beside a write sees the old", vec![(0, 5, Replaced(None, Some(1))), (1, 2, Read(None))]),
            (
                "reads beside a write see the old and then the new",
                vec![(0, 9, Replaced(None, Some(1))), (1, 2, Read(None)), (3, 4, Read(Some(1)))],
            ),
            (
                "of two, one is refused",
                vec![(0, 3, Replaced(None, Some(1))), (1, 2, Refused(Some(1))), (4, 5, Read(Some(1)))],
            ),
            ("what is unsure happened", vec![(0, never, Unsure(None, Some(1))), (5, 6, Read(Some(1)))]),
            ("what is unsure did not happen", vec![(0, never, Unsure(None, Some(1))), (5, 6, Read(None))]),
            (
                "what is unsure happened late",
                vec![(0, never, Unsure(None, Some(1))), (5, 6, Read(None)), (7, 8, Read(Some(1)))],
            ),
            (
                "the order is not that of the calls",
                vec![
                    (0, 9, Replaced(Some(2), Some(1))),
                    (1, 8, Replaced(None, Some(2))),
                    (10, 11, Read(Some(1))),
                ],
            ),
        ] {
            assert!(explained(&steps), "{name}");
        }
    }

    #[test]
    fn impossible_histories_are_not() {
        use Act::{Read, Refused, Replaced, Unsure};
        let never = u64::MAX;
        for (name, steps) in [
            ("a stale read", vec![(0, 1, Replaced(None, Some(1))), (2, 3, Read(None))]),
            (
                "a lost write",
                vec![
                    (0, 1, Replaced(None, Some(1))),
                    (2, 3, Replaced(Some(1), Some(2))),
                    (4, 5, Read(Some(1))),
                ],
            ),
            (
                "two that replaced the same",
                vec![(0, 3, Replaced(None, Some(1))), (1, 2, Replaced(None, Some(2)))],
            ),
            ("a value from nowhere", vec![(0, 1, Read(Some(7)))]),
            (
                "new, then old",
                vec![(0, 9, Replaced(None, Some(1))), (1, 2, Read(Some(1))), (3, 4, Read(None))],
            ),
            (
                "refused by what was not there yet",
                vec![(0, 1, Refused(Some(1))), (2, 3, Replaced(None, Some(1)))],
            ),
            (
                "what is unsure happened twice",
                vec![
                    (0, never, Unsure(None, Some(1))),
                    (2, 3, Read(Some(1))),
                    (4, 5, Replaced(Some(1), None)),
                    (6, 7, Read(Some(1))),
                ],
            ),
            (
                "what is unsure happened before it was asked",
                vec![(0, 1, Read(Some(1))), (2, never, Unsure(None, Some(1)))],
            ),
        ] {
            assert!(!explained(&steps), "{name}");
        }
    }

    #[test]
    fn revisions_must_grow_with_time() {
        assert_eq!(disorder(&mut [(0, 1, 5), (2, 3, 6), (0, 9, 7)]), Vec::<String>::new());
        assert_eq!(disorder(&mut [(0, 5, 2), (1, 4, 1)]), Vec::<String>::new(), "at the same time");
        assert_eq!(disorder(&mut [(0, 1, 6), (2, 3, 5)]).len(), 1, "the later one is smaller");
        assert_eq!(disorder(&mut [(0, 1, 5), (0, 3, 5)]).len(), 1, "twice");
    }
}
