//! The rules of what decides where a pod runs.

use std::collections::BTreeSet;

use machinery::field::{Error, Path};
use machinery::{Value, names};

use crate::label_selector::{self, Values};
use crate::metadata::check_label_name;
use crate::place::Place;

const CAN_NOT_BE_EMPTY: &str = "can not be empty";

pub(super) fn check_affinity(affinity: Place<'_>) {
    if !affinity.is_set() {
        return;
    }
    let nodes = affinity.get("nodeAffinity");
    let required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        check_node_selector(required);
    }
    for term in nodes.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
        check_weight(term.get("weight"));
        check_node_selector_term(term.get("preference"));
    }
    for member in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.get(member);
        for term in pods.get("requiredDuringSchedulingIgnoredDuringExecution").items() {
            check_pod_term(term);
        }
        for weighted in pods.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
            check_weight(weighted.get("weight"));
            check_pod_term(weighted.get("podAffinityTerm"));
        }
    }
}

fn check_weight(weight: Place<'_>) {
    if !(1..=100).contains(&weight.int()) {
        weight.invalid_number("must be in the range 1-100");
    }
}

/// What is wrong with a selector of nodes.
pub fn check_node_selector(selector: Place<'_>) {
    let terms = selector.get("nodeSelectorTerms");
    if terms.is_empty() {
        return terms.required("must have at least one node selector term");
    }
    terms.items().for_each(check_node_selector_term);
}

/// What is wrong with one term of a selector of nodes.
pub fn check_node_selector_term(term: Place<'_>) {
    for requirement in term.get("matchExpressions").items() {
        check_node_requirement(requirement);
    }
    for requirement in term.get("matchFields").items() {
        check_field_requirement(requirement);
    }
}

fn check_node_requirement(requirement: Place<'_>) {
    let (operator, values) = (requirement.get("operator"), requirement.get("values"));
    match operator.text() {
        "In" | "NotIn" if values.is_empty() => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => operator.invalid_as(other, "not a valid selector operator"),
    }
    let key = requirement.get("key");
    check_label_name(key, key.text());
    for value in values.items() {
        value.faults(names::label_value(value.text()));
    }
}

fn check_field_requirement(requirement: Place<'_>) {
    let (operator, values) = (requirement.get("operator"), requirement.get("values"));
    match operator.text() {
        "In" | "NotIn" if values.len() != 1 => {
            values.required(
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            );
        }
        "In" | "NotIn" => {}
        other => operator.invalid_as(other, "not a valid selector operator"),
    }
    let key = requirement.get("key");
    if key.text() == "metadata.name" {
        for value in values.items() {
            value.faults(names::dns1123_subdomain(value.text()));
        }
    } else {
        key.invalid_as(key.text(), "not a valid field selector key");
    }
}

fn check_pod_term(term: Place<'_>) {
    let topology = term.get("topologyKey");
    label_selector::check(term.get("labelSelector"), Values::Valid);
    label_selector::check(term.get("namespaceSelector"), Values::Valid);
    for namespace in term.value().get("namespaces").items() {
        for fault in names::dns1123_label(namespace.str_or_empty()) {
            term.get("namespace").invalid_as(namespace.str_or_empty(), fault);
        }
    }
    check_match_keys(term);
    if topology.text().is_empty() {
        topology.required(CAN_NOT_BE_EMPTY);
    }
    check_label_name(topology, topology.text());
}

fn check_match_keys(term: Place<'_>) {
    let (matched, mismatched) = (term.get("matchLabelKeys"), term.get("mismatchLabelKeys"));
    let has_selector = term.get("labelSelector").is_set();
    for (place, other, name) in
        [(matched, mismatched, "mismatchLabelKeys"), (mismatched, matched, "matchLabelKeys")]
    {
        if !place.is_empty() && !has_selector {
            place.forbidden("must not be specified when labelSelector is not set");
        }
        for key in place.items() {
            check_label_name(key, key.text());
            if other.value().items().iter().any(|known| known == key.value()) && name == "mismatchLabelKeys" {
                key.invalid("exists in both matchLabelKeys and mismatchLabelKeys");
            }
        }
    }
}

