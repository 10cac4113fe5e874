//! Which objects a quota is about.

use std::collections::BTreeSet;

use machinery::Value;

use crate::core::pod::quality_of_service;

/// One condition of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

/// All conditions of a quota.
pub fn all_of(quota_spec: &Value) -> Vec<Scope> {
    let text = |value: &Value| value.str_or_empty().to_owned();
    let plain = quota_spec.get("scopes").items().iter().map(|scope| Scope {
        name: text(scope),
        operator: "Exists".to_owned(),
        values: Vec::new(),
    });
    let expressions = quota_spec.at(&["scopeSelector", "matchExpressions"]).items().iter();
    let expressed = expressions.map(|expression| Scope {
        name: text(expression.get("scopeName")),
        operator: text(expression.get("operator")),
        values: expression.get("values").items().iter().map(text).collect(),
    });
    plain.chain(expressed).collect()
}

impl Scope {
    /// Whether the operator holds for something that may have no name.
    fn holds_for(&self, name: Option<&str>) -> bool {
        let is_listed = name.is_some_and(|name| self.values.iter().any(|value| value == name));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => name.is_some(),
            "DoesNotExist" => name.is_none(),
            _ => false,
        }
    }
}

fn non_empty(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Whether a condition holds for a pod.
pub fn of_pod(pod: &Value, scope: &Scope) -> bool {
    let spec = pod.get("spec");
    let ends = || spec.get("activeDeadlineSeconds").as_int().is_some_and(|secs| secs >= 0);
    let is_best_effort = || quality_of_service(spec) == "BestEffort";
    match scope.name.as_str() {
        "Terminating" => ends(),
        "NotTerminating" => !ends(),
        "BestEffort" => is_best_effort(),
        "NotBestEffort" => !is_best_effort(),
        "PriorityClass" => scope.holds_for(non_empty(spec.get("priorityClassName"))),
        "CrossNamespacePodAffinity" => looks_elsewhere(spec.get("affinity")),
        _ => false,
    }
}

/// Whether pods of other namespaces matter to where it may be.
fn looks_elsewhere(affinity: &Value) -> bool {
    let is_foreign =
        |term: &Value| !term.get("namespaces").items().is_empty() || !term.get("namespaceSelector").is_null();
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let terms = affinity.get(kind);
        let required = terms.get("requiredDuringSchedulingIgnoredDuringExecution").items().iter();
        let preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution").items().iter();
        required.chain(preferred.map(|term| term.get("podAffinityTerm"))).any(is_foreign)
    })
}

/// Whether a condition holds for a claim.
pub fn of_claim(claim: &Value, scope: &Scope) -> bool {
    if scope.name != "VolumeAttributesClass" {
        return false;
    }
    let names = [
        claim.at(&["spec", "volumeAttributesClassName"]),
        claim.at(&["status", "currentVolumeAttributesClassName"]),
        claim.at(&["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
    ];
    let names: BTreeSet<&str> = names.into_iter().filter_map(non_empty).collect();
    if names.is_empty() {
        scope.holds_for(None)
    } else {
        names.iter().any(|name| scope.holds_for(Some(name)))
    }
}

/// Everything else is in no scope.
pub fn of_others(_object: &Value, _scope: &Scope) -> bool {
    false
}
