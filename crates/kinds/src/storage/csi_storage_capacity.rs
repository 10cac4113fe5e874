//! CSIStorageCapacity.

use machinery::{Value, names};

use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::pod_spec::resources::check_not_negative;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CsiStorageCapacity;

impl Kind for CsiStorageCapacity {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).conditional_update().second_look(SecondLook::All)
    }

    fn check(&self, object: Place<'_>) {
        label_selector::check(object.get("nodeTopology"), Values::Valid);
        let class = object.get("storageClassName");
        class.faults(names::dns1123_subdomain(class.text()));
        if object.get("capacity").is_set() {
            check_not_negative(object.get("capacity"));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        self.check(object);
        for member in ["nodeTopology", "storageClassName"] {
            object.get(member).immutable(old.get(member));
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::CSI_STORAGE_CAPACITY
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let capacity = match object.get("capacity") {
            Value::Null => "<unset>".to_owned(),
            value => crate::pod_spec::resources::amount(value).to_string(),
        };
        vec![
            table::name(object),
            table::text(object.get("storageClassName")),
            Value::from(capacity),
            table::age(object, now_secs),
        ]
    }
}
