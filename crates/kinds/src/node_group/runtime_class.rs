//! RuntimeClass.

use machinery::{Value, names};

use crate::internal;
use crate::metadata::check_labels;
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::amounts;
use crate::pod_spec::{check_tolerations, resources};
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct RuntimeClass;

impl Kind for RuntimeClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain)
            .create_on_update()
            .conditional_update()
            .any_finalizer()
            .second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        if let Some(overhead) = object.get_mut("overhead")
            && let Some(fixed) = overhead.get_mut("podFixed")
        {
            amounts(fixed);
        }
    }

    fn check(&self, object: Place<'_>) {
        let handler = object.get("handler");
        if handler.text().is_empty() {
            handler.required("");
        } else {
            handler.faults(names::dns1123_label(handler.text()));
        }
        let overhead = object.get("overhead");
        if overhead.is_set() {
            let fixed = overhead.with(overhead.value().get("podFixed"));
            resources::check_amounts(fixed.at("limits"));
        }
        let scheduling = object.get("scheduling");
        if scheduling.is_set() {
            check_labels(scheduling.get("nodeSelector"));
            let tolerations = scheduling.get("tolerations");
            check_tolerations(tolerations);
            for (position, toleration) in tolerations.items().enumerate() {
                let before = tolerations.value().items()[..position].iter();
                if before.clone().any(|earlier| same(earlier, toleration.value())) {
                    toleration.duplicate_as(Raw(internal::show("Toleration", toleration.value())));
                }
            }
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        self.check(object);
        let handler = object.get("handler");
        if handler.text() != old.get("handler").str_or_empty() {
            handler.invalid_as(handler.text(), "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::RUNTIME_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), table::text(object.get("handler")), table::age(object, now_secs)]
    }
}
