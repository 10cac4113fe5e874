//! What changes of a Service mean: what is taken over, what falls away, what may not change.

use machinery::{Value, names};

use super::service::{is_externally_accessible, is_headless, needs_health_check};
use crate::place::{Place, same};
use crate::policy::keep;

fn kind(spec: &Value) -> &str {
    spec.get("type").str_or_empty()
}

fn needs_cluster_ip(spec: &Value) -> bool {
    kind(spec) != "ExternalName"
}

fn needs_node_port(spec: &Value) -> bool {
    match kind(spec) {
        "NodePort" => true,
        "LoadBalancer" => spec.get("allocateLoadBalancerNodePorts").as_bool() != Some(false),
        _ => false,
    }
}

/// `clusterIP` and the first of `clusterIPs` say the same, whichever of them the writer set.
pub fn normalize_cluster_ips(spec: &mut Value, old: Option<&Value>) {
    let address = spec.get("clusterIP").str_or_empty().to_owned();
    let Some(old) = old else {
        if !address.is_empty() && spec.get("clusterIPs").is_empty() {
            spec.set("clusterIPs", vec![Value::from(address)]);
        }
        return;
    };
    let old_address = old.get("clusterIP").str_or_empty();
    if old_address != address {
        if address.is_empty() && !old_address.is_empty() {
            // Unset: the list goes too, unless the writer changed it.
            if same(spec.get("clusterIPs"), old.get("clusterIPs")) {
                spec.remove("clusterIPs");
            }
        } else if spec.get("clusterIPs").is_empty() || same(spec.get("clusterIPs"), old.get("clusterIPs")) {
            spec.set("clusterIPs", vec![Value::from(address)]);
        }
    }
}

/// What was filled in for a type that needed it falls away with the type, unless the writer changed it.
pub fn drop_what_no_longer_applies(spec: &mut Value, old: &Value) {
    let drops = |needs: fn(&Value) -> bool, spec: &Value| needs(old) && !needs(spec);
    let unchanged = |spec: &Value, member: &str| same(spec.get(member), old.get(member));
    if drops(needs_cluster_ip, spec) {
        if unchanged(spec, "clusterIP") && unchanged(spec, "clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for member in ["ipFamilies", "ipFamilyPolicy"] {
            if unchanged(spec, member) {
                spec.remove(member);
            }
        }
    }
    if drops(needs_node_port, spec) {
        let ports = |spec: &Value| -> Vec<i64> {
            spec.get("ports").items().iter().map(|port| port.get("nodePort").as_int().unwrap_or(0)).collect()
        };
        if ports(spec) == ports(old) {
            for port in spec.get_mut("ports").map(Value::items_mut).unwrap_or_default() {
                port.remove("nodePort");
            }
        }
    }
    let balances = |spec: &Value| kind(spec) == "LoadBalancer";
    for (needs, member) in [
        (needs_health_check as fn(&Value) -> bool, "healthCheckNodePort"),
        (is_externally_accessible, "externalTrafficPolicy"),
        (balances, "allocateLoadBalancerNodePorts"),
        (balances, "loadBalancerClass"),
        (needs_cluster_ip, "internalTrafficPolicy"),
    ] {
        if drops(needs, spec) && unchanged(spec, member) {
            spec.remove(member);
        }
    }
}

/// What was allocated and is left out of an update stays.
pub fn keep_allocated(spec: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(spec) {
        if spec.get("clusterIP").str_or_empty().is_empty() {
            keep(spec, old, "clusterIP");
        }
        if spec.get("clusterIPs").is_empty() && same(spec.get("clusterIP"), old.get("clusterIP")) {
            keep(spec, old, "clusterIPs");
        }
        if spec.get("ipFamilies").is_empty() {
            keep(spec, old, "ipFamilies");
        }
        if spec.get("ipFamilyPolicy").is_null() {
            keep(spec, old, "ipFamilyPolicy");
        }
    }
    if needs_node_port(old) && needs_node_port(spec) {
        keep_node_ports(spec, old);
    }
    if needs_health_check(old)
        && needs_health_check(spec)
        && spec.get("healthCheckNodePort").as_int().unwrap_or(0) == 0
    {
        keep(spec, old, "healthCheckNodePort");
    }
}

