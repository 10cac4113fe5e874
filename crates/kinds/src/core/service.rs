//! Service. Addresses and ports are allocated by the server; here stands what must hold before and after.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::endpoints::check_ordinary_address;
use super::service_changes;
use crate::internal;
use crate::metadata::check_labels;
use crate::place::{Place, Raw};
use crate::pod_spec::check_port_or_name;
use crate::pod_spec::defaults::{members, or, or_text};
use crate::policy::{NameRule, Policy, SecondLook, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Service;

/// The port of the kubelet, which must not be published.
const KUBELET_PORT: i64 = 10_250;
/// The longest time that clients stay with the same endpoint.
const AFFINITY_MAX: i64 = 86_400;
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const NOT_EXTERNAL_NAME: &str = "may not be set for ExternalName services";

impl Kind for Service {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Label).create_on_update().status().second_look(SecondLook::No)
    }

    fn default(&self, object: &mut Value) {
        default_spec(object.entry("spec"));
        let ingress = object.at(&["status", "loadBalancer", "ingress"]);
        if object.at(&["spec", "type"]).str_or_empty() == "LoadBalancer" && !ingress.is_empty() {
            let status = object.entry("status");
            for point in members(status.entry("loadBalancer"), "ingress") {
                if !point.get("ip").str_or_empty().is_empty() {
                    or(point, "ipMode", "VIP");
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("loadBalancer", Value::object())]));
        service_changes::normalize_cluster_ips(object.entry("spec"), None);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return keep_all_but(object, old, &["status"]);
        }
        keep(object, old, "status");
        let old_spec = old.get("spec");
        let spec = object.entry("spec");
        service_changes::normalize_cluster_ips(spec, Some(old_spec));
        service_changes::drop_what_no_longer_applies(spec, old_spec);
        service_changes::keep_allocated(spec, old_spec);
        if spec.get("type").str_or_empty() != "LoadBalancer" {
            object.entry("status").set("loadBalancer", Value::object());
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object);
        }
        let spec = object.get("spec");
        service_changes::check(spec, old.get("spec"));
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_spec(object);
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let spec = object.get("spec");
        let kind = spec.get("type").str_or_empty();
        let mut warnings = Vec::new();
        if kind != "ExternalName" && !spec.get("externalName").str_or_empty().is_empty() {
            warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
        }
        if !spec.get("loadBalancerIP").str_or_empty().is_empty() && kind != "LoadBalancer" {
            warnings.push("spec.loadBalancerIP is ignored when spec.type is not \"LoadBalancer\"".to_owned());
        }
        if !spec.get("externalIPs").is_empty() {
            if kind == "ExternalName" {
                warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
            } else {
                let text = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
                warnings.push(text.to_owned());
            }
        }
        if kind == "ExternalName" && spec.get("sessionAffinity").str_or_empty() == "ClientIP" {
            warnings.push("spec.sessionAffinity is ignored when spec.type is \"ExternalName\"".to_owned());
        }
        if spec.get("clusterIP").str_or_empty() == "None"
            && spec.get("sessionAffinity").str_or_empty() == "ClientIP"
        {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
        warnings
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |member: &str| object.at(&["spec", member]).str_or_empty().to_owned();
        vec![("spec.clusterIP", text("clusterIP")), ("spec.type", text("type"))]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::SERVICE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        vec![
            table::name(object),
            table::text(spec.get("type")),
            match spec.get("clusterIPs").items().first() {
                Some(first) => table::text(first),
                None => Value::from("<none>"),
            },
            Value::from(external_addresses(object)),
            Value::from(shown_ports(spec)),
            table::age(object, now_secs),
            table::labels(spec.get("selector")),
        ]
    }
}

fn default_spec(spec: &mut Value) {
    or_text(spec, "sessionAffinity", "None");
    match spec.get("sessionAffinity").str_or_empty() {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => or(spec.at_mut(&["sessionAffinityConfig", "clientIP"]), "timeoutSeconds", 10_800i64),
        _ => {}
    }
    or_text(spec, "type", "ClusterIP");
    for port in members(spec, "ports") {
        or_text(port, "protocol", "TCP");
        let target = port.get("targetPort");
        if target.is_empty() {
            let number = port.get("port").as_int().unwrap_or(0);
            port.set("targetPort", number);
        }
    }
    if is_externally_accessible(spec) {
        or_text(spec, "externalTrafficPolicy", "Cluster");
    }
    let kind = spec.get("type").str_or_empty().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        or(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        or(spec, "allocateLoadBalancerNodePorts", true);
    }
}

