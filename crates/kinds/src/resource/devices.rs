//! Requests for devices and how devices are chosen and configured.

use std::collections::{BTreeMap, BTreeSet};

use machinery::{Value, json, names};

use super::lists::{each, each_once};
use super::naming::{check_driver, check_fully_qualified_name, check_label};
use super::selectors;
use crate::metadata::check_label_name;
use crate::place::{Place, Raw};
use crate::pod_spec::defaults::{members, or_number, or_text};

/// How many requests, constraints, selectors or configurations there may be.
pub(super) const MANY: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const EXPRESSION_MAX: usize = 10 * 1024;
/// How many bytes a driver may be told.
const PARAMETERS_MAX: usize = 10 * 1024;
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
/// What a taint does, as it is listed.
pub(super) const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

fn default_request(request: &mut Value) {
    or_text(request, "allocationMode", "ExactCount");
    if request.get("allocationMode").str_or_empty() == "ExactCount" {
        or_number(request, "count", 1);
    }
    for toleration in members(request, "tolerations") {
        or_text(toleration, "operator", "Equal");
    }
}

/// Fills in the requests of a claim.
pub(super) fn default(spec: &mut Value) {
    let Some(devices) = spec.get_mut("devices") else { return };
    for request in members(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly") {
            default_request(exactly);
        }
        for alternative in members(request, "firstAvailable") {
            default_request(alternative);
        }
    }
}

/// The names of a claim's requests, each with the names of its alternatives.
pub(super) struct Requests<'a> {
    names: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Requests<'a> {
    /// The requests of a claim's specification.
    pub(super) fn of(spec: &'a Value) -> Requests<'a> {
        let requests = spec.at(&["devices", "requests"]).items().iter();
        let names = requests
            .map(|request| (name(request), request.get("firstAvailable").items().iter().map(name).collect()));
        Requests { names: names.collect() }
    }

    fn has(&self, request: &str, alternative: Option<&str>) -> bool {
        let alternatives = self.names.get(request);
        alternatives.is_some_and(|known| alternative.is_none_or(|alternative| known.contains(alternative)))
    }

    /// What is wrong with a name that refers to a request or one of its alternatives.
    pub(super) fn check_reference(&self, reference: Place<'_>) {
        let segments: Vec<&str> = reference.text().split('/').collect();
        if segments.len() > 2 {
            return reference.invalid(NO_REQUEST);
        }
        for segment in &segments {
            for fault in names::dns1123_label(segment) {
                reference.invalid_as(*segment, fault);
            }
        }
        if !self.has(segments[0], segments.get(1).copied()) {
            reference.invalid(NO_REQUEST);
        }
    }

    /// What is wrong with a list of such names.
    pub(super) fn check_references(&self, references: Place<'_>) {
        each_once(references, MANY, |reference| self.check_reference(reference), Value::str_or_empty);
    }
}

/// What is wrong with the specification of a claim.
pub(super) fn check(spec: Place<'_>) {
    let devices = spec.get("devices");
    let known = Requests::of(spec.value());
    each_once(devices.get("requests"), MANY, check_request, name);
    each(devices.get("constraints"), MANY, |constraint| check_constraint(constraint, &known));
    each(devices.get("config"), MANY, |config| {
        known.check_references(config.get("requests"));
        check_config(config);
    });
}

/// The name of a request.
fn name(request: &Value) -> &str {
    request.get("name").str_or_empty()
}

fn check_request(request: Place<'_>) {
    check_label(request.get("name"));
    let (exactly, alternatives) = (request.get("exactly"), request.get("firstAvailable"));
    match (exactly.is_set(), alternatives.is_empty()) {
        (true, false) => request.invalid_as(
            Raw("null".to_owned()),
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
        ),
        (false, true) => request.required("exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => check_wanted(exactly),
        (false, false) => {
            let check = |alternative: Place<'_>| {
                check_label(alternative.get("name"));
                check_wanted(alternative);
            };
            each_once(alternatives, SUBREQUESTS_MAX, check, name);
        }
    }
}

/// What is wrong with what devices are wanted, and how many.
fn check_wanted(request: Place<'_>) {
    let class = request.get("deviceClassName");
    if class.text().is_empty() {
        class.required("");
    } else {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    check_selectors(request.get("selectors"));
    let (mode, count) = (request.get("allocationMode"), request.get("count"));
    match mode.text() {
        "All" if count.int() != 0 => {
            count.invalid("must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count.int() <= 0 => count.invalid_number("must be greater than zero"),
        "All" | "ExactCount" => {}
        _ => mode.unsupported(&["All", "ExactCount"]),
    }
    request.get("tolerations").items().for_each(check_toleration);
}

fn check_toleration(toleration: Place<'_>) {
    let (key, value, effect) = (toleration.get("key"), toleration.get("value"), toleration.get("effect"));
    if !key.text().is_empty() {
        check_label_name(key, key.text());
    }
    let operator = toleration.get("operator");
    match operator.text() {
        "Exists" if !value.text().is_empty() => value.invalid("must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => {
            for fault in names::label_value(value.text()) {
                value.invalid_as(value.text(), fault);
            }
        }
        _ => {
            operator.required_one_of(&["Equal", "Exists"]);
        }
    }
    if !effect.text().is_empty() {
        effect.one_of(&EFFECTS);
    }
}

/// What is wrong with selectors of devices.
pub(super) fn check_selectors(selectors: Place<'_>) {
    each(selectors, MANY, |selector| {
        let cel = selector.get("cel");
        if !cel.is_set() {
            return cel.required("");
        }
        let expression = cel.get("expression");
        if expression.text().len() > EXPRESSION_MAX {
            return expression.too_long(EXPRESSION_MAX);
        }
        match selectors::compile(expression.text()) {
            Err(why) => expression.invalid_as(expression.text(), why),
            Ok(program) if program.cost().max > selectors::COST_MAX => {
                expression.forbidden("too complex, exceeds cost limit");
            }
            Ok(_) => {}
        }
    });
}

fn check_constraint(constraint: Place<'_>, known: &Requests<'_>) {
    known.check_references(constraint.get("requests"));
    let (same, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
    if same.is_set() {
        check_fully_qualified_name(same);
    } else if distinct.is_set() {
        check_fully_qualified_name(distinct);
    } else {
        constraint.required(
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        );
    }
}

/// What is wrong with what is told to a driver.
pub(super) fn check_config(config: Place<'_>) {
    let opaque = config.get("opaque");
    if !opaque.is_set() {
        return opaque.required("");
    }
    check_driver(opaque.get("driver"));
    check_free_object(opaque.get("parameters"), PARAMETERS_MAX);
}

/// What is wrong with an object that only a driver understands.
pub(super) fn check_free_object(object: Place<'_>, max: usize) {
    if !object.is_set() {
        object.required("");
    } else if json::to_vec(object.value()).len() > max {
        object.too_long(max);
    } else if object.value().as_object().is_none() {
        object.invalid_as("<value omitted>", "must be a valid JSON object");
    }
}
