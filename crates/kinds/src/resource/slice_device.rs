//! A device as its driver offers it in a slice.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use machinery::{Value, names};
use regex::Regex;

use super::capacity;
use super::devices::EFFECTS;
use super::lists::{each, each_once};
use super::naming::{ATTRIBUTE_MAX, check_label, check_qualified_name, shown_key};
use crate::internal;
use crate::metadata::check_label_name;
use crate::place::{Place, Raw, same};
use crate::pod_spec::check_node_selector;

/// How many attributes and capacities a device has together.
const NAMES_MAX: usize = 32;
/// How long the text of an attribute may be.
const TEXT_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const CONDITIONS_MAX: usize = 4;
const CONSUMED_MAX: usize = 2;
/// How many counters there are in a set, and are consumed of one.
pub(super) const COUNTERS_MAX: usize = 32;
const ONE_PLACE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                         `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

/// A version as semver.org writes it: three numbers, and what may follow a hyphen and a plus.
static SEMANTIC_VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(0|[1-9][0-9]*)";
    let before = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = r"[0-9a-zA-Z-]+";
    let pattern = format!(r"^{number}\.{number}\.{number}(-{before}(\.{before})*)?(\+{build}(\.{build})*)?$");
    Regex::new(&pattern).expect("the pattern is one")
});

/// Takes away what belongs to features that are off: lists as attributes, and resources of the node.
pub(super) fn forget_unknown(slice: &mut Value) {
    let devices = slice.entry("spec").get_mut("devices");
    for device in devices.map(Value::items_mut).unwrap_or_default() {
        device.remove("nodeAllocatableResourceMappings");
        let attributes = device.get_mut("attributes").and_then(Value::as_object_mut);
        for (_, attribute) in attributes.into_iter().flat_map(|attributes| attributes.iter_mut()) {
            for list in ["bools", "ints", "strings", "versions"] {
                attribute.remove(list);
            }
        }
    }
}

/// Whether devices of a slice use what costs more room, so that there may be fewer of them.
pub(super) fn is_advanced(device: &Value) -> bool {
    !device.get("taints").is_empty() || !device.get("consumesCounters").is_empty()
}

/// What is wrong with a device; `old` is the one of this name that was there before, `each_has_place` whether each
/// device of the slice says where it can be used.
pub(super) fn check(device: Place<'_>, old: &Value, each_has_place: bool) {
    check_label(device.get("name"));
    let (attributes, capacities) = (device.get("attributes"), device.get("capacity"));
    check_amounts(device, attributes.len() + capacities.len());
    for (key, attribute) in attributes.entries() {
        check_qualified_name(attributes, key);
        let shown = shown_key(key, ATTRIBUTE_MAX);
        let attribute = attributes.with(attribute.value());
        check_attribute(attribute.at_key(&shown));
    }
    let shared = device.get("allowMultipleAllocations").is_true();
    for (key, amount) in capacities.entries() {
        check_qualified_name(capacities, key);
        let shown = shown_key(key, ATTRIBUTE_MAX);
        let amount = capacities.with(amount.value());
        capacity::check(amount.at_key(&shown), shared);
    }
    let taints = device.get("taints");
    if old.is_null() || !same(taints.value(), old.get("taints")) {
        each(taints, TAINTS_MAX, check_taint);
    }
    each_once(device.get("consumesCounters"), CONSUMED_MAX, check_consumption, |consumption| {
        consumption.get("counterSet").str_or_empty()
    });
    check_place(device, each_has_place);
    check_binding_conditions(device);
}

fn check_amounts(device: Place<'_>, names: usize) {
    if names > NAMES_MAX {
        device.invalid_as(
            i64::try_from(names).unwrap_or(i64::MAX),
            format!("the total number of attributes and capacities must not exceed {NAMES_MAX}"),
        );
    }
}

fn check_attribute(attribute: Place<'_>) {
    let text = attribute.get("string");
    if text.is_set() {
        check_text(text);
    }
    let version = attribute.get("version");
    if version.is_set() {
        check_version(version);
    }
    let one_value = "exactly one value must be specified";
    let kinds = ["int", "bool", "string", "version"];
    match kinds.iter().filter(|member| !attribute.value().get(member).is_null()).count() {
        0 => attribute.invalid_as("", one_value),
        1 => {}
        _ => attribute.invalid_as(Raw(internal::show("DeviceAttribute", attribute.value())), one_value),
    }
}

fn check_text(text: Place<'_>) {
    if text.text().len() > TEXT_MAX {
        text.too_long(TEXT_MAX);
    }
}

fn check_version(version: Place<'_>) {
    if !SEMANTIC_VERSION.is_match(version.text()) {
        version.invalid("must be a string compatible with semver.org spec 2.0.0");
    }
    check_text(version);
}

fn check_taint(taint: Place<'_>) {
    let (key, value) = (taint.get("key"), taint.get("value"));
    check_label_name(key, key.text());
    if !value.text().is_empty() {
        value.faults(names::label_value(value.text()));
    }
    taint.get("effect").required_one_of(&EFFECTS);
}

fn check_consumption(consumption: Place<'_>) {
    let set = consumption.get("counterSet");
    if set.text().is_empty() {
        set.required("");
    } else {
        check_label(set);
    }
    check_counters(consumption.get("counters"));
}

/// What is wrong with counters by their names.
pub(super) fn check_counters(counters: Place<'_>) {
    if counters.is_empty() {
        return counters.required("");
    }
    if counters.len() > COUNTERS_MAX {
        return counters.too_many(counters.len(), COUNTERS_MAX);
    }
    for key in counters.keys() {
        for fault in names::dns1123_label(key) {
            counters.invalid_as(key.as_str(), fault);
        }
    }
}

/// Where a device can be used: said once, and only where the slice leaves that to its devices.
fn check_place(device: Place<'_>, each_has_place: bool) {
    let [node, selector, all] =
        ["nodeName", "nodeSelector", "allNodes"].map(|member| device.value().get(member));
    if !each_has_place {
        if ![node, selector, all].iter().all(|member| member.is_null()) {
            device.invalid_as(
                Raw("null".to_owned()),
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                 in the ResourceSlice spec",
            );
        }
        return;
    }
    let mut set = Vec::new();
    let node = device.get("nodeName");
    if node.is_set() && node.text().is_empty() {
        node.invalid("must not be empty");
    } else if node.is_set() {
        set.push("`nodeName`");
        node.faults(names::dns1123_subdomain(node.text()));
    }
    let selector = device.get("nodeSelector");
    if selector.is_set() {
        set.push("`nodeSelector`");
        check_node_selector(selector);
    }
    let all = device.get("allNodes");
    if all.is_true() {
        set.push("`allNodes`");
    } else if all.is_set() {
        all.invalid("must be either unset or set to true");
    }
    match set.len() {
        0 => device.required(ONE_PLACE),
        1 => {}
        _ => device.invalid_as(format!("{{{}}}", set.join(", ")).as_str(), ONE_PLACE),
    }
}

/// What is wrong with the conditions that a device must come to before a pod is bound, and those that end the wait.
pub(super) fn check_binding_conditions(device: Place<'_>) {
    let (good, bad) = (device.get("bindingConditions"), device.get("bindingFailureConditions"));
    for list in [good, bad] {
        each(list, CONDITIONS_MAX, |condition| check_label_name(condition, condition.text()));
    }
    let mut seen = BTreeSet::new();
    for condition in good.items() {
        if !seen.insert(condition.key()) {
            condition.duplicate();
        }
    }
    let mut seen_bad = BTreeSet::new();
    for condition in bad.items() {
        if !seen_bad.insert(condition.key()) {
            condition.duplicate();
        }
        if seen.contains(&condition.key()) {
            condition.invalid("bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    let nothing = |list: Place<'_>| Raw(if list.is_set() { "[]" } else { "null" }.to_owned());
    if good.is_empty() && !bad.is_empty() {
        good.invalid_as(nothing(good), "bindingConditions are required to use bindingFailureConditions");
    }
    if bad.is_empty() && !good.is_empty() {
        bad.invalid_as(nothing(bad), "bindingFailureConditions are required to use bindingConditions");
    }
}
