//! Policies of jobs: what a pod that failed means, and which pods must succeed.

use std::collections::BTreeSet;

use machinery::names;

use super::job_indexes;
use crate::internal;
use crate::place::{Place, Raw};

/// How many rules a policy may have.
const RULES_MAX: usize = 20;
/// How long the text of indexes in a success policy may be.
const INDEXES_TEXT_MAX: usize = 64 * 1024;

/// What is wrong with what failures of pods mean.
pub(super) fn check_failure(spec: Place<'_>) {
    let policy = spec.get("podFailurePolicy");
    if !policy.is_set() {
        return;
    }
    let rules = policy.get("rules");
    if rules.len() > RULES_MAX {
        rules.too_many(rules.len(), RULES_MAX);
    }
    let template = spec.value().at(&["template", "spec"]);
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| template.get(list).items())
        .map(|container| container.get("name").str_or_empty())
        .collect();
    for rule in rules.items() {
        let action = rule.get("action");
        if action.text().is_empty() {
            action.required("valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
        } else if action.text() == "FailIndex" && !spec.get("backoffLimitPerIndex").is_set() {
            action.invalid("requires the backoffLimitPerIndex to be set");
        } else {
            action.one_of(&["Count", "FailIndex", "FailJob", "Ignore"]);
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            check_exit_codes(codes, &containers);
        }
        for pattern in conditions.items() {
            let kind = pattern.get("type");
            kind.faults(names::qualified_name(kind.text()));
            let status = pattern.get("status");
            if status.text().is_empty() {
                status.required("valid values: [\"False\" \"True\" \"Unknown\"]");
            } else {
                status.one_of(&["False", "True", "Unknown"]);
            }
        }
        let given = (codes.is_set(), !conditions.is_empty());
        match given {
            (true, true) => {
                rule.invalid_unseen("specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                rule.invalid_unseen("specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn check_exit_codes(codes: Place<'_>, containers: &BTreeSet<&str>) {
    let operator = codes.get("operator");
    if operator.text().is_empty() {
        operator.required("valid values: [\"In\" \"NotIn\"]");
    } else {
        operator.one_of(&["In", "NotIn"]);
    }
    let name = codes.get("containerName");
    if name.is_set() && !containers.contains(name.text()) {
        name.invalid("must be one of the container or initContainer names in the pod template");
    }
    let values = codes.get("values");
    match values.len() {
        0 => return values.invalid("at least one value is required"),
        many if many > 255 => values.too_many(many, 255),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    let mut before = i64::MIN;
    let mut ordered = true;
    for value in values.items() {
        let code = value.int();
        if operator.text() == "In" && code == 0 {
            value.invalid("must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            value.duplicate();
        }
        ordered &= before <= code;
        before = code;
    }
    if !ordered {
        values.invalid("must be ordered");
    }
}

/// What is wrong with when a job has succeeded.
pub(super) fn check_success(spec: Place<'_>) {
    let policy = spec.get("successPolicy");
    if !policy.is_set() {
        return;
    }
    if spec.get("completionMode").text() != "Indexed" {
        let shown = internal::show("SuccessPolicy", policy.value());
        return policy.invalid_as(Raw(shown), "requires indexed completion mode");
    }
    let rules = policy.get("rules");
    match rules.len() {
        0 => rules.required("at least one rules must be specified when the successPolicy is specified"),
        many if many > RULES_MAX => rules.too_many(many, RULES_MAX),
        _ => {}
    }
    let completions = spec.get("completions").int();
    for rule in rules.items() {
        let (indexes, count) = (rule.get("succeededIndexes"), rule.get("succeededCount"));
        if !indexes.is_set() && !count.is_set() {
            rule.required("at least one of succeededCount or succeededIndexes must be specified");
        }
        if indexes.text().len() > INDEXES_TEXT_MAX {
            indexes.too_long(INDEXES_TEXT_MAX);
        }
        let counted = job_indexes::count(indexes.text(), completions);
        if let Err(problem) = &counted {
            indexes.invalid(format!("error parsing succeededIndexes: {problem}"));
        }
        // What cannot be read names none.
        let total = indexes.is_set().then(|| counted.unwrap_or(0));
        if count.is_set() {
            count.not_negative();
            if count.int() > completions {
                count.invalid(format!(
                    "must be less than or equal to {completions} (the number of specified completions)"
                ));
            }
            if let Some(total) = total
                && count.int() > total
            {
                count.invalid(format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"));
            }
        }
    }
}
