//! The status of a claim: which devices it got, who uses them, and what their drivers say of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use machinery::{Value, names};

use super::devices::{MANY, Requests, check_config, check_free_object};
use super::lists::{each, each_once};
use super::naming::{check_driver, check_label, check_pool, check_share};
use super::slice_device::check_binding_conditions;
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::check_node_selector;

const CONSUMERS_MAX: usize = 256;
const CONDITIONS_MAX: usize = 8;
/// How many bytes a driver may tell of a device.
const DATA_MAX: usize = 10 * 1024;
const ADDRESSES_MAX: usize = 16;
const INTERFACE_MAX: usize = 256;
const HARDWARE_ADDRESS_MAX: usize = 128;

/// What tells devices apart: driver, pool, name and share.
type Id<'a> = [&'a str; 4];

fn id(device: &Value) -> Id<'_> {
    ["driver", "pool", "device", "shareID"].map(|member| device.get(member).str_or_empty())
}

fn results(claim: &Value) -> BTreeSet<Id<'_>> {
    claim.at(&["status", "allocation", "devices", "results"]).items().iter().map(id).collect()
}

/// Takes away what is said of devices that the claim gives back with this update.
pub(super) fn forget_freed(claim: &mut Value, old: &Value) {
    let kept = results(claim);
    let freed: BTreeSet<Id<'_>> = results(old).difference(&kept).copied().collect();
    let devices = claim.at(&["status", "devices"]).items();
    let left: Vec<Value> = devices.iter().filter(|device| !freed.contains(&id(device))).cloned().collect();
    if left.len() < devices.len() {
        claim.entry("status").set("devices", left);
    }
}

/// What is wrong with an update of the status.
pub(super) fn check_update(claim: Place<'_>, old: &Value) {
    let status = claim.get("status");
    let allocation = status.get("allocation");
    let reserved = status.get("reservedFor");
    each_once(reserved, CONSUMERS_MAX, check_consumer, |consumer| consumer.get("uid").str_or_empty());
    check_devices(status.get("devices"), &results(claim.value()));
    if !reserved.is_empty() {
        check_reserved(claim, reserved, old);
    }
    let old_allocation = old.at(&["status", "allocation"]);
    if !allocation.is_set() {
        return;
    }
    if old_allocation.is_null() {
        check_allocation(allocation, &Requests::of(claim.value().get("spec")));
    } else {
        allocation.immutable_as(old_allocation, |allocation| internal::show("AllocationResult", allocation));
    }
}

fn check_consumer(consumer: Place<'_>) {
    for member in ["resource", "name", "uid"] {
        let member = consumer.get(member);
        if member.text().is_empty() {
            member.required("");
        }
    }
}

fn check_reserved(claim: Place<'_>, reserved: Place<'_>, old: &Value) {
    if claim.value().at(&["status", "allocation"]).is_null() {
        return reserved.forbidden("may not be specified when `allocated` is not set");
    }
    let before = old.at(&["status", "reservedFor"]).items();
    let is_new = |consumer: &Value| !before.iter().any(|other| same(other, consumer));
    if !claim.value().at(&["metadata", "deletionTimestamp"]).is_null()
        && reserved.value().items().iter().any(is_new)
    {
        reserved.forbidden(
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        );
    }
}

fn check_devices(devices: Place<'_>, allocated: &BTreeSet<Id<'_>>) {
    devices.items().for_each(|device| check_device(device, allocated));
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        if !seen.insert(id(device.value()).map(str::to_owned)) {
            device.duplicate_as(shown(device));
        }
    }
}

fn shown(device: Place<'_>) -> Raw {
    Raw(internal::show("SharedDeviceID", device.value()))
}

fn check_device(device: Place<'_>, allocated: &BTreeSet<Id<'_>>) {
    check_driver(device.get("driver"));
    check_pool(device.get("pool"));
    check_label(device.get("device"));
    let share = device.get("shareID");
    if share.is_set() {
        check_share(share);
    }
    if !allocated.contains(&id(device.value())) {
        device.invalid_as(shown(device), "must be an allocated device in the claim");
    }
    let conditions = device.get("conditions");
    if conditions.len() > CONDITIONS_MAX {
        conditions.too_many(conditions.len(), CONDITIONS_MAX);
    }
    crate::conditions::check(conditions);
    let data = device.get("data");
    if data.is_set() {
        check_free_object(data, DATA_MAX);
    }
    let network = device.get("networkData");
    for (member, max) in [("interfaceName", INTERFACE_MAX), ("hardwareAddress", HARDWARE_ADDRESS_MAX)] {
        let member = network.get(member);
        if member.text().len() > max {
            member.too_long(max);
        }
    }
    each_once(network.get("ips"), ADDRESSES_MAX, check_interface_address, Value::str_or_empty);
}

/// What is wrong with the address of an interface: an address and how long the prefix of its network is.
fn check_interface_address(place: Place<'_>) {
    let Some((address, length)) = names::parse_cidr_sloppy(place.text()) else {
        return place.invalid("must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
    };
    let canonical = match address {
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) if length > 32 => format!("{four}/{}", length - 96.min(length)),
            Some(four) => format!("{four}/{length}"),
            None => format!("{six}/{length}"),
        },
        IpAddr::V4(four) => format!("{four}/{length}"),
    };
    if place.text() != canonical {
        place.invalid(format!("must be in canonical form (\"{canonical}\")"));
    }
}

fn check_allocation(allocation: Place<'_>, known: &Requests<'_>) {
    let devices = allocation.get("devices");
    each(devices.get("results"), MANY, |result| {
        known.check_reference(result.get("request"));
        check_driver(result.get("driver"));
        check_pool(result.get("pool"));
        check_label(result.get("device"));
        check_binding_conditions(result);
        let share = result.get("shareID");
        if share.is_set() {
            check_share(share);
        }
    });
    // Those of the class and those of the claim.
    each(devices.get("config"), 2 * MANY, |config| {
        config.get("source").required_one_of(&["FromClaim", "FromClass"]);
        known.check_references(config.get("requests"));
        check_config(config);
    });
    let selector = allocation.get("nodeSelector");
    if selector.is_set() {
        check_node_selector(selector);
    }
}