/// What is wrong with the effect of a taint.
pub fn check_taint_effect(effect: Place<'_>) {
    effect.required_one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

/// What is wrong with tolerations.
pub fn check_tolerations(tolerations: Place<'_>) {
    for toleration in tolerations.items() {
        let (key, operator, effect) =
            (toleration.get("key"), toleration.get("operator"), toleration.get("effect"));
        if !key.text().is_empty() {
            check_label_name(key, key.text());
        } else if operator.text() != "Exists" {
            operator.invalid_as(
                operator.text(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.get("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            effect.invalid_as(effect.text(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        let value = toleration.get("value").text();
        match operator.text() {
            "Equal" | "" => {
                let faults = names::label_value(value);
                if !faults.is_empty() {
                    operator.invalid_as(value, faults.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                operator.invalid_as(value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            _ => operator.unsupported(&["Equal", "Exists"]),
        }
        if !effect.text().is_empty() {
            check_taint_effect(effect);
        }
    }
}

pub(super) fn check_spread(constraints: Place<'_>) {
    for (position, constraint) in constraints.items().enumerate() {
        let action = constraint.get("whenUnsatisfiable");
        let (skew, topology) = (constraint.get("maxSkew"), constraint.get("topologyKey"));
        if skew.int() <= 0 {
            skew.invalid_number("must be greater than zero");
        }
        if topology.text().is_empty() {
            topology.required(CAN_NOT_BE_EMPTY);
        }
        action.one_of(&["DoNotSchedule", "ScheduleAnyway"]);
        check_distinct(constraint, position, constraints.value().items());
        check_min_domains(constraint);
        for member in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.get(member);
            if policy.is_set() {
                policy.one_of(&["Honor", "Ignore"]);
            }
        }
        check_spread_keys(constraint);
        label_selector::check(constraint.get("labelSelector"), Values::Valid);
    }
}

fn check_distinct(constraint: Place<'_>, position: usize, all: &[Value]) {
    let pair = |value: &Value| {
        let text = |member: &str| value.get(member).str_or_empty().to_owned();
        (text("topologyKey"), text("whenUnsatisfiable"))
    };
    let own = pair(constraint.value());
    // The one that comes first is told of the others.
    if all.iter().skip(position + 1).any(|later| pair(later) == own) {
        let (topology, action) = own;
        let path: Path = constraint.path().child("{topologyKey, whenUnsatisfiable}");
        constraint.report(Error::duplicate(&path, &format!("{{{topology}, {action}}}")));
    }
}

fn check_min_domains(constraint: Place<'_>) {
    let domains = constraint.get("minDomains");
    if !domains.is_set() {
        return;
    }
    if domains.int() <= 0 {
        domains.invalid("must be greater than zero");
    }
    let action = constraint.get("whenUnsatisfiable").text();
    if action != "DoNotSchedule" {
        domains.invalid(format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"));
    }
}

fn check_spread_keys(constraint: Place<'_>) {
    let keys = constraint.get("matchLabelKeys");
    if keys.is_empty() {
        return;
    }
    let selector = constraint.value().get("labelSelector");
    if selector.is_null() {
        return keys.forbidden("must not be specified when labelSelector is not set");
    }
    let mut selected: BTreeSet<&str> =
        selector.get("matchLabels").members().map(|(key, _)| key.as_str()).collect();
    selected.extend(selector.get("matchExpressions").items().iter().map(|one| one.get("key").str_or_empty()));
    for key in keys.items() {
        check_label_name(key, key.text());
        if selected.contains(key.text()) {
            key.invalid("exists in both matchLabelKeys and labelSelector");
        }
    }
}
