//! Whether a policy is to be checked, and what is told of it.

use client::plan::{Op, Plan};
use client::resources;
use kinds::admission::typing::{self, Typed};
use machinery::{Object, Value};
use serde_json::json;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The policy.
    pub policy: Object,
    /// The kinds it is about.
    pub types: Vec<Typed>,
}

/// Whether a policy was checked as it is now.
pub fn is_checked(policy: &Value) -> bool {
    let generation = policy.at(&["metadata", "generation"]);
    !policy.at(&["status", "typeChecking"]).is_null()
        && policy.at(&["status", "observedGeneration"]) == generation
}

/// Decides about one policy.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let document = match view.policy.to_value() {
        Ok(document) => document,
        Err(status) => {
            plan.retry = Some(status.message);
            return plan;
        }
    };
    if view.policy.header().deleting || is_checked(&document) {
        return plan;
    }
    plan.because("its expressions were not checked for the kinds it is about");
    let warnings: Vec<serde_json::Value> = typing::warnings(document.get("spec"), &view.types)
        .into_iter()
        .map(|warning| json!({ "fieldRef": warning.field, "warning": warning.text }))
        .collect();
    let generation = document.at(&["metadata", "generation"]).as_int().unwrap_or_default();
    let checking = if warnings.is_empty() { json!({}) } else { json!({ "expressionWarnings": warnings }) };
    let op = Op::update_through_status(resources::VALIDATING_ADMISSION_POLICIES, &view.policy, |policy| {
        policy["status"]["observedGeneration"] = json!(generation);
        policy["status"]["typeChecking"] = checking;
    });
    match op {
        Ok(op) => plan.push(op),
        Err(status) => plan.retry = Some(status.message),
    }
    plan
}
