//! What is used of a quota.

use std::collections::BTreeMap;
use std::time::Duration;

use client::plan::{Op, Plan};
use client::resources;
use env::WallTime;
use kinds::pod_spec::amounts::{self, Amounts};
use kinds::quota::{self, Tracked};
use machinery::quantity::Quantity;
use machinery::{Object, Status, Value};
use serde_json::json;

/// When it is counted once more after its limits changed: what was written in between was charged by the old ones.
const ONCE_MORE: Duration = Duration::from_secs(1);

/// The objects of a resource in the quota's namespace.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The resource.
    pub tracked: Tracked,
    /// Its objects.
    pub objects: Vec<Object>,
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The quota.
    pub object: Object,
    /// All it may limit.
    pub listed: Vec<Listed>,
}

/// Decides about one quota.
pub fn plan(view: &View, now: WallTime) -> Plan {
    decide(view, now).unwrap_or_else(|status| Plan { retry: Some(status.message), ..Plan::default() })
}

fn decide(view: &View, now: WallTime) -> Result<Plan, Status> {
    let mut plan = Plan::nothing();
    let quota = view.object.to_value()?;
    let hard = amounts::list(quota.at(&["spec", "hard"]));
    let known = amounts::list(quota.at(&["status", "hard"]));
    let before = amounts::list(quota.at(&["status", "used"]));
    let used = count(view, &quota, &hard, now)?;
    if known == hard && before == used {
        return Ok(plan);
    }
    plan.because(if known == hard {
        format!("what is used is {}", quota::shown(&used))
    } else {
        "its limits changed".to_owned()
    });
    if known != hard {
        plan.requeue(ONCE_MORE);
    }
    let texts = |amounts: &Amounts| -> BTreeMap<String, String> {
        amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect()
    };
    let op = Op::update_through_status(resources::RESOURCE_QUOTAS, &view.object, |document| {
        document["status"] = json!({ "hard": texts(&hard), "used": texts(&used) });
    })?;
    plan.status = Some(op);
    Ok(plan)
}

/// What is used of everything that is limited.
fn count(view: &View, quota: &Value, hard: &Amounts, now: WallTime) -> Result<Amounts, Status> {
    let mut used: Amounts = hard.keys().map(|name| (name.clone(), Quantity::ZERO)).collect();
    for listed in &view.listed {
        for object in &listed.objects {
            let object = object.to_value()?;
            if !listed.tracked.is_in_scopes(quota.get("spec"), &object) {
                continue;
            }
            let mut uses = listed.tracked.usage(&object, now.secs());
            uses.retain(|name, _| hard.contains_key(name));
            quota::add(&mut used, &uses);
        }
    }
    keep_unknown(view, quota, &mut used);
    Ok(used)
}

/// Of what we cannot list the charges are all that is known.
fn keep_unknown(view: &View, quota: &Value, used: &mut Amounts) {
    let before = amounts::list(quota.at(&["status", "used"]));
    for (name, amount) in used.iter_mut() {
        let is_listed = view.listed.iter().any(|listed| listed.tracked.uses(name));
        if let Some(charged) = before.get(name).filter(|_| !is_listed) {
            *amount = *charged;
        }
    }
}
