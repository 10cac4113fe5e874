//! How often probes were answered, and how: what `/metrics/probes` tells.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::ask::Verdict;

/// Of which probe, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answered {
    pub uid: String,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// `Startup`, `Liveness`, `Readiness`.
    pub kind: &'static str,
    /// `successful`, `failed`, `unknown`.
    pub result: &'static str,
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Answered, u64>>);

impl Tally {
    pub(super) fn count(&self, answered: Answered) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(answered).or_default() += 1;
    }

    /// The pod is no more.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|answered, _| answered.uid != uid);
    }

    /// All counts.
    pub fn all(&self) -> Vec<(Answered, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(answered, count)| (answered.clone(), *count)).collect()
    }
}

/// The word for an answer.
pub(super) fn result(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Yes | Verdict::Warning(_) => "successful",
        Verdict::No(_) => "failed",
        Verdict::Error(_) => "unknown",
    }
}
