//! What the rules of a schema cost: each of them, and all together.

use std::cell::RefCell;

use machinery::field::Path;
use machinery::structural::{Compiled, Scope, Structural};
use machinery::{Value, json};
use smol_str::SmolStr;

use crate::place::{Place, Raw};

/// What one rule may cost in one request.
const RULE_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost together.
const SCHEMA_MAX: u64 = 100_000_000;
/// How many are told that make a schema cost too much.
const TOLD_MAX: usize = 4;

/// What the rules of a schema cost together.
#[derive(Debug, Default)]
pub struct Costs {
    total: u64,
    /// The most expensive of them, the worst first.
    worst: Vec<(u64, Path)>,
}

/// Where a schema stands.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// How many such values there can be in an object, if there is a limit.
    pub cardinality: Option<u64>,
    /// The part, above or here, whose items cannot be told apart.
    pub uncorrelatable: Option<&'a Path>,
    /// What rules cost so far; `None` if they are not looked at.
    pub costs: Option<&'a RefCell<Costs>>,
}

impl Around<'_> {
    /// Around what there are at most so many of in each of these.
    pub fn times(self, most: &Value) -> Self {
        let most = most.as_int().and_then(|most| u64::try_from(most).ok());
        let cardinality = self.cardinality.zip(most).map(|(here, most)| here.saturating_mul(most));
        Around { cardinality, ..self }
    }
}

impl Costs {
    fn observe(&mut self, cost: u64, path: Path) {
        self.total = self.total.saturating_add(cost);
        let position = self.worst.partition_point(|(known, _)| *known >= cost);
        self.worst.insert(position, (cost, path));
        self.worst.truncate(TOLD_MAX);
    }

    /// Says which rules cost too much, if all together do.
    pub fn report(&self, schema: Place<'_>) {
        if self.total <= SCHEMA_MAX {
            return;
        }
        for (_, path) in &self.worst {
            let why =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            schema.report(machinery::field::Error::forbidden(path, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        schema.forbidden(too_much(what, self.total, SCHEMA_MAX));
    }
}

/// What is wrong with the expressions of a schema, and what they cost. `whole` values have a kind and metadata.
pub fn check(schema: Place<'_>, whole: bool, around: Around<'_>) {
    let Some(costs) = around.costs else { return };
    let rules = schema.get("x-kubernetes-validations");
    if rules.is_empty() {
        return;
    }
    let compiled = Structural::compile(schema.value());
    let Some(scope) = Scope::of(&compiled, whole) else { return };
    for (rule, compiled) in rules.items().zip(scope.compile(&compiled)) {
        let mut costs = costs.borrow_mut();
        let times = around.cardinality.unwrap_or(scope.cardinality);
        check_rule(rule, &compiled, times, &mut costs);
        check_old(rule, &compiled, around);
    }
}

fn check_rule(place: Place<'_>, rule: &Compiled, times: u64, costs: &mut Costs) {
    let text = place.get("rule");
    match &rule.program {
        None => {}
        Some(Ok(program)) => {
            let cost = program.cost().max.saturating_mul(times);
            if cost > RULE_MAX {
                text.forbidden(too_much("estimated rule cost", cost, RULE_MAX));
            }
            costs.observe(cost, text.path());
        }
        Some(Err(fault)) => text.invalid_as(Raw(shown(place.value())), fault.as_str()),
    }
    let message = place.get("messageExpression");
    match &rule.message {
        None => {}
        Some(Ok(program)) => {
            let cost = program.cost().max;
            if cost > RULE_MAX {
                message.forbidden(too_much("estimated messageExpression cost", cost, RULE_MAX));
            }
            costs.observe(cost, message.path());
        }
        Some(Err(fault)) => message.invalid_as(Raw(shown(place.value())), fault.as_str()),
    }
}

fn check_old(place: Place<'_>, rule: &Compiled, around: Around<'_>) {
    if !matches!(rule.program, Some(Ok(_))) {
        return;
    }
    if !rule.uses_old {
        let optional = place.get("optionalOldSelf");
        if optional.is_set() {
            optional.invalid("may not be set if oldSelf is not used in rule");
        }
    } else if let Some(path) = around.uncorrelatable {
        let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {path}");
        place.get("rule").invalid(why);
    }
}

/// A rule as upstream shows it: with the names it has in Go.
fn shown(rule: &Value) -> String {
    let text = |name: &str| Value::String(SmolStr::new(rule.get(name).str_or_empty()));
    let parts = [
        ("Rule", text("rule")),
        ("Message", text("message")),
        ("MessageExpression", text("messageExpression")),
        ("Reason", rule.get("reason").clone()),
        ("FieldPath", text("fieldPath")),
        ("OptionalOldSelf", rule.get("optionalOldSelf").clone()),
    ];
    let parts = parts.map(|(name, value)| format!("\"{name}\":{}", json::to_string(&value)));
    format!("{{{}}}", parts.join(","))
}

/// By how much a cost is too much.
fn too_much(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let times = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {times} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
