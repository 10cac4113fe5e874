//! Role and ClusterRole.

use machinery::Value;

use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind of roles that hold in a namespace.
pub struct Role;
/// The kind of roles that hold everywhere.
pub struct ClusterRole;

impl Kind for Role {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment).create_on_update()
    }

    fn check(&self, object: Place<'_>) {
        for rule in object.get("rules").items() {
            check_rule(rule, true);
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::CREATED_AT
    }

    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        table::default_row(object)
    }
}

impl Kind for ClusterRole {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment).create_on_update()
    }

    fn check(&self, object: Place<'_>) {
        for rule in object.get("rules").items() {
            check_rule(rule, false);
        }
        let aggregation = object.get("aggregationRule");
        if !aggregation.is_set() {
            return;
        }
        let selectors = aggregation.get("clusterRoleSelectors");
        if selectors.is_empty() {
            selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.items() {
            let place = selectors.with(selector.value());
            let place = place.at_index(0);
            let before = place.error_count();
            label_selector::check(place, Values::Valid);
            if place.error_count() > before {
                place.invalid_as(&Value::Null, "invalid label selector.");
            }
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::CREATED_AT
    }

    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        table::default_row(object)
    }
}

fn check_rule(rule: Place<'_>, namespaced: bool) {
    let (verbs, groups, resources, urls) =
        (rule.get("verbs"), rule.get("apiGroups"), rule.get("resources"), rule.get("nonResourceURLs"));
    if verbs.is_empty() {
        verbs.required("verbs must contain at least one value");
    }
    if !urls.is_empty() {
        if namespaced {
            urls.invalid("namespaced rules cannot apply to non-resource URLs");
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.get("resourceNames").is_empty() {
            urls.invalid("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if groups.is_empty() {
        groups.required("resource rules must supply at least one api group");
    }
    if resources.is_empty() {
        resources.required("resource rules must supply at least one resource");
    }
}
