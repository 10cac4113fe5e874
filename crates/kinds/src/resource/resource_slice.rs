//! ResourceSlice: what devices there are.

use machinery::{Value, names};

use super::lists::each_once;
use super::naming::{check_driver, check_label, check_pool};
use super::slice_device;
use crate::internal;
use crate::place::{Place, Raw};
use crate::pod_spec::check_node_selector;
use crate::policy::{self, NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ResourceSlice;

const DEVICES_MAX: usize = 128;
/// How many there may be if one of them uses what costs more room.
const ADVANCED_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const EXACTLY_ONE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

impl Kind for ResourceSlice {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation()
    }

    fn prepare_create(&self, object: &mut Value) {
        policy::prepare_create(self.policy(), object);
        slice_device::forget_unknown(object);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"), &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        slice_device::forget_unknown(object);
        policy::prepare_update(self.policy(), object, old, door);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        check_spec(object.get("spec"), old.get("spec"));
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let driver = object.at(&["spec", "driver"]).str_or_empty();
        if driver == driver.to_lowercase() {
            return Vec::new();
        }
        let quoted = machinery::field::go_quote(driver);
        vec![format!("spec.driver: driver names should be lowercase; {quoted} contains uppercase characters")]
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

/// What is wrong with a slice; `old` is what it said before.
fn check_spec(spec: Place<'_>, old: &Value) {
    check_driver(spec.get("driver"));
    let pool = spec.get("pool");
    check_pool(pool.get("name"));
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    if count.int() <= 0 {
        count.invalid_number("must be greater than zero");
    }
    if generation.int() < 0 {
        generation.invalid("must be greater than or equal to zero");
    }
    if !old.is_null() {
        pool.get("name").immutable(old.at(&["pool", "name"]));
        spec.get("driver").immutable(old.get("driver"));
        spec.get("nodeName").immutable(old.get("nodeName"));
    }
    check_place(spec);
    let (devices, counters) = (spec.get("devices"), spec.get("sharedCounters"));
    if counters.is_set() && devices.is_set() {
        spec.invalid_as("", "only one of `sharedCounters` or `devices` is allowed");
    }
    let advanced = devices.value().items().iter().any(slice_device::is_advanced);
    let max = if advanced { ADVANCED_DEVICES_MAX } else { DEVICES_MAX };
    let name = |named: &Value| named.get("name").str_or_empty().to_owned();
    let each_has_place = spec.get("perDeviceNodeSelection").is_true();
    let check_device = |device: Place<'_>| {
        let mut before = old.get("devices").items().iter();
        let before = before.find(|before| name(before) == name(device.value()));
        slice_device::check(device, before.unwrap_or(&Value::Null), each_has_place);
    };
    each_once(devices, max, check_device, |device| device.get("name").str_or_empty());
    each_once(counters, COUNTER_SETS_MAX, check_counter_set, |set| set.get("name").str_or_empty());
}

/// Where the devices can be used: said once.
fn check_place(spec: Place<'_>) {
    let mut set = Vec::new();
    let node = spec.get("nodeName");
    if node.is_set() && node.text().is_empty() {
        node.invalid("must be either unset or set to a non-empty string");
    } else if node.is_set() {
        set.push("`nodeName`");
        node.faults(names::dns1123_subdomain(node.text()));
    }
    let selector = spec.get("nodeSelector");
    if selector.is_set() {
        set.push("`nodeSelector`");
        check_node_selector(selector);
        let terms = selector.get("nodeSelectorTerms");
        if terms.len() != 1 {
            let shown = internal::show_list("NodeSelectorTerm", terms.value());
            terms.invalid_as(Raw(shown), "must have exactly one node selector term");
        }
    }
    for (member, quoted) in
        [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        let member = spec.get(member);
        if member.is_true() {
            set.push(quoted);
        } else if member.is_set() {
            member.invalid("must be either unset or set to true");
        }
    }
    match set.len() {
        0 => spec.required(EXACTLY_ONE),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            spec.invalid_as(&shown, format!("{EXACTLY_ONE}, but multiple fields are set"));
        }
    }
}

fn check_counter_set(set: Place<'_>) {
    let name = set.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        check_label(name);
    }
    slice_device::check_counters(set.get("counters"));
}