pub(super) fn is_externally_accessible(spec: &Value) -> bool {
    match spec.get("type").str_or_empty() {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.get("externalIPs").is_empty(),
        _ => false,
    }
}

/// Whether load balancers ask each node for its health at a port of its own.
pub fn needs_health_check(spec: &Value) -> bool {
    spec.get("type").str_or_empty() == "LoadBalancer"
        && spec.get("externalTrafficPolicy").str_or_empty() == "Local"
}

/// Whether there is no address before the pods.
pub fn is_headless(spec: &Value) -> bool {
    let addresses = spec.get("clusterIPs").items();
    matches!(addresses, [only] if only.str_or_empty() == "None")
}

fn check_spec(object: Place<'_>) {
    let spec = object.get("spec");
    let kind = spec.get("type").text();
    let headless = is_headless(spec.value());
    let ports = spec.get("ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        ports.required("");
    }
    match kind {
        "LoadBalancer" => {
            for port in ports.items().filter(|port| port.get("port").int() == KUBELET_PORT) {
                port.invalid_as(
                    KUBELET_PORT,
                    format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet"),
                );
            }
            refuse_headless(spec, headless, "LoadBalancer");
        }
        "NodePort" => refuse_headless(spec, headless, "NodePort"),
        "ExternalName" => check_external_name(spec),
        _ => {}
    }
    check_ports(ports);
    check_labels(spec.get("selector"));
    check_affinity(spec);
    check_cluster_ips(spec);
    for address in spec.get("externalIPs").items() {
        let faults = names::legacy_ip(address.text());
        if faults.is_empty() {
            check_ordinary_address(address);
        } else {
            address.faults(faults);
        }
    }
    spec.get("type").required_one_of(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    check_distinct_ports(ports, kind);
    check_source_ranges(object, spec);
    let allocate = spec.get("allocateLoadBalancerNodePorts");
    if allocate.is_set() && kind != "LoadBalancer" {
        allocate.forbidden(ONLY_LOAD_BALANCER);
    }
    if !allocate.is_set() && kind == "LoadBalancer" {
        allocate.required("");
    }
    service_changes::check_load_balancer_class(spec, &Value::Null);
    check_traffic(spec);
}

fn refuse_headless(spec: Place<'_>, headless: bool, kind: &str) {
    if headless {
        let addresses = spec.get("clusterIPs");
        addresses.at_index(0).invalid_as("None", format!("may not be set to 'None' for {kind} services"));
    }
}

fn check_external_name(spec: Place<'_>) {
    for member in ["clusterIPs", "ipFamilies"] {
        if !spec.get(member).is_empty() {
            spec.get(member).forbidden(NOT_EXTERNAL_NAME);
        }
    }
    if spec.get("ipFamilyPolicy").is_set() {
        spec.get("ipFamilyPolicy").forbidden(NOT_EXTERNAL_NAME);
    }
    let name = spec.get("externalName");
    match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => name.required(""),
        text => {
            for fault in names::dns1123_subdomain(text) {
                name.invalid_as(text, fault);
            }
        }
    }
}

fn check_ports(ports: Place<'_>) {
    let several = ports.len() > 1;
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if several && name.text().is_empty() {
            name.required("");
        } else if !name.text().is_empty() {
            name.faults(names::dns1123_label(name.text()));
            if !seen.insert(name.key()) {
                name.duplicate();
            }
        }
        let number = port.get("port");
        for fault in names::port_number(number.int()) {
            number.invalid_as(number.int(), fault);
        }
        port.get("protocol").required_one_of(&["SCTP", "TCP", "UDP"]);
        check_port_or_name(port.get("targetPort"));
        let protocol = port.get("appProtocol");
        if protocol.is_set() {
            protocol.faults(names::qualified_name(protocol.text()));
        }
    }
}

