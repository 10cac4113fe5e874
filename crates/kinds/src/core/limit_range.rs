//! LimitRange.

use std::collections::BTreeSet;

use machinery::quantity::Quantity;
use machinery::{Value, names};

use crate::Kind;
use crate::place::Place;
use crate::pod_spec::defaults::{amounts, members, or};
use crate::pod_spec::resources::{amount, check_container_name, check_name, may_be_overcommitted};
use crate::policy::{NameRule, Policy};

/// The kind.
pub struct LimitRange;

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
const NOT_FOR_PODS: &str = "may not be specified when `type` is 'Pod'";

impl Kind for LimitRange {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).create_on_update()
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        for limit in members(spec, "limits") {
            for list in LISTS {
                if let Some(list) = limit.get_mut(list) {
                    amounts(list);
                }
            }
            if limit.get("type").str_or_empty() == "Container" {
                for (from, to) in
                    [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
                {
                    fill(limit, from, to);
                }
            }
        }
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let mut seen = BTreeSet::new();
        for limit in spec.get("limits").items() {
            let kind = limit.get("type");
            check_type(kind);
            if !seen.insert(kind.key()) {
                kind.duplicate();
            }
            check_limit(limit, kind.text());
        }
    }
}

/// What one list says and the other does not is taken over.
fn fill(limit: &mut Value, from: &str, to: &str) {
    let given = limit.get(from).clone();
    if given.is_empty() {
        return;
    }
    let target = limit.entry(to);
    for (name, value) in given.members() {
        or(target, name, value.clone());
    }
    if let Some(map) = target.as_object_mut() {
        map.sort_by_key(str::to_owned);
    }
}

fn check_type(kind: Place<'_>) {
    let faults = names::qualified_name(kind.text());
    if !faults.is_empty() {
        return kind.faults(faults);
    }
    if !kind.text().contains('/') && !matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim") {
        kind.invalid("must be a standard limit type or fully qualified");
    }
}

fn check_limit(limit: Place<'_>, kind: &str) {
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    let check_names = |list: &str| {
        for (name, place) in limit.get(list).entries() {
            if matches!(kind, "Pod" | "Container") {
                check_container_name(place, name);
            } else {
                check_name(place, name);
            }
        }
    };
    for list in ["max", "min"] {
        check_names(list);
    }
    for list in ["default", "defaultRequest"] {
        if kind != "Pod" {
            check_names(list);
        } else if !limit.get(list).is_empty() {
            limit.get(list).forbidden(NOT_FOR_PODS);
        }
    }
    if kind == "PersistentVolumeClaim" {
        let given = |list: &str| !limit.value().at(&[list, "storage"]).is_null();
        if !given("min") && !given("max") {
            limit
                .get("limits")
                .required("either minimum or maximum storage value is required, but neither was provided");
        }
    }
    check_names("maxLimitRequestRatio");
    for list in LISTS {
        if kind != "Pod" || !matches!(list, "default" | "defaultRequest") {
            keys.extend(limit.value().get(list).members().map(|(name, _)| name.as_str()));
        }
    }
    for key in keys {
        check_order(limit, key);
    }
}

fn check_order(limit: Place<'_>, key: &str) {
    let given = |list: &str| {
        let value = limit.value().at(&[list, key]);
        (!value.is_null()).then(|| amount(value))
    };
    let tell = |list: &str, shown: Quantity, detail: String| {
        let list = limit.get(list);
        list.at_key(key).invalid_as(&shown.to_string(), detail);
    };
    let [max, min, limit_value, request, ratio] = LISTS.map(given);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        tell("min", min, format!("min value {min} is greater than max value {max}"));
    }
    if let (Some(request), Some(min)) = (request, min)
        && min > request
    {
        tell(
            "defaultRequest",
            request,
            format!("min value {min} is greater than default request value {request}"),
        );
    }
    if let (Some(request), Some(max)) = (request, max)
        && request > max
    {
        tell(
            "defaultRequest",
            request,
            format!("default request value {request} is greater than max value {max}"),
        );
    }
    if let (Some(request), Some(value)) = (request, limit_value)
        && request > value
    {
        let detail = format!("default request value {request} is greater than default limit value {value}");
        tell("defaultRequest", request, detail);
    }
    if let (Some(value), Some(min)) = (limit_value, min)
        && min > value
    {
        tell("default", min, format!("min value {min} is greater than default value {value}"));
    }
    if let (Some(value), Some(max)) = (limit_value, max)
        && value > max
    {
        tell("default", max, format!("default value {value} is greater than max value {max}"));
    }
    if let Some(ratio) = ratio {
        check_ratio(ratio, min, max, |detail| tell("maxLimitRequestRatio", ratio, detail));
    }
    if let (Some(value), Some(request)) = (limit_value, request)
        && !may_be_overcommitted(key)
        && value != request
    {
        let detail = format!("default value {value} must equal to defaultRequest value {request} in {key}");
        tell("defaultRequest", request, detail);
    }
}

fn check_ratio(ratio: Quantity, min: Option<Quantity>, max: Option<Quantity>, tell: impl Fn(String)) {
    if ratio.cmp_int(1).is_lt() {
        tell(format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let bound = max.as_f64() / min.as_f64();
        if ratio.as_f64() > bound {
            tell(format!("ratio {ratio} is greater than max/min = {bound:.6}"));
        }
    }
}
