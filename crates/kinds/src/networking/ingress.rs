//! Ingress.

use machinery::{Value, names};

use crate::core::service::check_ingress_points;
use crate::place::Place;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Ingress;

/// The annotation that named the class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Kind for Ingress {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status().second_look(SecondLook::All)
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("loadBalancer", Value::object())]));
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
        let metadata = object.get("metadata");
        let annotations = metadata.value().get("annotations");
        let class = object.value().at(&["spec", "ingressClassName"]);
        let annotated = annotations.get(CLASS_ANNOTATION);
        if !annotated.is_null() && !class.is_null() && annotated != class {
            let place = object.with(annotated);
            place
                .at("annotations")
                .at(CLASS_ANNOTATION)
                .invalid("must match `ingressClassName` when both are specified");
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            let status = object.get("status");
            let balancer = status.get("loadBalancer");
            return check_ingress_points(balancer.get("ingress"));
        }
        check_spec(object.get("spec"));
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = |object: &Value| !object.at(&["metadata", "annotations", CLASS_ANNOTATION]).is_null();
        if annotated(object) && !old.is_some_and(annotated) {
            return vec![format!(
                "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
            )];
        }
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::INGRESS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        let ports = if spec.get("tls").is_empty() { "80" } else { "80, 443" };
        let points: Vec<&str> = object
            .at(&["status", "loadBalancer", "ingress"])
            .items()
            .iter()
            .map(|point| match point.get("ip").str_or_empty() {
                "" => point.get("hostname").str_or_empty(),
                ip => ip,
            })
            .collect();
        vec![
            table::name(object),
            table::text_or(spec.get("ingressClassName"), "<none>"),
            Value::from(hosts(spec)),
            Value::from(points.join(",")),
            Value::from(ports),
            table::age(object, now_secs),
        ]
    }
}

fn hosts(spec: &Value) -> String {
    const SHOWN: usize = 3;
    let all: Vec<&str> = spec
        .get("rules")
        .items()
        .iter()
        .filter(|rule| !rule.get("http").is_null() || !rule.get("host").is_empty())
        .map(|rule| match rule.get("host").str_or_empty() {
            "" => "*",
            host => host,
        })
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    let listed = all[..all.len().min(SHOWN)].join(",");
    match (all.len(), more) {
        (0, _) => "*".to_owned(),
        (_, 0) => listed,
        _ => format!("{listed} + {more} more..."),
    }
}

fn check_spec(spec: Place<'_>) {
    let (rules, backend) = (spec.get("rules"), spec.get("defaultBackend"));
    if rules.is_empty() && !backend.is_set() {
        spec.invalid_as(rules.value(), "either `defaultBackend` or `rules` must be specified");
    }
    if backend.is_set() {
        check_backend(backend);
    }
    for rule in rules.items() {
        check_rule(rule);
    }
    for tls in spec.get("tls").items() {
        for host in tls.get("hosts").items() {
            host.faults(host_faults(host.text()));
        }
        let secret = tls.get("secretName");
        if !secret.text().is_empty() {
            secret.faults(names::dns1123_subdomain(secret.text()));
        }
    }
    let class = spec.get("ingressClassName");
    if class.is_set() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
}

fn host_faults(host: &str) -> names::Faults {
    if host.contains('*') { names::wildcard_subdomain(host) } else { names::dns1123_subdomain(host) }
}

fn check_rule(rule: Place<'_>) {
    let host = rule.get("host");
    if !host.text().is_empty() {
        if names::parse_ip_sloppy(host.text()).is_some() {
            host.invalid("must be a DNS name, not an IP address");
        }
        host.faults(host_faults(host.text()));
    }
    let http = rule.get("http");
    if !http.is_set() {
        return;
    }
    let paths = http.get("paths");
    if paths.is_empty() {
        return paths.required("");
    }
    for path in paths.items() {
        if check_path(path) {
            check_backend(path.get("backend"));
        }
    }
}

/// What is wrong with a path; answers whether its backend is looked at, too.
fn check_path(rule: Place<'_>) -> bool {
    let (path, kind) = (rule.get("path"), rule.get("pathType"));
    if !kind.is_set() {
        kind.required("pathType must be specified");
        return false;
    }
    match kind.text() {
        "Exact" | "Prefix" => {
            if !path.text().starts_with('/') {
                path.invalid_as(path.text(), "must be an absolute path");
            }
            if path.text().is_empty() {
                return true;
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.text().contains(part) {
                    path.invalid(format!("must not contain '{part}'"));
                }
            }
            for part in ["/..", "/."] {
                if path.text().ends_with(part) {
                    path.invalid(format!("cannot end with '{part}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.text().is_empty() && !path.text().starts_with('/') {
                path.invalid("must be an absolute path");
            }
        }
        _ => kind.unsupported(&["Exact", "ImplementationSpecific", "Prefix"]),
    }
    true
}

fn check_backend(backend: Place<'_>) {
    let (service, resource) = (backend.get("service"), backend.get("resource"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => return backend.invalid_as("", "cannot set both resource and service backends"),
        (false, false) => return backend.invalid_as("", "resource or service backend is required"),
        (true, false) => {
            let group = resource.get("apiGroup");
            if group.is_set() {
                group.faults(names::dns1123_subdomain(group.text()));
            }
            for place in [resource.get("kind"), resource.get("name")] {
                if place.text().is_empty() {
                    place.required("");
                } else {
                    place.faults(names::path_segment(place.text()));
                }
            }
            return;
        }
        (false, true) => {}
    }
    let name = service.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_label(name.text()));
    }
    let port = service.get("port");
    let (number, named) = (port.get("number"), port.get("name"));
    let (has_number, has_name) = (number.int() != 0, !named.text().is_empty());
    if has_number && has_name {
        backend.invalid_as("", "cannot set both port name & port number");
    } else if has_number {
        for fault in names::port_number(number.int()) {
            number.invalid(fault);
        }
    } else if has_name {
        named.faults(names::port_name(named.text()));
    } else {
        backend.required("port name or number is required");
    }
}