fn check_distinct_ports(ports: Place<'_>, kind: &str) {
    if kind == "ClusterIP" {
        for port in ports.items().filter(|port| port.get("nodePort").int() != 0) {
            port.get("nodePort").forbidden("may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let number = port.get("nodePort").int();
        if number != 0 && !seen.insert((port.value().get("protocol").str_or_empty(), number)) {
            port.get("nodePort").duplicate();
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let key = (port.value().get("protocol").str_or_empty(), port.get("port").int());
        if !seen.insert(key) {
            let shown = Value::from([("protocol", Value::from(key.0)), ("port", Value::from(key.1))]);
            port.duplicate_as(Raw(internal::show("ServicePort", &shown)));
        }
    }
}

fn check_affinity(spec: Place<'_>) {
    let affinity = spec.get("sessionAffinity");
    affinity.required_one_of(&["ClientIP", "None"]);
    let config = spec.get("sessionAffinityConfig");
    match affinity.text() {
        "ClientIP" => {
            let client = config.get("clientIP");
            let seconds = client.get("timeoutSeconds");
            let needed = "when session affinity type is ClientIP";
            if !config.is_set() {
                config.required(needed);
            } else if !client.is_set() {
                client.required(needed);
            } else if !seconds.is_set() {
                seconds.required(needed);
            } else if !(1..=AFFINITY_MAX).contains(&seconds.int()) {
                seconds.invalid(format!("must be greater than 0 and less than {AFFINITY_MAX}"));
            }
        }
        "None" if config.is_set() => config.forbidden("must not be set when session affinity is None"),
        _ => {}
    }
}

fn check_cluster_ips(spec: Place<'_>) {
    if spec.get("type").text() == "ExternalName" {
        return;
    }
    let before = spec.error_count();
    let (address, addresses) = (spec.get("clusterIP").text(), spec.get("clusterIPs"));
    let first = addresses.value().items().first().map(Value::str_or_empty);
    match (address, first) {
        ("", Some(_)) => addresses.invalid("must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => addresses.required(""),
        (address, Some(first)) if address != first => addresses.invalid("first value must match `clusterIP`"),
        _ => {}
    }
    let families = spec.get("ipFamilies");
    let mut seen = BTreeSet::new();
    for family in families.items() {
        family.one_of(&["IPv4", "IPv6"]);
        if !seen.insert(family.key()) {
            family.duplicate();
        }
    }
    let policy = spec.get("ipFamilyPolicy");
    if policy.is_set() {
        policy.one_of(&["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    let mut malformed = false;
    for (position, address) in addresses.items().enumerate() {
        if position == 0 && address.text() == "None" {
            if addresses.len() > 1 {
                malformed = true;
                addresses.invalid("'None' must be the first and only value");
            }
            continue;
        }
        let faults = names::ip(address.text());
        malformed |= !faults.is_empty();
        address.faults(faults);
    }
    if addresses.len() > 2 {
        addresses.invalid("may only hold up to 2 values");
    }
    if malformed {
        return;
    }
    let is_six = |address: &Value| address.str_or_empty().contains(':');
    if let [first, second] = addresses.value().items()
        && is_six(first) == is_six(second)
    {
        addresses.invalid("may specify no more than one IP for each IP family");
    }
    if is_headless(spec.value()) || spec.error_count() != before {
        return;
    }
    for (position, (address, family)) in addresses.items().zip(families.items()).enumerate() {
        let wanted = family.text();
        if is_six(address.value()) != (wanted == "IPv6") {
            address.invalid(format!("expected an {wanted} value as indicated by `ipFamilies[{position}]`"));
        }
    }
}

const RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn check_source_ranges(object: Place<'_>, spec: Place<'_>) {
    let load_balancer = spec.get("type").text() == "LoadBalancer";
    let ranges = spec.value().get("loadBalancerSourceRanges");
    let place = spec.with(ranges);
    let place = place.at("LoadBalancerSourceRanges");
    if !ranges.is_empty() {
        if !load_balancer {
            place.forbidden(ONLY_LOAD_BALANCER);
        }
        for range in place.items() {
            let text = range.text().trim();
            for fault in names::legacy_cidr(text) {
                range.invalid_as(text, fault);
            }
        }
        return;
    }
    let metadata = object.get("metadata");
    let annotations = metadata.get("annotations");
    let written = annotations.value().get(RANGES_ANNOTATION);
    if written.is_null() {
        return;
    }
    let place = annotations.with(written);
    let place = place.at_key(RANGES_ANNOTATION);
    if !load_balancer {
        return place.forbidden(ONLY_LOAD_BALANCER);
    }
    let text = written.str_or_empty().trim();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        if !names::legacy_cidr(range.trim()).is_empty() {
            place.invalid_as(text, "must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24");
            return;
        }
    }
}

fn check_traffic(spec: Place<'_>) {
    let external = spec.get("externalTrafficPolicy");
    if is_externally_accessible(spec.value()) {
        external.required_one_of(&["Cluster", "Local"]);
    } else if !external.text().is_empty() {
        external.invalid("may only be set for externally-accessible services");
    }
    let health = spec.get("healthCheckNodePort");
    if !needs_health_check(spec.value()) {
        if health.int() != 0 {
            health.invalid(
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            );
        }
    } else if health.int() == 0 {
        health.required("");
    } else {
        for fault in names::port_number(health.int()) {
            health.invalid(fault);
        }
    }
    let internal = spec.get("internalTrafficPolicy");
    if internal.is_set() {
        internal.one_of(&["Cluster", "Local"]);
    } else if matches!(spec.get("type").text(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        internal.required("");
    }
    let distribution = spec.get("trafficDistribution");
    if distribution.is_set() {
        distribution.one_of(&["PreferClose", "PreferSameZone", "PreferSameNode"]);
    }
}

/// What is wrong with the points at which a load balancer takes traffic.
pub(crate) fn check_ingress_points(points: Place<'_>) {
    for point in points.items() {
        let (ip, hostname) = (point.get("ip"), point.get("hostname"));
        if !ip.text().is_empty() {
            ip.faults(names::legacy_ip(ip.text()));
        }
        if !hostname.text().is_empty() {
            hostname.faults(names::dns1123_subdomain(hostname.text()));
            if names::parse_ip_sloppy(hostname.text()).is_some() {
                hostname.invalid("must be a DNS name, not an IP address");
            }
        }
    }
}

fn check_status(object: Place<'_>) {
    let status = object.get("status");
    let balancer = status.get("loadBalancer");
    let points = balancer.get("ingress");
    if object.value().at(&["spec", "type"]).str_or_empty() != "LoadBalancer" && !points.is_empty() {
        points.forbidden("may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for point in points.items() {
        let mode = point.get("ipMode");
        if !point.get("ip").text().is_empty() && !mode.is_set() {
            mode.required("must be specified when `ip` is set");
        } else if mode.is_set() && point.get("ip").text().is_empty() {
            mode.forbidden("may not be specified when `ip` is not set");
        } else if mode.is_set() {
            mode.one_of(&["VIP", "Proxy"]);
        }
    }
    check_ingress_points(points);
}

fn external_addresses(object: &Value) -> String {
    let spec = object.get("spec");
    let outside: Vec<&str> = spec.get("externalIPs").items().iter().map(Value::str_or_empty).collect();
    let listed = |list: &[&str]| if list.is_empty() { "<none>".to_owned() } else { list.join(",") };
    match spec.get("type").str_or_empty() {
        "ClusterIP" | "NodePort" => listed(&outside),
        "LoadBalancer" => {
            let points = object.at(&["status", "loadBalancer", "ingress"]).items();
            let mut all: Vec<&str> = points
                .iter()
                .map(|point| match point.get("ip").str_or_empty() {
                    "" => point.get("hostname").str_or_empty(),
                    ip => ip,
                })
                .collect::<BTreeSet<&str>>()
                .into_iter()
                .collect();
            all.extend(outside);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => spec.get("externalName").str_or_empty().to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn shown_ports(spec: &Value) -> String {
    let shown: Vec<String> = spec
        .get("ports")
        .items()
        .iter()
        .map(|port| {
            let number = |member: &str| port.get(member).as_int().unwrap_or(0);
            let protocol = port.get("protocol").str_or_empty();
            match number("nodePort") {
                0 => format!("{}/{protocol}", number("port")),
                node => format!("{}:{node}/{protocol}", number("port")),
            }
        })
        .collect();
    if shown.is_empty() { "<none>".to_owned() } else { shown.join(",") }
}
