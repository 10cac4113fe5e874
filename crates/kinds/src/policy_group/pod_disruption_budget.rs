//! PodDisruptionBudget.

use machinery::{Value, names};

use crate::conditions;
use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct PodDisruptionBudget;

impl Kind for PodDisruptionBudget {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment)
            .generation()
            .status()
            .conditional_update()
            .any_finalizer()
            .second_look(SecondLook::No)
    }

    fn prepare_create(&self, object: &mut Value) {
        crate::policy::prepare_create(self.policy(), object);
        let zero = || Value::from(0i64);
        object.set(
            "status",
            Value::from([
                ("disruptionsAllowed", zero()),
                ("currentHealthy", zero()),
                ("desiredHealthy", zero()),
                ("expectedPods", zero()),
            ]),
        );
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let (min, max) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
        if min.is_set() && max.is_set() {
            spec.invalid_as(
                crate::place::Raw(crate::internal::show("PodDisruptionBudgetSpec", spec.value())),
                "minAvailable and maxUnavailable cannot be both set",
            );
        }
        for place in [min, max] {
            if place.is_set() {
                check_int_or_percent(place);
            }
        }
        label_selector::check(spec.get("selector"), Values::Valid);
        let policy = spec.get("unhealthyPodEvictionPolicy");
        if policy.is_set() {
            policy.one_of(&["AlwaysAllow", "IfHealthyBudget"]);
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            let status = object.get("status");
            for member in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
                status.get(member).not_negative();
            }
            conditions::check(status.get("conditions"));
            return;
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::POD_DISRUPTION_BUDGET
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        vec![
            table::name(object),
            table::int_or_text(spec.get("minAvailable"), "N/A"),
            table::int_or_text(spec.get("maxUnavailable"), "N/A"),
            table::int(object.at(&["status", "disruptionsAllowed"])),
            table::age(object, now_secs),
        ]
    }
}

fn check_int_or_percent(place: Place<'_>) {
    match place.value() {
        Value::String(text) => {
            place.faults(names::percent(text));
            let above = text
                .strip_suffix('%')
                .and_then(|number| number.parse::<i64>().ok())
                .is_some_and(|number| number > 100);
            if above {
                place.invalid("must not be greater than 100%");
            }
        }
        _ => place.not_negative(),
    }
}
