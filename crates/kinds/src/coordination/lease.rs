//! Lease.

use machinery::Value;

use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Lease;

impl Kind for Lease {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).create_on_update().conditional_update().any_finalizer()
    }

    /// Leases are not handed on by coordinated election yet: what would steer it is not kept.
    fn prepare_create(&self, object: &mut Value) {
        drop_election(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _door: Door<'_>) {
        drop_election(object);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let duration = spec.get("leaseDurationSeconds");
        if duration.is_set() && duration.int() <= 0 {
            duration.invalid("must be greater than 0");
        }
        spec.get("leaseTransitions").not_negative();
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::LEASE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        vec![table::name(object), table::text(spec.get("holderIdentity")), table::age(object, now_secs)]
    }
}

fn drop_election(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec") {
        spec.remove("strategy");
        spec.remove("preferredHolder");
    }
}
