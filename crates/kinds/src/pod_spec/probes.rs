//! The rules of probes and of what runs after the start and before the end of a container.

use machinery::names;

use super::Surroundings;
use super::network::check_port_or_name;
use crate::place::Place;

const ONE_HANDLER: &str = "may not specify more than 1 handler type";

pub(super) fn check_all(container: Place<'_>, around: &Surroundings<'_>) {
    let exactly_one = |probe: Place<'_>| {
        let threshold = probe.get("successThreshold");
        if probe.is_set() && threshold.int() != 1 {
            threshold.invalid_number("must be 1");
        }
    };
    let liveness = container.get("livenessProbe");
    check_probe(liveness, around);
    exactly_one(liveness);
    let readiness = container.get("readinessProbe");
    check_probe(readiness, around);
    let grace = readiness.get("terminationGracePeriodSeconds");
    if grace.is_set() {
        grace.invalid("must not be set for readinessProbes");
    }
    let startup = container.get("startupProbe");
    check_probe(startup, around);
    exactly_one(startup);
}

fn check_probe(probe: Place<'_>, around: &Surroundings<'_>) {
    if !probe.is_set() {
        return;
    }
    check_handler(probe, around);
    for member in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        probe.get(member).not_negative();
    }
    let grace = probe.get("terminationGracePeriodSeconds");
    if grace.number().is_some_and(|seconds| seconds <= 0) {
        grace.invalid("must be greater than 0");
    }
}

fn check_handler(handler: Place<'_>, around: &Surroundings<'_>) {
    let mut kinds = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = handler.get(kind);
        if !action.is_set() {
            continue;
        }
        kinds += 1;
        if kinds > 1 {
            action.forbidden(ONE_HANDLER);
            continue;
        }
        match kind {
            "exec" if action.get("command").is_empty() => action.get("command").required(""),
            "exec" => {}
            "httpGet" => check_http_get(action),
            "sleep" => check_sleep(action, around),
            _ => check_port_or_name(action.get("port")),
        }
    }
    if kinds == 0 {
        handler.required("must specify a handler type");
    }
}

fn check_http_get(action: Place<'_>) {
    if action.get("path").text().is_empty() {
        action.get("path").required("");
    }
    check_port_or_name(action.get("port"));
    action.get("scheme").one_of(&["HTTP", "HTTPS"]);
    for header in action.get("httpHeaders").items() {
        let name = header.value().get("name").str_or_empty();
        for fault in names::http_header_name(name) {
            action.get("httpHeaders").invalid_as(name, fault);
        }
    }
}

fn check_sleep(action: Place<'_>, around: &Surroundings<'_>) {
    let seconds = action.value().get("seconds").as_int().unwrap_or(0);
    if let Some(grace) = around.grace_period
        && !(0..=grace).contains(&seconds)
    {
        action.invalid_as(
            seconds,
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
        );
    }
}

pub(super) fn check_lifecycle(lifecycle: Place<'_>, around: &Surroundings<'_>) {
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.get(hook);
        if hook.is_set() {
            check_handler(hook, around);
        }
    }
    let signal = lifecycle.get("stopSignal");
    if signal.is_set() && around.os.is_empty() {
        signal.forbidden("may not be set for containers with empty `spec.os.name`");
    }
}
