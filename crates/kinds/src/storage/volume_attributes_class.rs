//! VolumeAttributesClass.

use machinery::Value;

use super::storage_class::{check_parameters, check_provisioner};
use crate::place::{Place, same};
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct VolumeAttributesClass;

impl Kind for VolumeAttributesClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).second_look(SecondLook::All)
    }

    fn check(&self, object: Place<'_>) {
        let driver = object.get("driverName");
        check_provisioner(driver);
        let parameters = object.get("parameters");
        if parameters.is_empty() {
            parameters.required("must contain at least one key/value pair");
        }
        check_parameters(parameters);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        for member in ["driverName", "parameters"] {
            if !same(object.value().get(member), old.get(member)) {
                object.get(member).forbidden(format!("updates to {member} are forbidden."));
            }
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::VOLUME_ATTRIBUTES_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), table::text(object.get("driverName")), table::age(object, now_secs)]
    }
}
