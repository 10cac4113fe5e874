//! What a Service gets from the cluster: addresses and node ports, taken in the same transaction as the Service itself.

mod addresses;
mod families;
mod ports;

use machinery::field::Errors;
use machinery::{Status, Value};
use store::Txn;

use crate::registry::Served;
use crate::write::Request;

/// The collection of node ports that are taken. It is no resource of the API.
pub const NODE_PORTS: &str = "ironclad/nodeports";
/// The collection of cluster addresses that are taken.
pub const ADDRESSES: &str = "networking.k8s.io/ipaddresses";

/// Whether a Service of this type has an address of its own.
fn needs_address(service: &Value) -> bool {
    matches!(kind_of(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Whether a Service of this type has node ports.
fn needs_ports(service: &Value) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => service.at(&["spec", "allocateLoadBalancerNodePorts"]).as_bool() != Some(false),
        _ => false,
    }
}

/// Whether a Service has a port where nodes tell whether they have endpoints.
fn needs_health_port(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer"
        && service.at(&["spec", "externalTrafficPolicy"]).str_or_empty() == "Local"
}

fn kind_of(service: &Value) -> &str {
    match service.at(&["spec", "type"]).str_or_empty() {
        "" => "ClusterIP",
        named => named,
    }
}

/// Gives a Service what it needs and takes back what it no longer does: what else its transaction must check and write.
pub fn allocate(request: Request<'_>, object: &mut Value, old: Option<&Value>) -> Result<Txn, Status> {
    let mut txn = Txn::default();
    if !request.served.is("", "services") || !request.subresource.is_empty() {
        return Ok(txn);
    }
    if let Some(old) = old {
        keep_allocated(object, old);
    }
    normalize(object, old);
    let mut errors = Errors::new();
    families::complete(&request.core.config.service_cidrs, object, old, &mut errors);
    let refuse = |errors: &Errors, object: &Value| {
        request.refuse_if(errors, object.at(&["metadata", "name"]).str_or_empty())
    };
    refuse(&errors, object)?;
    addresses::allocate(request, object, old, &mut txn, &mut errors)?;
    refuse(&errors, object)?;
    ports::allocate(request, object, old, &mut txn, &mut errors)?;
    refuse(&errors, object)?;
    Ok(txn)
}

/// What the transaction that removes a Service must write as well.
pub fn release(served: &Served, old: &Value) -> Txn {
    let mut txn = Txn::default();
    if served.is("", "services") {
        for address in addresses::of(old) {
            txn.writes.push(store::Write::Delete(addresses::key(&address)));
        }
        for port in ports::of(old) {
            txn.writes.push(store::Write::Delete(ports::key(port)));
        }
    }
    txn
}

/// An update that leaves allocated values out keeps them.
fn keep_allocated(object: &mut Value, old: &Value) {
    if needs_address(old) && needs_address(object) {
        let before = old.at(&["spec", "clusterIP"]).clone();
        let spec = object.entry("spec");
        if spec.get("clusterIP").str_or_empty().is_empty() {
            spec.set("clusterIP", before.clone());
        }
        if spec.get("clusterIPs").items().is_empty() && *spec.get("clusterIP") == before {
            spec.set("clusterIPs", old.at(&["spec", "clusterIPs"]).clone());
        }
    }
    if needs_ports(old) && needs_ports(object) {
        ports::keep(object, old);
    }
    if needs_health_port(old) && needs_health_port(object) {
        let before = old.at(&["spec", "healthCheckNodePort"]).clone();
        let spec = object.entry("spec");
        if spec.get("healthCheckNodePort").as_int().unwrap_or(0) == 0 {
            spec.set("healthCheckNodePort", before);
        }
    }
}

/// `clusterIP` and `clusterIPs` say the same, although a client may know and change the first alone.
fn normalize(object: &mut Value, old: Option<&Value>) {
    let spec = object.entry("spec");
    let single = spec.get("clusterIP").str_or_empty().to_owned();
    let follows = match old.map(|old| old.get("spec")) {
        None => spec.get("clusterIPs").items().is_empty() && !single.is_empty(),
        Some(old) => {
            old.get("clusterIP").str_or_empty() != single
                && old.get("clusterIPs").items() == spec.get("clusterIPs").items()
        }
    };
    if !follows {
        return;
    }
    let all = if single.is_empty() { Value::Null } else { Value::from(vec![Value::from(single)]) };
    spec.set("clusterIPs", all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_one_address_only_changes_all() {
        let service = |text: &str| machinery::json::parse(text.as_bytes()).unwrap();
        let old = r#"{"spec":{"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]}}"#;
        for (old, new, expected) in [
            (None, r#"{"spec":{"clusterIP":"None"}}"#, r#"["None"]"#),
            (None, r#"{"spec":{"clusterIP":"a","clusterIPs":["b"]}}"#, r#"["b"]"#),
            (None, r#"{"spec":{}}"#, "null"),
            (Some(old), r#"{"spec":{"clusterIP":"x","clusterIPs":["10.0.0.1"]}}"#, r#"["x"]"#),
            (Some(old), r#"{"spec":{"clusterIP":"","clusterIPs":["10.0.0.1"]}}"#, "null"),
            (Some(old), r#"{"spec":{"clusterIP":"x","clusterIPs":["y"]}}"#, r#"["y"]"#),
            (Some(old), old, r#"["10.0.0.1"]"#),
        ] {
            let mut object = service(new);
            normalize(&mut object, old.map(service).as_ref());
            assert_eq!(machinery::json::to_string(object.at(&["spec", "clusterIPs"])), expected, "{new}");
        }
    }
}
