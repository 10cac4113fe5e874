//! Numbers that may be percentages, and other rules of rollouts.

use machinery::{Value, names};

use crate::label_selector::{self, Values, is_blank};
use crate::place::Place;
use crate::pod_spec::template;

/// What is wrong with a number or percentage that must not be negative.
pub(crate) fn check_int_or_percent(place: Place<'_>) {
    match place.value() {
        Value::String(text) => place.faults(names::percent(text)),
        _ => place.not_negative(),
    }
}

/// A percentage of a whole is at most all of it.
pub(crate) fn check_not_above_all(place: Place<'_>) {
    if percentage(place.value()).is_some_and(|percentage| percentage > 100) {
        place.invalid("must not be greater than 100%");
    }
}

fn percentage(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The number, or the number of the percentage.
pub(crate) fn number_of(value: &Value) -> i64 {
    value.as_int().or_else(|| percentage(value)).unwrap_or(0)
}

/// What is wrong with how many pods may come and go at once.
pub(crate) fn check_rolling(update: Place<'_>) {
    let (unavailable, surge) = (update.get("maxUnavailable"), update.get("maxSurge"));
    check_int_or_percent(unavailable);
    check_int_or_percent(surge);
    if number_of(unavailable.value()) == 0 && number_of(surge.value()) == 0 {
        unavailable.invalid("may not be 0 when `maxSurge` is 0");
    }
    check_not_above_all(unavailable);
}

/// What is wrong with the selector of a controller and the labels of its pods. `whose` ends the complaint about a
/// selector that selects everything.
pub(crate) fn check_selector(spec: Place<'_>, whose: &str) {
    let selector = spec.get("selector");
    if !selector.is_set() {
        return selector.required("");
    }
    label_selector::check(selector, Values::Valid);
    if is_blank(selector) {
        selector.invalid(format!("empty selector is invalid for {whose}"));
    }
}

/// What is wrong with a template whose pods run until they are replaced, and are found by the controller's selector.
pub(crate) fn check_template(spec: Place<'_>) {
    let template = spec.get("template");
    if !template.is_set() {
        return template.required("");
    }
    match label_selector::parsed(spec.value().get("selector")) {
        None => spec.get("selector").invalid("invalid label selector"),
        Some(selector) => {
            template::check_selected(template, &selector);
            template::check(template);
            template::check_long_running(template, "ReplicaSet");
        }
    }
}
