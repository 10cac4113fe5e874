//! What a pod as a whole asks for and is limited to, beside what its containers do.

use machinery::Value;
use machinery::field::Error;

use super::amounts::{self, Amounts, is_of_pods};
use super::defaults::or;
use super::resources::{self, amount, check_name, is_huge_page};
use crate::place::Place;

/// Fills in what follows from the containers of a pod that asks for something as a whole.
pub(super) fn fill(spec: &mut Value) {
    let is_empty = |spec: &Value, list| spec.at(&["resources", list]).members().next().is_none();
    if is_empty(spec, "limits") && is_empty(spec, "requests") {
        return;
    }
    let mut huge_pages = amounts::of_containers(spec, "limits");
    huge_pages.retain(|name, _| is_huge_page(name) && spec.at(&["resources", "requests", name]).is_null());
    add(spec, "limits", huge_pages);
    let limits = amounts::list(spec.at(&["resources", "limits"]));
    if limits.is_empty() {
        return;
    }
    let mut requests = limits;
    let of_containers = amounts::of_containers(spec, "requests");
    requests.extend(of_containers.into_iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")));
    requests.retain(|name, _| is_of_pods(name));
    add(spec, "requests", requests);
}

/// Adds amounts of what a list does not name yet.
fn add(spec: &mut Value, list: &str, amounts: Amounts) {
    if amounts.is_empty() {
        return;
    }
    let list = spec.entry("resources").entry(list);
    for (name, amount) in amounts {
        or(list, &name, amount.to_string());
    }
    list.make_object().sort();
}

/// What is wrong with it.
pub(super) fn check(spec: Place<'_>, claims: &[&str]) {
    let resources = spec.get("resources");
    if !resources.is_set() {
        return;
    }
    if spec.value().at(&["os", "name"]).as_str() == Some("windows") {
        return resources.forbidden("may not be set for a windows pod");
    }
    if resources.get("claims").is_set() {
        resources.get("claims").forbidden("claims may not be set for Resources at pod-level");
    }
    resources::check_with(resources, claims, check_pod_name);
    check_sums(spec, resources);
    check_limits(spec, resources);
}

fn check_pod_name(place: Place<'_>, name: &str) {
    let before = place.error_count();
    check_name(place, name);
    if place.error_count() == before && !is_of_pods(name) {
        place.unsupported_as(name, &["cpu", "hugepages-", "memory"]);
    }
}

/// The whole is not less than its parts together.
fn check_sums(spec: Place<'_>, resources: Place<'_>) {
    for (list, told) in [("requests", "container requests"), ("limits", "container limits")] {
        let sums = amounts::of_containers(spec.value(), list);
        for (name, place) in resources.get(list).entries() {
            let own = amount(place.value());
            // Other limits of containers may be above what a pod is limited to when they are taken together.
            let counts = list == "requests" || is_huge_page(name);
            if let Some(sum) = sums.get(name).filter(|sum| counts && **sum > own) {
                let told = format!("must be greater than or equal to aggregate {told} of {sum}");
                place.invalid_as(&own.to_string(), told);
            }
        }
    }
}

/// No container's limit is above that of the whole.
fn check_limits(spec: Place<'_>, resources: Place<'_>) {
    for (index, container) in spec.get("containers").value().items().iter().enumerate() {
        for (name, limit) in container.at(&["resources", "limits"]).members() {
            let whole = resources.value().at(&["limits", name]);
            let limit = amount(limit);
            if !whole.is_null() && limit > amount(whole) {
                let told = format!("must be less than or equal to pod limits of {}", amount(whole));
                let path = resources.path().child("containers").index(index).key(name).child("limits");
                resources.report(Error::invalid(&path, &limit.to_string(), told));
            }
        }
    }
}
