//! What policies and webhooks share: which requests they are asked about.

use std::collections::BTreeSet;

use machinery::cel::Type;
use machinery::{Value, names};

use super::expressions::{self, Scope};
use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::pod_spec::defaults::{members, or};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const CHANGEABLE: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
const CONDITIONS_MAX: usize = 64;

/// Fills in what a webhook or the constraints of a policy leave out.
pub(super) fn default(object: &mut Value, rules: &[&str]) {
    or(object, "matchPolicy", "Equivalent");
    or(object, "namespaceSelector", Value::object());
    or(object, "objectSelector", Value::object());
    for list in rules {
        for rule in members(object, list) {
            or(rule, "scope", "*");
        }
    }
}

/// What is wrong with one rule.
pub(super) fn check(rule: Place<'_>) {
    let operations = rule.get("operations");
    if operations.is_empty() {
        operations.required("");
    }
    check_all_alone(operations, "operations");
    for operation in operations.items() {
        operation.one_of(OPERATIONS);
    }
    for (member, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.get(member);
        if list.is_empty() {
            list.required("");
        }
        check_all_alone(list, what);
        for item in list.items() {
            if item.text().is_empty() && member == "apiVersions" {
                item.required("");
            }
        }
    }
    let resources = rule.get("resources");
    if resources.is_empty() {
        resources.required("");
    }
    check_resources(resources);
    let scope = rule.get("scope");
    if scope.is_set() {
        scope.one_of(&["*", "Cluster", "Namespaced"]);
    }
    let names_of = rule.get("resourceNames");
    for name in names_of.items() {
        name.faults(names::path_segment(name.text()));
    }
}

fn check_all_alone(list: Place<'_>, what: &str) {
    let all = list.value().items().iter().any(|item| item.str_or_empty() == "*");
    if all && list.len() > 1 {
        let what = if what == "operations" { "operations" } else { what };
        list.invalid(format!("if '*' is present, must not specify other {what}"));
    }
}

fn check_resources(resources: Place<'_>) {
    let (mut plain, mut subs) = (BTreeSet::new(), BTreeSet::new());
    let texts: Vec<&str> = resources.value().items().iter().map(Value::str_or_empty).collect();
    for resource in resources.items() {
        let text = resource.text();
        if text.is_empty() {
            resource.required("");
            continue;
        }
        match text.split_once('/') {
            None => {
                plain.insert(text.to_owned());
            }
            Some((name, sub)) => {
                if plain.contains("*") && sub != "*" && texts.contains(&"*/*") {
                    resource.invalid(format!("if '*/*' is present, must not specify {text}"));
                }
                subs.insert((name.to_owned(), sub.to_owned()));
            }
        }
    }
    if texts.contains(&"*/*") && texts.len() > 1 {
        resources.invalid("if '*/*' is present, must not specify other resources");
    }
    // Of several without subresources the last counts, as upstream has it.
    let last = texts.iter().rfind(|text| !text.contains('/') && !text.is_empty());
    if texts.contains(&"*") && last.is_some_and(|last| *last != "*") {
        resources.invalid("if '*' is present, must not specify other resources without subresources");
    }
}

/// What is wrong with conditions under which a webhook or policy is asked at all.
pub(super) fn check_conditions(conditions: Place<'_>, scope: &Scope) {
    if conditions.len() > CONDITIONS_MAX {
        conditions.too_many(conditions.len(), CONDITIONS_MAX);
    }
    let environment = expressions::environment(scope);
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let (name, expression) = (condition.get("name"), condition.get("expression"));
        if expression.text().trim().is_empty() {
            expression.required("");
        }
        expressions::check(expression, &environment, &[Type::Bool]);
        if name.text().is_empty() {
            name.required("");
        } else {
            name.faults(names::qualified_name(name.text()));
            if !seen.insert(name.key()) {
                name.duplicate();
            }
        }
    }
}

/// What is wrong with the policy of failures, of matching, and with selectors.
pub(super) fn check_selectors(object: Place<'_>) {
    for member in ["namespaceSelector", "objectSelector"] {
        label_selector::check(object.get(member), Values::Valid);
    }
}

/// What is wrong with the operations of rules by which objects are changed: nothing is left to change on a delete.
pub(super) fn check_changeable(constraints: Place<'_>) {
    let rules = constraints.get("resourceRules");
    let operations = rules.value().items().iter().flat_map(|rule| rule.get("operations").items());
    for operation in operations.map(Value::str_or_empty) {
        if !CHANGEABLE.contains(&operation) {
            rules.at("operations").unsupported_as(operation, CHANGEABLE);
        }
    }
}

/// What is wrong with the constraints of a policy or the resources of its binding.
pub(super) fn check_constraints(constraints: Place<'_>, required: bool) {
    let rules = constraints.get("resourceRules");
    let matching = constraints.get("matchPolicy");
    if matching.is_set() {
        matching.one_of(&["Equivalent", "Exact"]);
    } else if required {
        matching.required("");
    }
    for member in ["namespaceSelector", "objectSelector"] {
        let selector = constraints.get(member);
        if required && !selector.is_set() {
            selector.required("");
        } else {
            label_selector::check(selector, Values::Valid);
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in constraints.get(list).items() {
            check(rule);
        }
    }
    if required && rules.is_empty() {
        rules.required("");
    }
}
