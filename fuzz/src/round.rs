//! A round: inputs are made, taken, and kept if they led to something new, until a promise breaks.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::mutate::Mutator;
use crate::target::Target;

/// More inputs are not kept: each gets its turn.
const CORPUS: usize = 4_000;

/// More outcomes are not told apart: some errors repeat what they are about.
const OUTCOMES: usize = 100_000;

/// An input that broke a promise.
#[derive(Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// Which promise, and how.
    pub what: String,
}

/// What was tried with a target, and what is known.
pub struct Round<'t> {
    target: &'t Target,
    mutator: Mutator<'t>,
    corpus: Vec<Vec<u8>>,
    outcomes: BTreeSet<String>,
    /// How many inputs were taken.
    pub inputs: u64,
    /// An input that takes longer breaks a promise that all have made.
    patience: Duration,
}

impl<'t> Round<'t> {
    /// The same seed makes the same round.
    pub fn new(target: &'t Target, seed: u64, patience: Duration) -> Round<'t> {
        let mutator = Mutator::new(seed, target.words);
        let corpus = target.seeds.clone();
        Round { target, mutator, corpus, outcomes: BTreeSet::new(), inputs: 0, patience }
    }

    /// How many different things happened.
    pub fn outcomes(&self) -> usize {
        self.outcomes.len()
    }

    /// The next input: first the seeds as they are, then what comes of them.
    pub fn next_input(&mut self) -> Vec<u8> {
        let turn = usize::try_from(self.inputs).unwrap_or(usize::MAX);
        if let Some(seed) = self.target.seeds.get(turn) {
            return seed.clone();
        }
        let any = |round: &Round<'_>| round.mutator.below(round.corpus.len());
        let (one, other) = (any(self), any(self));
        let empty = Vec::new();
        let known = |at: usize| self.corpus.get(at).unwrap_or(&empty);
        self.mutator.mutate(known(one), known(other))
    }

    /// Takes an input.
    pub fn take(&mut self, input: Vec<u8>) -> Result<(), Finding> {
        self.inputs += 1;
        match judge(self.target, &input, self.patience) {
            Ok(outcome) => {
                let is_new = self.outcomes.len() < OUTCOMES && self.outcomes.insert(outcome);
                if is_new && self.corpus.len() < CORPUS {
                    self.corpus.push(input);
                }
                Ok(())
            }
            Err(what) => Err(Finding { input, what }),
        }
    }
}

/// Gives an input to a target; a panic is a broken promise like any other.
pub fn judge(target: &Target, input: &[u8], patience: Duration) -> Result<String, String> {
    let start = worked();
    let verdict = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let taken = worked().saturating_sub(start);
    let outcome = verdict.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))))?;
    if taken > patience {
        return Err(format!("it took {} ms of work", taken.as_millis()));
    }
    Ok(outcome)
}

/// How long this thread has worked: what else the machine does is no fault of an input.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets;

    /// Enough to reach every part of every target; the long rounds are for finding.
    const INPUTS: u64 = 250;

    #[test]
    fn no_target_breaks_a_promise_in_a_short_round() {
        for make in targets::ALL {
            let target = make();
            let mut round = Round::new(&target, 36, Duration::MAX);
            while round.inputs < INPUTS + target.seeds.len() as u64 {
                let input = round.next_input();
                if let Err(finding) = round.take(input) {
                    let input = String::from_utf8_lossy(&finding.input);
                    panic!("{}: {}\n{input:?}", target.name, finding.what);
                }
            }
            assert!(round.outcomes() > 1, "{}: {:?}", target.name, round.outcomes);
        }
    }

    #[test]
    fn broken_promises_and_panics_and_slowness_are_found() {
        let target = Target {
            name: "t",
            seeds: vec![b"good".to_vec()],
            words: &[],
            run: Box::new(|input| match input {
                b"good" => Ok("good".to_owned()),
                b"bad" => Err("not so".to_owned()),
                b"slow" => {
                    let start = worked();
                    while worked() - start < Duration::from_millis(2) {}
                    Ok("slow".to_owned())
                }
                _ => panic!("what is {input:?}?"),
            }),
        };
        let told = |input: &[u8], patience: Duration| judge(&target, input, patience);
        assert_eq!(told(b"good", Duration::MAX), Ok("good".to_owned()));
        assert_eq!(told(b"bad", Duration::MAX), Err("not so".to_owned()));
        assert!(told(b"?", Duration::MAX).is_err_and(|what| what == "it panicked: what is [63]?"));
        assert!(told(b"slow", Duration::from_millis(1)).is_err_and(|what| what.contains("of work")));
        assert!(told(b"slow", Duration::MAX).is_ok());
    }
}
