//! An eviction leaves as many healthy pods as a budget wants. What others than evictions took away a moment ago is not
//! held against it.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;

use super::{Check, STALE, is_ready, selects};
use crate::ledger::{Change, Objects, Seen};
use crate::user::EVICTOR;

/// The promise.
#[derive(Default)]
pub struct Budgets {
    /// When pods ceased to be healthy by something else than an eviction, by budget.
    lost: BTreeMap<SmolStr, Vec<Duration>>,
}

/// What a budget wants at least; only budgets in whole numbers are made here.
fn wanted(budget: &Seen) -> Option<usize> {
    budget.document["spec"]["minAvailable"].as_u64().and_then(|number| usize::try_from(number).ok())
}

impl Budgets {
    fn see_loss(&mut self, change: &Change<'_>, pod: &Seen, all: &Objects) -> Result<(), String> {
        let is_eviction = change.is_end()
            && !change.deleters.is_empty()
            && change.deleters.iter().all(|who| who == EVICTOR);
        let namespace = &change.name.1.namespace;
        let budgets = all.of_kind("PodDisruptionBudget");
        for budget in budgets.filter(|budget| budget.object.header().namespace == *namespace) {
            let selector = &budget.document["spec"]["selector"];
            if !selects(selector, pod) {
                continue;
            }
            let lost = self.lost.entry(budget.object.header().uid.clone()).or_default();
            lost.retain(|at| *at + STALE > change.at);
            if !is_eviction {
                lost.push(change.at);
                continue;
            }
            let is_healthy = |pod: &&Seen| {
                pod.object.header().namespace == *namespace && selects(selector, pod) && is_ready(pod)
            };
            let healthy = all.of_kind("Pod").filter(is_healthy).count();
            let Some(wanted) = wanted(budget) else { continue };
            if healthy + lost.len() < wanted {
                return Err(format!(
                    "the eviction of {} leaves {healthy} healthy pods, and the budget {} wants {wanted}",
                    change.name.1,
                    budget.object.header().key()
                ));
            }
        }
        Ok(())
    }
}

impl Check for Budgets {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        if change.name.0 != "Pod" || change.new.is_some_and(is_ready) {
            return Ok(());
        }
        match change.old.filter(|old| is_ready(old)) {
            Some(old) => self.see_loss(change, old, all),
            None => Ok(()),
        }
    }
}
