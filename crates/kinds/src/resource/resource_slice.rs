//! ResourceSlice: what devices there are.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use machinery::{Value, names};

use regex::Regex;

use super::devices::check_driver;
use crate::metadata::check_label_name;
use crate::place::Place;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ResourceSlice;

const DEVICES_MAX: usize = 128;
const WHERE: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
/// A version as semver.org writes it: three numbers, and what may follow a hyphen and a plus.
static SEMANTIC_VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(0|[1-9][0-9]*)";
    let before = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = r"[0-9a-zA-Z-]+";
    let pattern = format!(r"^{number}\.{number}\.{number}(-{before}(\.{before})*)?(\+{build}(\.{build})*)?$");
    Regex::new(&pattern).expect("the pattern is one")
});
const EXACTLY_ONE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

impl Kind for ResourceSlice {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation()
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        let spec = object.get("spec");
        check_spec(spec);
        spec.get("driver").immutable(old.at(&["spec", "driver"]));
        let pool = spec.get("pool");
        pool.get("name").immutable(old.at(&["spec", "pool", "name"]));
        spec.get("nodeName").immutable(old.at(&["spec", "nodeName"]));
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |member: &str| object.at(&["spec", member]).str_or_empty().to_owned();
        vec![("spec.nodeName", text("nodeName")), ("spec.driver", text("driver"))]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["spec.nodeName", "spec.driver"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::RESOURCE_SLICE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        vec![
            table::name(object),
            table::text_or(spec.get("nodeName"), "<unset>"),
            table::text(spec.get("driver")),
            table::text(spec.at(&["pool", "name"])),
            table::age(object, now_secs),
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    check_driver(spec.get("driver"));
    let pool = spec.get("pool");
    let name = pool.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        for part in name.text().split('/') {
            for fault in names::dns1123_subdomain(part) {
                name.invalid_as(part, fault);
            }
        }
    }
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    if count.int() <= 0 {
        count.invalid_number("must be greater than zero");
    }
    if generation.int() < 0 {
        generation.invalid("must be greater than or equal to zero");
    }
    let set: Vec<&str> = WHERE
        .into_iter()
        .filter(|member| match spec.value().get(member) {
            Value::Bool(value) => *value,
            value => !value.is_null(),
        })
        .collect();
    match set.as_slice() {
        [] => spec.required(EXACTLY_ONE),
        [_] => {}
        many => {
            let quoted: Vec<String> = many.iter().map(|member| format!("`{member}`")).collect();
            spec.invalid_as(
                &format!("{{{}}}", quoted.join(", ")),
                format!("{EXACTLY_ONE}, but multiple fields are set"),
            );
        }
    }
    let node = spec.get("nodeName");
    if node.is_set() {
        node.faults(names::dns1123_subdomain(node.text()));
    }
    check_devices(spec.get("devices"));
}

fn check_devices(devices: Place<'_>) {
    if devices.len() > DEVICES_MAX {
        devices.too_many(devices.len(), DEVICES_MAX);
    }
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        let name = device.get("name");
        if name.text().is_empty() {
            name.required("");
        } else {
            name.faults(names::dns1123_label(name.text()));
        }
        if !seen.insert(name.key()) {
            device.duplicate_as(name.text());
        }
        let size = device.get("attributes").len() + device.get("capacity").len();
        if size > 32 {
            device.invalid_as(
                i64::try_from(size).unwrap_or(i64::MAX),
                "the total number of attributes and capacities must not exceed 32",
            );
        }
        for (key, attribute) in device.get("attributes").entries() {
            check_identifier(attribute, key);
            let kinds = ["bool", "int", "string", "version"];
            let set = kinds.iter().filter(|kind| !attribute.value().get(kind).is_null()).count();
            match set {
                0 => attribute.required("exactly one value must be specified"),
                1 => {}
                _ => attribute.invalid("exactly one value must be specified"),
            }
            let version = attribute.get("version");
            if version.is_set() && !SEMANTIC_VERSION.is_match(version.text()) {
                version.invalid("must be a string compatible with semver.org spec 2.0.0");
            }
        }
        for taint in device.get("taints").items() {
            check_taint(taint);
        }
        for (key, capacity) in device.get("capacity").entries() {
            check_identifier(capacity, key);
        }
    }
}

/// What is wrong with a taint of a device.
fn check_taint(taint: Place<'_>) {
    let (key, value) = (taint.get("key"), taint.get("value"));
    check_label_name(key, key.text());
    if !value.text().is_empty() {
        let faults = names::label_value(value.text());
        if !faults.is_empty() {
            value.invalid_as(value.text(), faults.join(";"));
        }
    }
    taint.get("effect").required_one_of(&["NoExecute", "NoSchedule", "None"]);
}

fn check_identifier(place: Place<'_>, key: &str) {
    let identifier = match key.split_once('/') {
        Some((domain, identifier)) => {
            for fault in names::dns1123_subdomain(domain) {
                place.invalid_as(domain, fault);
            }
            identifier
        }
        None => key,
    };
    for fault in names::c_identifier(identifier) {
        place.invalid_as(identifier, fault);
    }
}
