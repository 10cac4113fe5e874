//! Requests for devices and how devices are chosen and configured.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::selectors;
use crate::place::Place;
use crate::pod_spec::defaults::{members, or_number, or_text};

const REQUESTS_MAX: usize = 32;
const SELECTORS_MAX: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const EXPRESSION_MAX: usize = 10 * 1024;

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

/// What is wrong with the specification of a claim.
pub(super) fn check(spec: Place<'_>) {
    let devices = spec.get("devices");
    let requests = devices.get("requests");
    if requests.len() > REQUESTS_MAX {
        requests.too_many(requests.len(), REQUESTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for request in requests.items() {
        let name = request.get("name");
        check_name(name);
        if !name.text().is_empty() && !seen.insert(name.key()) {
            request.duplicate_as(name.text());
        }
        let (exactly, alternatives) = (request.get("exactly"), request.get("firstAvailable"));
        match (exactly.is_set(), alternatives.is_empty()) {
            (true, false) => {
                let shown = crate::internal::show("DeviceRequest", request.value());
                request.invalid_as(
                    crate::place::Raw(shown),
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
                );
            }
            (false, true) => request.required("exactly one of `exactly` or `firstAvailable` is required"),
            (true, true) => check_request(exactly),
            (false, false) => {
                if alternatives.len() > SUBREQUESTS_MAX {
                    alternatives.too_many(alternatives.len(), SUBREQUESTS_MAX);
                }
                let mut names_seen = BTreeSet::new();
                for alternative in alternatives.items() {
                    let name = alternative.get("name");
                    check_name(name);
                    if !names_seen.insert(name.key()) {
                        alternative.duplicate_as(name.text());
                    }
                    check_request(alternative);
                }
            }
        }
    }
    let known = known_requests(requests.value());
    for constraint in devices.get("constraints").items() {
        check_references(constraint.get("requests"), &known);
        let attribute = constraint.get("matchAttribute");
        if attribute.is_set() {
            check_attribute_name(attribute);
        } else if !constraint.get("distinctAttribute").is_set() {
            attribute.required("");
        }
    }
    for config in devices.get("config").items() {
        check_references(config.get("requests"), &known);
        check_config(config);
    }
}

fn known_requests(requests: &Value) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for request in requests.items() {
        let name = request.get("name").str_or_empty();
        known.insert(name.to_owned());
        for alternative in request.get("firstAvailable").items() {
            known.insert(format!("{name}/{}", alternative.get("name").str_or_empty()));
        }
    }
    known
}

fn check_references(references: Place<'_>, known: &BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    for reference in references.items() {
        if !known.contains(reference.text()) {
            reference.invalid(
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            );
        }
        if !seen.insert(reference.key()) {
            reference.duplicate();
        }
    }
}

fn check_name(name: Place<'_>) {
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_label(name.text()));
    }
}

fn check_request(request: Place<'_>) {
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
    for toleration in request.get("tolerations").items() {
        let (key, operator) = (toleration.get("key"), toleration.get("operator"));
        if key.text().is_empty() && operator.text() != "Exists" {
            operator.required("must be 'Exists' when 'key' is empty");
        }
        operator.required_one_of(&["Equal", "Exists"]);
    }
}

/// What is wrong with selectors of devices.
pub(super) fn check_selectors(selectors: Place<'_>) {
    if selectors.len() > SELECTORS_MAX {
        selectors.too_many(selectors.len(), SELECTORS_MAX);
    }
    for selector in selectors.items() {
        let cel = selector.get("cel");
        if !cel.is_set() {
            cel.required("");
            continue;
        }
        let expression = cel.get("expression");
        if expression.text().is_empty() {
            expression.required("");
        } else if expression.text().len() > EXPRESSION_MAX {
            expression.too_long(EXPRESSION_MAX);
        } else if let Err(why) = selectors::compile(expression.text()) {
            expression.invalid(why);
        }
    }
}

/// What is wrong with what is told to a driver.
pub(super) fn check_config(config: Place<'_>) {
    let opaque = config.get("opaque");
    if !opaque.is_set() {
        return opaque.required("");
    }
    check_driver(opaque.get("driver"));
    let parameters = opaque.get("parameters");
    if !parameters.is_set() {
        parameters.required("");
    } else if parameters.value().as_object().is_none() {
        parameters.invalid_as("<value omitted>", "must be a valid JSON object");
    }
}

/// What is wrong with the name of a driver.
pub(super) fn check_driver(driver: Place<'_>) {
    if driver.text().is_empty() {
        return driver.required("");
    }
    if driver.text().len() > names::LABEL_MAX {
        driver.too_long(names::LABEL_MAX);
    }
    driver.faults(names::dns1123_subdomain(driver.text()));
}

fn check_attribute_name(name: Place<'_>) {
    let Some((domain, identifier)) = name.text().split_once('/') else {
        return name.invalid("must include a domain");
    };
    if domain.is_empty() {
        name.required("the domain must not be empty");
    } else {
        for fault in names::dns1123_subdomain(domain) {
            name.invalid_as(domain, fault);
        }
    }
    if identifier.is_empty() {
        name.required("the name must not be empty");
    } else {
        for fault in names::c_identifier(identifier) {
            name.invalid_as(identifier, fault);
        }
    }
}
