//! The rules of requests and limits.

use std::collections::BTreeSet;

use machinery::field::Error;
use machinery::quantity::{Format, Quantity};
use machinery::{Value, names};

use crate::place::Place;

const NOT_AN_INTEGER: &str = "must be an integer";

/// An amount as it stands in a document. What cannot be read is nothing: the schema saw to it before.
pub fn amount(value: &Value) -> Quantity {
    match value {
        Value::String(text) => Quantity::parse(text).unwrap_or(Quantity::ZERO),
        Value::Int(number) => Quantity::from_int(*number, Format::DecimalSi),
        Value::Float(number) => Quantity::parse(&number.to_string()).unwrap_or(Quantity::ZERO),
        _ => Quantity::ZERO,
    }
}

/// Whether a resource is one of Kubernetes' own.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource counts huge pages.
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is one of a vendor.
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a container's limit of it may be above its request.
pub fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether it is counted in whole pieces.
pub fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || name.starts_with("count/")
        || is_extended(name)
}

fn is_standard(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(plain, "cpu" | "memory" | "ephemeral-storage" | "storage")
        || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
        || matches!(
            name,
            "pods"
                | "resourcequotas"
                | "services"
                | "replicationcontrollers"
                | "secrets"
                | "configmaps"
                | "persistentvolumeclaims"
                | "services.nodeports"
                | "services.loadbalancers"
        )
}

/// What is wrong with the name of any resource. The name is the last key of the path.
pub fn check_name(place: Place<'_>, name: &str) {
    let before = place.error_count();
    for fault in names::qualified_name(name) {
        place.invalid_as(name, fault);
    }
    if place.error_count() == before && !name.contains('/') && !is_standard(name) {
        place.invalid_as(name, "must be a standard resource type or fully qualified");
    }
}

/// What is wrong with the name of a resource that a container may ask for.
pub fn check_container_name(place: Place<'_>, name: &str) {
    if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
        return;
    }
    check_name(place, name);
    if !name.contains('/') {
        if !is_huge_page(name) {
            place.invalid_as(name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        place.invalid_as(name, "doesn't follow extended resource name standard");
    }
}

/// An amount must not be below zero.
pub fn check_not_negative(place: Place<'_>) {
    let amount = amount(place.value());
    if amount.signum() < 0 {
        place.invalid_as(&amount.to_string(), "must be greater than or equal to 0");
    }
}

/// What is wrong with an amount of a resource.
pub fn check_amount(place: Place<'_>, name: &str) {
    check_not_negative(place);
    let amount = amount(place.value());
    if is_integer(name) && amount.milli_value() % 1000 != 0 {
        place.invalid_as(&amount.to_string(), NOT_AN_INTEGER);
    }
}

/// What is wrong with a list of amounts that a container may ask for, and whether it holds compute resources and huge
/// pages.
pub fn check_amounts(list: Place<'_>) -> (bool, bool) {
    check_amounts_with(list, check_container_name)
}

/// What a resource may be called. The name is the last key of the path.
type NameRule = fn(Place<'_>, &str);

fn check_amounts_with(list: Place<'_>, check_name: NameRule) -> (bool, bool) {
    let (mut compute, mut huge_pages) = (false, false);
    for (name, place) in list.entries() {
        check_name(place, name);
        check_amount(place, name);
        if is_huge_page(name) {
            huge_pages = true;
            check_huge_page(place, name);
        }
        compute |= matches!(name, "cpu" | "memory");
    }
    (compute, huge_pages)
}

fn check_huge_page(place: Place<'_>, name: &str) {
    let size = name.strip_prefix("hugepages-").and_then(|size| Quantity::parse(size).ok());
    let Some(size) = size.map(Quantity::value).filter(|size| *size > 0) else { return };
    let wanted = amount(place.value());
    if wanted.value() % size != 0 {
        place.invalid_as(&wanted.to_string(), format!("{wanted} is not positive integer multiple of {name}"));
    }
}

/// What is wrong with the requests and limits of a container.
pub fn check(resources: Place<'_>, claims: &[&str]) {
    check_with(resources, claims, check_container_name);
}

/// What is wrong with requests and limits whose names are held to a rule.
pub(super) fn check_with(resources: Place<'_>, claims: &[&str], check_name: NameRule) {
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    let (limit_compute, limit_huge) = check_amounts_with(limits, check_name);
    let (mut compute, mut huge) = (limit_compute, limit_huge);
    for (name, place) in requests.entries() {
        check_name(place, name);
        check_amount(place, name);
        let wanted = amount(place.value());
        match limits.value().get(name) {
            Value::Null if !may_be_overcommitted(name) => {
                limits.required("Limit must be set for non overcommitable resources");
            }
            Value::Null => {}
            limit => {
                let limit = amount(limit);
                if wanted != limit && !may_be_overcommitted(name) {
                    requests
                        .invalid_as(&wanted.to_string(), format!("must be equal to {name} limit of {limit}"));
                } else if wanted > limit {
                    requests.invalid_as(
                        &wanted.to_string(),
                        format!("must be less than or equal to {name} limit of {limit}"),
                    );
                }
            }
        }
        if is_huge_page(name) {
            huge = true;
            check_huge_page(place, name);
        }
        compute |= matches!(name, "cpu" | "memory");
    }
    if huge && !compute {
        resources.forbidden("HugePages require cpu or memory");
    }
    check_claims(resources.get("claims"), claims);
}

fn check_claims(claims: Place<'_>, known: &[&str]) {
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let (name, request) = (claim.get("name").text(), claim.get("request"));
        if name.is_empty() {
            claim.required("");
            continue;
        }
        let mut key = name.to_owned();
        if !request.text().is_empty() {
            request.faults(names::dns1123_label(request.text()));
            key = format!("{name}/{}", request.text());
        }
        if seen.contains(&key) || (seen.contains(name) && !request.text().is_empty()) {
            claim.duplicate_as(&key);
        } else {
            seen.insert(key);
        }
        if !known.contains(&name) {
            let mut error = Error::not_found(&claim.path(), name);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                let mut sorted = known.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                error.detail = format!("{}: {}", error.detail, sorted.join(", "));
            }
            claim.report(error);
        }
    }
}
