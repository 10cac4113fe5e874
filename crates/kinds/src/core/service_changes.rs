//! What changes of a Service mean: what is taken over, what falls away, what may not change.

use machinery::{Value, names};

use super::service::{is_externally_accessible, needs_health_check};
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
        for member in ["ipFamilies", "ipFamilyPolicy"] {
            if spec.get(member).is_empty() {
                keep(spec, old, member);
            }
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
        let first = |spec: &Value, member: &str| -> String {
            spec.get(member).items().first().map(Value::str_or_empty).unwrap_or_default().to_owned()
        };
        for member in ["clusterIPs", "ipFamilies"] {
            let (new, was) = (first(spec.value(), member), first(old, member));
            let place = spec.get(member);
            if was.is_empty() || new == was {
                continue;
            }
            if new.is_empty() {
                let told = if member == "clusterIPs" {
                    "primary clusterIP can not be unset"
                } else {
                    "primary ipFamily can not be unset"
                };
                place.at_index(0).invalid(told);
            } else {
                place.at_index(0).invalid("may not change once set");
            }
        }
    }
    check_load_balancer_class(spec, old);
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
