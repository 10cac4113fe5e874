//! ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::rules;
use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind that binds policies that refuse.
pub struct ValidatingAdmissionPolicyBinding;
/// The kind that binds policies that change.
pub struct MutatingAdmissionPolicyBinding;

const POLICY: Policy = Policy::cluster(NameRule::Subdomain).generation().conditional_update().any_finalizer();
const EXCLUSIVE: &str = "name and selector are mutually exclusive";

fn default(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec")
        && let Some(resources) = spec.get_mut("matchResources")
    {
        rules::default(resources, &["resourceRules", "excludeResourceRules"]);
    }
}

fn check_common(spec: Place<'_>) {
    let name = spec.get("policyName");
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_subdomain(name.text()));
    }
    let reference = spec.get("paramRef");
    if reference.is_set() {
        check_reference(reference);
    }
    let resources = spec.get("matchResources");
    if resources.is_set() {
        rules::check_constraints(resources, false);
    }
}

fn check_reference(reference: Place<'_>) {
    let (name, selector) = (reference.get("name"), reference.get("selector"));
    let missing = reference.get("parameterNotFoundAction");
    if !name.text().is_empty() {
        name.faults(names::path_segment(name.text()));
        if selector.is_set() {
            name.forbidden(EXCLUSIVE);
            selector.forbidden(EXCLUSIVE);
        }
    } else if selector.is_set() {
        label_selector::check(selector, Values::Valid);
    } else {
        reference.required("one of name or selector must be specified");
    }
    if missing.is_set() {
        missing.required_one_of(&["Deny", "Allow"]);
    } else {
        missing.required("");
    }
}

fn check_actions(actions: Place<'_>) {
    if actions.is_empty() {
        actions.required("at least one validation action is required");
    }
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        action.one_of(&["Audit", "Deny", "Warn"]);
        if !seen.insert(action.key()) {
            action.duplicate();
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid("must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
}

fn row(object: &Value, now_secs: i64) -> Vec<Value> {
    let spec = object.get("spec");
    let reference = spec.get("paramRef");
    let shown = match reference {
        Value::Null => "<unset>".to_owned(),
        reference => {
            match (reference.get("name").str_or_empty(), reference.get("namespace").str_or_empty()) {
                ("", _) => table::selector(reference.get("selector")).str_or_empty().to_owned(),
                (name, "") => format!("*/{name}"),
                (name, namespace) => format!("{namespace}/{name}"),
            }
        }
    };
    vec![
        table::name(object),
        table::text(spec.get("policyName")),
        Value::from(shown),
        table::age(object, now_secs),
    ]
}

impl Kind for ValidatingAdmissionPolicyBinding {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_common(spec);
        check_actions(spec.get("validationActions"));
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::VALIDATING_ADMISSION_POLICY_BINDING
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}

impl Kind for MutatingAdmissionPolicyBinding {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_common(spec);
        rules::check_changeable(spec.get("matchResources"));
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::VALIDATING_ADMISSION_POLICY_BINDING
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}
