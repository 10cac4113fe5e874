//! Lease.

use machinery::{Value, names};

use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Lease;

impl Kind for Lease {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).create_on_update().conditional_update()
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let duration = spec.get("leaseDurationSeconds");
        if duration.is_set() && duration.int() <= 0 {
            duration.invalid("must be greater than 0");
        }
        spec.get("leaseTransitions").not_negative();
        let strategy = spec.get("strategy");
        if strategy.is_set() {
            let own = ["OldestEmulationVersion"];
            if !own.contains(&strategy.text()) {
                let faults = names::domain_prefixed_path(strategy.text());
                strategy.faults(faults);
            }
        }
        let preferred = spec.get("preferredHolder");
        if !preferred.text().is_empty() && strategy.text().is_empty() {
            preferred.forbidden("may only be specified if `strategy` is defined");
        }
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
