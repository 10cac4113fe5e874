//! ResourceQuota.

use std::collections::BTreeSet;

use machinery::Value;

use crate::place::{Place, same};
use crate::pod_spec::defaults::amounts;
use crate::pod_spec::resources::{amount, check_amount, check_name, is_huge_page};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ResourceQuota;

const CONFLICTS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

impl Kind for ResourceQuota {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).status()
    }

    fn default(&self, object: &mut Value) {
        for path in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
            if !object.at(&path).is_null() {
                amounts(object.at_mut(&path));
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        for (name, place) in spec.get("hard").entries() {
            check_quota_name(place, name);
            check_amount(place, name);
        }
        check_scopes(spec);
        check_selector(spec);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            let status = object.get("status");
            for list in ["hard", "used"] {
                for (name, place) in status.get(list).entries() {
                    check_quota_name(place, name);
                    check_amount(place, name);
                }
            }
            return;
        }
        self.check(object);
        let spec = object.get("spec");
        let scopes = spec.get("scopes");
        let set = |scopes: &Value| -> BTreeSet<String> {
            scopes.items().iter().map(|scope| scope.str_or_empty().to_owned()).collect()
        };
        if set(scopes.value()) != set(old.at(&["spec", "scopes"]))
            && !same(scopes.value(), old.at(&["spec", "scopes"]))
        {
            scopes.invalid("field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::RESOURCE_QUOTA
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        let status = object.get("status");
        let mut names: Vec<&str> = status.get("hard").members().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        for name in names {
            let text = |list: &str| amount(status.at(&[list, name])).to_string();
            let shown = format!("{name}: {}/{}", text("used"), text("hard"));
            if name.starts_with("limits") { limits.push(shown) } else { requests.push(shown) }
        }
        vec![
            table::name(object),
            Value::from(requests.join(", ")),
            Value::from(limits.join(", ")),
            table::age(object, now_secs),
        ]
    }
}

fn is_standard(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(plain, "cpu" | "memory" | "ephemeral-storage")
        || matches!(
            name,
            "storage"
                | "requests.storage"
                | "pods"
                | "resourcequotas"
                | "services"
                | "replicationcontrollers"
                | "secrets"
                | "persistentvolumeclaims"
                | "configmaps"
                | "services.nodeports"
                | "services.loadbalancers"
        )
        || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
}

fn check_quota_name(place: Place<'_>, name: &str) {
    check_name(place, name);
    if !name.contains('/') && !is_standard(name) {
        place.invalid_as(name, "must be a standard resource for quota");
    }
}

fn is_scope(scope: &str) -> bool {
    matches!(
        scope,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "CrossNamespacePodAffinity"
            | "VolumeAttributesClass"
    )
}

fn scope_counts(scope: &str, name: &str) -> bool {
    let compute = matches!(
        name,
        "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
    );
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        scope if is_scope(scope) => name == "pods" || compute,
        _ => true,
    }
}

fn misapplied<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = &'a str> {
    let names = spec.get("hard").members().map(|(name, _)| name.as_str());
    names.filter(move |name| is_standard(name) && !scope_counts(scope, name))
}

fn check_scopes(spec: Place<'_>) {
    let scopes = spec.get("scopes");
    for scope in scopes.value().items() {
        let scope = scope.str_or_empty();
        if !is_scope(scope) {
            scopes.invalid("unsupported scope");
        }
        for _ in misapplied(spec.value(), scope) {
            scopes.invalid("unsupported scope applied to resource");
        }
    }
    let has = |wanted: &str| scopes.value().items().iter().any(|scope| scope.str_or_empty() == wanted);
    for _ in CONFLICTS.iter().filter(|pair| pair.iter().all(|scope| has(scope))) {
        scopes.invalid("conflicting scopes");
    }
}

fn check_selector(spec: Place<'_>) {
    let selector = spec.get("scopeSelector");
    let expressions = selector.get("matchExpressions");
    for requirement in expressions.value().items() {
        let place = expressions.with(requirement);
        let scope = requirement.get("scopeName").str_or_empty();
        if !is_scope(scope) {
            place.get("scopeName").invalid_as(scope, "unsupported scope");
        }
        for _ in misapplied(spec.value(), scope) {
            expressions.invalid_as(selector.value(), "unsupported scope applied to resource");
        }
        let (operator, values) = (place.get("operator"), place.get("values"));
        let bare = is_scope(scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if bare && operator.text() != "Exists" {
            operator.invalid_as(
                operator.text(),
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => values
                .required("must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"),
            "Exists" | "DoesNotExist" if !values.is_empty() => values
                .invalid("must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => operator.invalid_as(other, "not a valid selector operator"),
        }
    }
    let has = |wanted: &str| {
        expressions
            .value()
            .items()
            .iter()
            .any(|requirement| requirement.get("scopeName").str_or_empty() == wanted)
    };
    for _ in CONFLICTS.iter().filter(|pair| pair.iter().all(|scope| has(scope))) {
        expressions.invalid_as(spec.value().get("scopes"), "conflicting scopes");
    }
}
