//! Whether the account has to be made.

use client::plan::{Op, Plan};
use client::resources;
use machinery::Object;
use serde_json::json;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The namespace.
    pub namespace: Object,
    /// Whether it has the account.
    pub has_default: bool,
}

/// Decides about one namespace.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let header = view.namespace.header();
    if view.has_default || header.deleting {
        return plan;
    }
    plan.because("its namespace has no service account \"default\"");
    let account = json!({
        "kind": "ServiceAccount",
        "apiVersion": "v1",
        "metadata": { "name": "default", "namespace": header.name.as_str() },
    });
    plan.push(Op::create(resources::SERVICE_ACCOUNTS, &header.name, &account).tolerating(&[409]));
    plan
}
