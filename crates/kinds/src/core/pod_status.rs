//! What an update of a pod's status must look like.

use machinery::{Value, names};

use crate::place::Place;

/// Conditions that the system itself sets; their types need no domain.
const SYSTEM_CONDITIONS: [&str; 6] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "DisruptionTarget",
    "PodReadyToStartContainers",
];

pub(super) fn check(object: Place<'_>, old: &Value) {
    let status = object.get("status");
    let old_status = old.get("status");
    for condition in status.get("conditions").items() {
        let kind = condition.value().get("type").str_or_empty();
        if !SYSTEM_CONDITIONS.contains(&kind) {
            for fault in names::qualified_name(kind) {
                condition.at("Type").invalid_as(kind, fault);
            }
        }
    }
    let nominated = status.get("nominatedNodeName");
    if nominated.text() != old_status.get("nominatedNodeName").str_or_empty() && !nominated.text().is_empty()
    {
        nominated.faults(names::dns1123_subdomain(nominated.text()));
    }
    let class = status.get("qosClass");
    if class.text() != old_status.get("qosClass").str_or_empty() {
        class.invalid_as(class.text(), "field is immutable");
    }
    let policy = old.at(&["spec", "restartPolicy"]).str_or_empty();
    check_transitions(status.get("containerStatuses"), old_status.get("containerStatuses"), policy);
    if policy != "Always" {
        check_transitions(
            status.get("initContainerStatuses"),
            old_status.get("initContainerStatuses"),
            "OnFailure",
        );
    }
    check_addresses(status.get("podIPs"), "podIP");
    check_addresses(status.get("hostIPs"), "hostIP");
}

/// A container that ended for good does not come back.
fn check_transitions(statuses: Place<'_>, old: &Value, policy: &str) {
    if policy == "Always" {
        return;
    }
    for (position, old) in old.items().iter().enumerate() {
        let ended = old.at(&["state", "terminated"]);
        if ended.is_null() {
            continue;
        }
        let failed = ended.get("exitCode").as_int().unwrap_or(0) != 0;
        if failed && policy == "OnFailure" {
            continue;
        }
        let name = old.get("name");
        let again = statuses
            .value()
            .items()
            .iter()
            .any(|new| new.get("name") == name && new.at(&["state", "terminated"]).is_null());
        if again {
            let indexed = statuses.at_index(position);
            indexed.at("state").forbidden("may not be transitioned to non-terminated state");
        }
    }
}

fn check_addresses(addresses: Place<'_>, what: &str) {
    for address in addresses.items() {
        let ip = address.get("ip");
        ip.faults(names::legacy_ip(ip.text()));
    }
    if addresses.len() > 1 {
        let six = |address: &Value| address.get("ip").str_or_empty().contains(':');
        let sixes = addresses.value().items().iter().filter(|address| six(address)).count();
        if addresses.len() > 2 || sixes != 1 {
            addresses.invalid(format!("may specify no more than one IP for each IP family ({what})"));
        }
    }
}
