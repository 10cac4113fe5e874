//! DeviceClass.

use machinery::Value;

use super::devices;
use crate::place::Place;
use crate::pod_spec::resources::is_extended;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct DeviceClass;

impl Kind for DeviceClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().second_look(SecondLook::All)
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        devices::check_selectors(spec.get("selectors"));
        for config in spec.get("config").items() {
            devices::check_config(config);
        }
        let extended = spec.get("extendedResourceName");
        if extended.is_set() && !is_extended(extended.text()) {
            extended.invalid("must be a valid extended resource name");
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::DEVICE_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), table::age(object, now_secs)]
    }
}
