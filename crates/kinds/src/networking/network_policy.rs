//! NetworkPolicy.

use std::net::IpAddr;

use machinery::{Value, names};

use crate::label_selector::{self, Values};
use crate::place::Place;
use crate::pod_spec::defaults::{members, or};
use crate::policy::{NameRule, Policy};
use crate::{Column, Kind, columns, table};

/// The kind.
pub struct NetworkPolicy;

impl Kind for NetworkPolicy {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or(spec, "podSelector", Value::object());
        if spec.get("policyTypes").is_empty() {
            let mut types = vec![Value::from("Ingress")];
            if !spec.get("egress").is_empty() {
                types.push(Value::from("Egress"));
            }
            spec.set("policyTypes", types);
        }
        for direction in ["ingress", "egress"] {
            for rule in members(spec, direction) {
                for port in members(rule, "ports") {
                    or(port, "protocol", "TCP");
                }
            }
        }
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        label_selector::check(spec.get("podSelector"), Values::Valid);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let rules = spec.get(direction);
            for rule in rules.items() {
                for port in rule.get("ports").items() {
                    check_port(port);
                }
                for peer in rule.get(peers).items() {
                    check_peer(peer);
                }
            }
        }
        let types = spec.get("policyTypes");
        if types.len() > 2 {
            return types.invalid("may not specify more than two policyTypes");
        }
        for kind in types.items() {
            kind.one_of(&["Ingress", "Egress"]);
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::NETWORK_POLICY
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![
            table::name(object),
            table::selector(object.at(&["spec", "podSelector"])),
            table::age(object, now_secs),
        ]
    }
}

fn check_port(port: Place<'_>) {
    let (protocol, number, end) = (port.get("protocol"), port.get("port"), port.get("endPort"));
    if protocol.is_set() {
        protocol.one_of(&["TCP", "UDP", "SCTP"]);
    }
    match number.value() {
        Value::Null => {
            if end.is_set() {
                end.invalid("may not be specified when `port` is not specified");
            }
        }
        Value::String(name) => {
            if end.is_set() {
                end.invalid("may not be specified when `port` is non-numeric");
            }
            number.faults(names::port_name(name));
        }
        _ => {
            for fault in names::port_number(number.int()) {
                number.invalid(fault);
            }
            if end.is_set() {
                if end.int() < number.int() {
                    end.invalid_as(number.int(), "must be greater than or equal to `port`");
                }
                for fault in names::port_number(end.int()) {
                    end.invalid(fault);
                }
            }
        }
    }
}

fn check_peer(peer: Place<'_>) {
    let mut kinds = 0;
    for member in ["podSelector", "namespaceSelector"] {
        let selector = peer.get(member);
        if selector.is_set() {
            kinds += 1;
            label_selector::check(selector, Values::Valid);
        }
    }
    let block = peer.get("ipBlock");
    if block.is_set() {
        kinds += 1;
        check_block(block);
    }
    if kinds == 0 {
        peer.required("must specify a peer");
    } else if kinds > 1 && block.is_set() {
        peer.forbidden("may not specify both ipBlock and another peer");
    }
}

fn check_block(block: Place<'_>) {
    let cidr = block.get("cidr");
    if cidr.text().is_empty() {
        return cidr.required("");
    }
    let faults = names::legacy_cidr(cidr.text());
    if !faults.is_empty() {
        return cidr.faults(faults);
    }
    let Some(outer) = names::parse_cidr_sloppy(cidr.text()) else { return };
    for except in block.get("except").items() {
        let faults = names::legacy_cidr(except.text());
        if !faults.is_empty() {
            return except.faults(faults);
        }
        let within =
            names::parse_cidr_sloppy(except.text()).is_some_and(|inner| strictly_within(inner, outer));
        if !within {
            except.invalid(format!("must be a strict subset of `cidr`: \"{}\"", cidr.text()));
        }
    }
}

fn strictly_within(inner: (IpAddr, u8), outer: (IpAddr, u8)) -> bool {
    let network = |address: IpAddr, length: u8| match address {
        IpAddr::V4(address) => {
            (4, u128::from(address.to_bits().checked_shr(u32::from(32 - length)).unwrap_or(0)))
        }
        IpAddr::V6(address) => (6, address.to_bits().checked_shr(u32::from(128 - length)).unwrap_or(0)),
    };
    inner.1 > outer.1 && network(inner.0, outer.1) == network(outer.0, outer.1)
}
