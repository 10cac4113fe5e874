//! ResourceClaim and ResourceClaimTemplate.

use machinery::Value;

use super::{claim_status, devices};
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::policy::{self, NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ResourceClaim;
/// The kind of templates of claims.
pub struct ResourceClaimTemplate;

impl Kind for ResourceClaim {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).bare_status().second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        devices::default(object.entry("spec"));
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
    }

    fn check(&self, object: Place<'_>) {
        devices::check(object.get("spec"));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        policy::prepare_update(self.policy(), object, old, door);
        if door.is_status() {
            claim_status::forget_freed(object, old);
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door == Door::Main {
            let spec = object.get("spec");
            spec.immutable_as(old.get("spec"), |spec| internal::show("ResourceClaimSpec", spec));
        } else {
            claim_status::check_update(object, old);
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::RESOURCE_CLAIM
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), Value::from(state(object)), table::age(object, now_secs)]
    }
}

fn state(object: &Value) -> String {
    let status = object.get("status");
    let mut states = Vec::new();
    if !object.at(&["metadata", "deletionTimestamp"]).is_null() {
        states.push("deleted");
    }
    if status.get("allocation").is_null() {
        if object.at(&["metadata", "deletionTimestamp"]).is_null() {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if !status.get("reservedFor").is_empty() {
            states.push("reserved");
        }
    }
    states.join(",")
}

impl Kind for ResourceClaimTemplate {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        devices::default(object.entry("spec").entry("spec"));
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        crate::metadata::check_template(spec.get("metadata"));
        devices::check(spec.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        self.check(object);
        let spec = object.get("spec");
        if !same(spec.value(), old.get("spec")) {
            let shown = internal::show("ResourceClaimTemplateSpec", spec.value());
            spec.invalid_as(Raw(shown), "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::DEVICE_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), table::age(object, now_secs)]
    }
}
