//! How fast an autoscaler goes up and down.

use machinery::Value;

use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::pod_spec::resources::amount;

const WINDOW_MAX: i64 = 3600;
const PERIOD_MAX: i64 = 1800;

fn policy(kind: &str, value: i64) -> Value {
    Value::from([
        ("type", Value::from(kind)),
        ("value", Value::from(value)),
        ("periodSeconds", Value::from(15i64)),
    ])
}

/// Fills in a behaviour that is there.
pub(super) fn default(spec: &mut Value) {
    let Some(behavior) = spec.get_mut("behavior") else { return };
    if behavior.is_empty() {
        return;
    }
    let up = behavior.entry("scaleUp");
    or(up, "stabilizationWindowSeconds", 0i64);
    or(up, "selectPolicy", "Max");
    if up.get("policies").is_null() {
        up.set("policies", vec![policy("Pods", 4), policy("Percent", 100)]);
    }
    let down = behavior.entry("scaleDown");
    or(down, "selectPolicy", "Max");
    if down.get("policies").is_null() {
        down.set("policies", vec![policy("Percent", 100)]);
    }
}

/// What is wrong with a behaviour.
pub(super) fn check(behavior: Place<'_>) {
    for direction in ["scaleUp", "scaleDown"] {
        let rules = behavior.get(direction);
        if rules.is_set() {
            check_rules(rules);
        }
    }
}

fn check_rules(rules: Place<'_>) {
    let window = rules.get("stabilizationWindowSeconds");
    if window.is_set() {
        if window.int() < 0 {
            window.invalid("must be greater than or equal to zero");
        }
        if window.int() > WINDOW_MAX {
            window.invalid(format!("must be less than or equal to {WINDOW_MAX}"));
        }
    }
    let select = rules.get("selectPolicy");
    if select.is_set() {
        select.one_of(&["Disabled", "Max", "Min"]);
    }
    let policies = rules.get("policies");
    if policies.is_empty() {
        policies.required("must specify at least one Policy");
    }
    for policy in policies.items() {
        policy.get("type").one_of(&["Percent", "Pods"]);
        let (value, period) = (policy.get("value"), policy.get("periodSeconds"));
        if value.int() <= 0 {
            value.invalid_number("must be greater than zero");
        }
        if period.int() <= 0 {
            period.invalid_number("must be greater than zero");
        }
        if period.int() > PERIOD_MAX {
            period.invalid(format!("must be less than or equal to {PERIOD_MAX}"));
        }
    }
    let tolerance = rules.get("tolerance");
    if tolerance.is_set() && amount(tolerance.value()).signum() < 0 {
        tolerance.invalid_as(&amount(tolerance.value()).to_string(), "must be greater than or equal to 0");
    }
}
