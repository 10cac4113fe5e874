//! The last decision about each key, for whoever asks why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use env::WallTime;

use crate::plan::Plan;

/// How many decisions a controller keeps: enough for what somebody looks at now, a few MiB at most.
const KEPT: usize = 4_096;

/// What was decided about a key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: WallTime,
    /// Why, in words a user understands.
    pub reasons: Vec<String>,
    /// What was to be written.
    pub writes: Vec<String>,
}

/// The last decision about each key. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    serial: u64,
    by_key: BTreeMap<String, (u64, Decision)>,
    by_age: BTreeMap<u64, String>,
}

impl Decisions {
    /// The last decision about a key that had a reason.
    pub fn of(&self, key: &str) -> Option<Decision> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_key.get(key).map(|(_, decision)| decision.clone())
    }

    pub(super) fn keep(&self, key: String, at: WallTime, plan: &Plan) {
        if plan.reasons.is_empty() {
            return;
        }
        let writes = plan.ops().map(ToString::to_string).collect();
        let decision = Decision { at, reasons: plan.reasons.clone(), writes };
        let kept = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.serial += 1;
        if let Some((age, _)) = kept.by_key.insert(key.clone(), (kept.serial, decision)) {
            kept.by_age.remove(&age);
        }
        kept.by_age.insert(kept.serial, key);
        if kept.by_age.len() > KEPT
            && let Some((_, oldest)) = kept.by_age.pop_first()
        {
            kept.by_key.remove(&oldest);
        }
    }

    pub(super) fn forget(&self, key: &str) {
        let kept = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((age, _)) = kept.by_key.remove(key) {
            kept.by_age.remove(&age);
        }
    }
}
