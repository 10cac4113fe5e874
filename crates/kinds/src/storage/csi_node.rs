//! CSINode: what storage drivers a node has.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::volumes::check_csi_driver_name;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CsiNode;

const NODE_ID_MAX: usize = 256;

impl Kind for CsiNode {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).conditional_update()
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_drivers(spec.get("drivers"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        let spec = object.get("spec");
        let drivers = spec.get("drivers");
        check_drivers(drivers);
        for old in old.at(&["spec", "drivers"]).items() {
            let name = old.get("name");
            for driver in drivers.value().items().iter().filter(|driver| driver.get("name") == name) {
                // How much a driver can do may change.
                let (mut alike, mut before) = (driver.clone(), old.clone());
                alike.remove("allocatable");
                before.remove("allocatable");
                if !same(&alike, &before) {
                    let shown = internal::show("CSINodeDriver", &alike);
                    drivers.invalid_as(Raw(shown), "field is immutable");
                }
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::CSI_NODE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let drivers = object.at(&["spec", "drivers"]).items().len();
        vec![
            table::name(object),
            Value::from(i64::try_from(drivers).unwrap_or(i64::MAX)),
            table::age(object, now_secs),
        ]
    }
}

fn check_drivers(drivers: Place<'_>) {
    let mut seen = BTreeSet::new();
    for driver in drivers.items() {
        check_csi_driver_name(driver.get("name"));
        let id = driver.get("nodeID");
        if id.text().is_empty() {
            id.required("");
        } else if id.text().len() > NODE_ID_MAX {
            id.invalid(format!("must be {NODE_ID_MAX} characters or less"));
        }
        let allocatable = driver.get("allocatable");
        allocatable.get("count").not_negative();
        let mut keys = BTreeSet::new();
        for key in driver.value().get("topologyKeys").items() {
            let key = key.str_or_empty();
            if key.is_empty() || !keys.insert(key) {
                if key.is_empty() {
                    driver.required("");
                } else {
                    driver.duplicate_as(key);
                }
            }
            for fault in names::qualified_name(key) {
                driver.invalid_as(key, fault);
            }
        }
        let name = driver.get("name");
        if !seen.insert(name.key()) {
            name.duplicate();
        }
    }
}
