//! What a device has of something that may be shared, and how much of it can be asked for.

use std::cmp::Ordering;

use machinery::Value;
use machinery::quantity::Quantity;

use super::lists::{each, once};
use crate::place::Place;

/// How many amounts can be listed.
const VALUES_MAX: usize = 10;

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.str_or_empty()).ok()
}

fn compare(a: Place<'_>, b: Place<'_>) -> Ordering {
    amount(a.value()).cmp(&amount(b.value()))
}

/// What is wrong with a capacity of a device that is `shared` or not.
pub(super) fn check(capacity: Place<'_>, shared: bool) {
    let policy = capacity.get("requestPolicy");
    if !policy.is_set() {
        return;
    }
    if !shared {
        return policy.forbidden("allowMultipleAllocations must be true");
    }
    let (values, range, default) =
        (policy.get("validValues"), policy.get("validRange"), policy.get("default"));
    let most = capacity.get("value");
    match (!values.is_empty(), range.is_set()) {
        (true, true) => policy.forbidden(
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        ),
        (true, false) if !default.is_set() => default.required("required when validValues is defined"),
        (false, true) if !default.is_set() => default.required("required when validRange is defined"),
        (true, false) => check_values(values, default, most),
        (false, true) => check_range(range, default, most),
        (false, false) => {}
    }
}

fn check_values(values: Place<'_>, default: Place<'_>, most: Place<'_>) {
    let listed: Vec<Place<'_>> = values.items().collect();
    for pair in listed.windows(2) {
        if compare(pair[0], pair[1]).is_gt() {
            pair[1].invalid("values must be sorted in ascending order");
        }
    }
    let looked = each(values, VALUES_MAX, |value| {
        if compare(value, most).is_gt() {
            value.invalid(format!("option is larger than capacity value: {}", most.text()));
        }
    });
    if looked {
        once(values, Value::str_or_empty);
    }
    if !looked || !values.items().any(|value| compare(value, default).is_eq()) {
        values.invalid_as(default.text(), "default value is not valid according to the requestPolicy");
    }
}

fn check_range(range: Place<'_>, default: Place<'_>, most: Place<'_>) {
    let (min, max, step) = (range.get("min"), range.get("max"), range.get("step"));
    if !min.is_set() {
        return min.required("required when validRange is defined");
    }
    if compare(min, most).is_gt() {
        min.invalid(format!("min is larger than capacity value: {}", most.text()));
    }
    if compare(default, min).is_lt() {
        min.invalid_as(default.text(), format!("default is less than min: {}", min.text()));
    }
    if max.is_set() {
        if compare(min, max).is_gt() {
            max.invalid_as(min.text(), format!("min is larger than max: {}", max.text()));
        }
        if compare(max, most).is_gt() {
            max.invalid(format!("max is larger than capacity value: {}", most.text()));
        }
        if compare(default, max).is_gt() {
            max.invalid_as(default.text(), format!("default is more than max: {}", max.text()));
        }
    }
    let (Some(first), Some(one)) = (amount(min.value()), amount(step.value())) else { return };
    let second = first.plus(one);
    if Some(second).cmp(&amount(most.value())).is_gt() {
        step.invalid(format!("one step {second} is larger than capacity value: {}", most.text()));
    }
    for place in [default, max] {
        let Some(value) = amount(place.value()) else { continue };
        let steps = value.value().wrapping_sub(first.value()).checked_rem(one.value());
        if steps != Some(0) {
            step.invalid_as(
                place.text(),
                format!("value is not a multiple of a given step ({}) from ({})", step.text(), min.text()),
            );
        }
    }
}
