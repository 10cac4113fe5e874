//! Disruption budgets: how many of some pods may be evicted now.
//!
//! [`plan`] counts; [`owners`] finds how many pods their owners want; [`marks`] takes back the announcement of an end that
//! did not come.

pub mod marks;
pub mod owners;
pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use client::cache::Facts;
use client::driver::{Controller, Decisions};
use client::{Cache, Key, Queue, resources};
use env::WallTime;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::selector::LabelSelector;
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::Context;
use crate::pod::PodFacts;
use owners::{Owners, Scale};
use plan::View;

/// What is asked of budgets.
#[derive(Clone, Debug)]
pub struct BudgetFacts {
    /// Which pods it is about.
    pub selector: LabelSelector,
}

impl Facts for BudgetFacts {
    fn of(object: &Object) -> Result<BudgetFacts, Status> {
        let budget = object.view::<PodDisruptionBudget>()?;
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        Ok(BudgetFacts { selector: client::selector::of(selector).map_err(Status::bad_request)? })
    }
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let pods = context.pods();
    let budgets: Cache<BudgetFacts> =
        Cache::of(resources::POD_DISRUPTION_BUDGETS).start(context.reader(), &context.env);
    let changed = queue.clone();
    budgets.subscribe(move |change| changed.add(change.key.clone()));
    enqueue_budgets_of_pods(&budgets, &pods, &queue);
    let owners = Owners::new(context);
    let seen = owners.caches();
    let controller = Budgets { budgets: budgets.clone(), pods: pods.clone(), owners };
    let mut driver = context.driver(controller, &queue, "disruption-controller", "controllermanager");
    for cache in &seen {
        driver = driver.sees(cache);
    }
    driver.sees(&budgets).sees(&pods).start()
}

/// Adds the budgets of a pod whenever something of it changed that they count.
fn enqueue_budgets_of_pods(budgets: &Cache<BudgetFacts>, pods: &Cache<PodFacts>, queue: &Queue<Key>) {
    let (budgets, queue) = (budgets.clone(), queue.clone());
    pods.subscribe(move |change| {
        if let (Some(old), Some(new)) = (change.old, change.new) {
            let (before, after) = (old.object.header(), new.object.header());
            let is_same =
                before.uid == after.uid && before.labels == after.labels && before.owners == after.owners;
            if is_same && old.facts.is_ready == new.facts.is_ready && old.facts.deletion == new.facts.deletion
            {
                return;
            }
        }
        for budget in budgets.list_in(&change.key.namespace) {
            let concerns = |entry: &&std::sync::Arc<client::Entry<PodFacts>>| {
                client::selector::selects(&budget.facts.selector, entry.object.header())
            };
            if [change.old, change.new].into_iter().flatten().any(|entry| concerns(&entry)) {
                queue.add(Key::of(&budget.object));
            }
        }
    });
}

struct Budgets {
    budgets: Cache<BudgetFacts>,
    pods: Cache<PodFacts>,
    owners: Owners,
}

impl Controller for Budgets {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.budgets.get(key) else { return Ok(None) };
        let selector = &entry.facts.selector;
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| client::selector::selects(selector, pod.object.header()));
        let mut scales: BTreeMap<SmolStr, Scale> = BTreeMap::new();
        for owner in pods.iter().filter_map(|pod| pod.object.header().controller()) {
            if !scales.contains_key(&owner.uid) {
                scales.insert(owner.uid.clone(), self.owners.scale_of(&key.namespace, owner).await?);
            }
        }
        let budget = entry.object.view::<PodDisruptionBudget>()?;
        Ok(Some(View { object: entry.object.clone(), budget, pods, scales }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
