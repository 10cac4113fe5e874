//! Scale: how many of something there should be, whatever it is.

use machinery::Value;

use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Scale;

impl Kind for Scale {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain)
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        spec.get("replicas").not_negative();
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::SCALE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![
            table::name(object),
            table::int(object.at(&["spec", "replicas"])),
            table::int(object.at(&["status", "replicas"])),
            table::age(object, now_secs),
        ]
    }
}