fn keep_node_ports(spec: &mut Value, old: &Value) {
    let key = |port: &Value| (port.get("protocol").clone(), port.get("port").clone());
    let number = |port: &Value| port.get("nodePort").as_int().unwrap_or(0);
    let used: Vec<i64> = spec.get("ports").items().iter().map(number).filter(|port| *port != 0).collect();
    for port in spec.get_mut("ports").map(Value::items_mut).unwrap_or_default() {
        if number(port) != 0 {
            continue;
        }
        let before = old.get("ports").items().iter().find(|old| key(old) == key(port)).map(number);
        if let Some(before) = before.filter(|before| *before != 0 && !used.contains(before)) {
            port.set("nodePort", before);
        }
    }
}

/// What may not change.
pub(super) fn check(spec: Place<'_>, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(spec.value()) {
        check_addresses(spec, old);
        check_families(spec, old);
    }
    check_load_balancer_class(spec, old);
    let port = spec.get("healthCheckNodePort");
    let old_port = old.get("healthCheckNodePort").as_int().unwrap_or(0);
    if needs_health_check(old) && needs_health_check(spec.value()) && port.int() != old_port {
        port.forbidden("field is immutable");
    }
}

/// The first address stays, and a second one may come or go.
fn check_addresses(spec: Place<'_>, old: &Value) {
    if is_headless(old) && is_headless(spec.value()) {
        return;
    }
    let (addresses, before) = (spec.get("clusterIPs"), old.get("clusterIPs").items());
    let now = addresses.value().items();
    if now.len() == before.len() {
        for position in (0..now.len()).filter(|position| now[*position] != before[*position]) {
            addresses.at_index(position).invalid("may not change once set");
        }
        return;
    }
    if now.is_empty() {
        addresses.at_index(0).invalid("primary clusterIP can not be unset");
    }
    if let (Some(now), Some(before)) = (now.first(), before.first())
        && now != before
    {
        addresses.at_index(0).invalid("may not change once set");
    }
    if now.len() < before.len() {
        check_released(spec, now.len(), "clusterIP");
    }
}

/// The first family stays, unless the Service comes to have an address or loses it.
fn check_families(spec: Place<'_>, old: &Value) {
    if is_headless(old) || is_headless(spec.value()) {
        return;
    }
    let (families, before) = (spec.get("ipFamilies"), old.get("ipFamilies").items());
    let first = families.at_index(0);
    let now = families.value().items();
    if now.len() == before.len() {
        for _ in now.iter().zip(before).filter(|(now, before)| now != before) {
            first.invalid("may not change once set");
        }
        return;
    }
    let addresses = spec.value().get("clusterIPs");
    if now.len() < before.len() && addresses.is_empty() {
        first.invalid("primary ipFamily can not be unset");
    }
    if let (Some(now), Some(before)) = (now.first(), before.first())
        && now != before
    {
        // What is shown are the addresses, as upstream shows them.
        first.invalid_as(addresses, "may not change once set");
    }
    if now.len() < before.len() {
        check_released(spec, now.len(), "ipFamily");
    }
}

/// Whoever gives the second of two back says that one is enough.
fn check_released(spec: Place<'_>, left: usize, what: &str) {
    let policy = spec.get("ipFamilyPolicy");
    if left == 1 && policy.text() != "SingleStack" {
        policy.invalid(format!("must be set to 'SingleStack' when releasing the secondary {what}"));
    }
}

/// What is wrong with the class of a load balancer; it may not change while there is one.
pub(super) fn check_load_balancer_class(spec: Place<'_>, old: &Value) {
    let class = spec.get("loadBalancerClass");
    let balances = kind(spec.value()) == "LoadBalancer";
    if balances && kind(old) == "LoadBalancer" && !same(class.value(), old.get("loadBalancerClass")) {
        class.invalid("may not change once set");
    }
    if !class.is_set() {
        return;
    }
    if balances {
        class.faults(names::qualified_name(class.text()));
    } else {
        class.forbidden("may only be used when `type` is 'LoadBalancer'");
    }
}
