//! The rules of a role that is put together.

use std::sync::Arc;

use client::plan::{Op, Plan};
use client::{Key, resources};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use machinery::{Object, Status};
use serde_json::json;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The role.
    pub object: Object,
    /// The same, typed.
    pub role: Arc<ClusterRole>,
    /// All roles, by name.
    pub others: Vec<Object>,
}

/// Whether a role says that it is put together. Cheap: most are not, and all are asked at each change.
pub fn is_aggregated(object: &Object) -> bool {
    const FIELD: &[u8] = b"\"aggregationRule\"";
    object.body().windows(FIELD.len()).any(|window| window == FIELD)
}

/// Decides about one role.
pub fn plan(view: &View) -> Result<Plan, Status> {
    let mut plan = Plan::nothing();
    let Some(aggregation) = &view.role.aggregation_rule else { return Ok(plan) };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in aggregation.cluster_role_selectors.iter().flatten() {
        let selector = client::selector::of(Some(selector)).map_err(Status::bad_request)?;
        for other in &view.others {
            let is_itself = other.header().uid == view.object.header().uid;
            if is_itself || !client::selector::selects(&selector, other.header()) {
                continue;
            }
            for rule in other.view::<ClusterRole>()?.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    if view.role.rules.as_deref().unwrap_or_default() == rules {
        return Ok(plan);
    }
    plan.because(format!("the roles it is put together from have {} rules", rules.len()));
    let header = view.object.header();
    let role = json!({
        "kind": "ClusterRole",
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": { "name": header.name.as_str() },
        "rules": rules,
    });
    plan.push(Op::apply(resources::CLUSTER_ROLES, &Key::of(&view.object), &role));
    Ok(plan)
}
