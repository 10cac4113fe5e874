//! EndpointSlice.

use std::collections::BTreeSet;

use machinery::field::go_quote;
use machinery::{Value, names};

use crate::core::endpoints::check_ordinary_address;
use crate::place::Place;
use crate::place::same;
use crate::pod_spec::defaults::{members, or};
use crate::policy::{NameRule, Policy, SecondLook, count_generation};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct EndpointSlice;

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const HINTS_MAX: usize = 8;
/// How many endpoints or ports a row shows.
const SHOWN: usize = 3;

impl Kind for EndpointSlice {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().second_look(SecondLook::No)
    }

    fn default(&self, object: &mut Value) {
        for port in members(object, "ports") {
            or(port, "name", "");
            or(port, "protocol", "TCP");
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _door: Door<'_>) {
        count_generation(object, old, |object, old| {
            let labels = ["metadata", "labels"];
            same(object.at(&labels), old.at(&labels))
                && ["endpoints", "ports", "addressType"]
                    .iter()
                    .all(|member| same(object.get(member), old.get(member)))
        });
    }

    fn check(&self, object: Place<'_>) {
        let kind = object.get("addressType");
        kind.required_one_of(&["FQDN", "IPv4", "IPv6"]);
        check_endpoints(object.get("endpoints"), kind.text());
        check_ports(object.get("ports"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
        object.get("addressType").immutable(old.get("addressType"));
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::ENDPOINT_SLICE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let ports: Vec<String> = object
            .get("ports")
            .items()
            .iter()
            .map(|port| match port.get("port").as_int() {
                Some(number) => number.to_string(),
                None => "*".to_owned(),
            })
            .collect();
        let addresses: Vec<String> = object
            .get("endpoints")
            .items()
            .iter()
            .flat_map(|endpoint| endpoint.get("addresses").items())
            .map(|address| address.str_or_empty().to_owned())
            .collect();
        vec![
            table::name(object),
            table::text(object.get("addressType")),
            Value::from(listed(ports)),
            Value::from(listed(addresses)),
            table::age(object, now_secs),
        ]
    }
}

fn listed(mut texts: Vec<String>) -> String {
    if texts.is_empty() {
        return "<unset>".to_owned();
    }
    let more = texts.len().saturating_sub(SHOWN);
    texts.truncate(SHOWN);
    let listed = texts.join(",");
    if more > 0 { format!("{listed} + {more} more...") } else { listed }
}

fn check_endpoints(endpoints: Place<'_>, kind: &str) {
    if endpoints.len() > ENDPOINTS_MAX {
        return endpoints.too_many(endpoints.len(), ENDPOINTS_MAX);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.get("addresses");
        if addresses.is_empty() {
            addresses.required("must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            addresses.too_many(addresses.len(), ADDRESSES_MAX);
        }
        for address in addresses.items() {
            check_address(addresses, address, kind);
        }
        let node = endpoint.get("nodeName");
        if node.is_set() {
            node.faults(names::dns1123_subdomain(node.text()));
        }
        let topology = endpoint.get("deprecatedTopology");
        crate::metadata::check_labels(topology);
        let hostname = endpoint.get("hostname");
        if hostname.is_set() {
            hostname.faults(names::dns1123_label(hostname.text()));
        }
        check_hints(endpoint.get("hints"));
    }
}

fn check_address(addresses: Place<'_>, address: Place<'_>, kind: &str) {
    match kind {
        "IPv4" | "IPv6" => {
            let faults = names::legacy_ip(address.text());
            if !faults.is_empty() {
                return address.faults(faults);
            }
            let is_six = address.text().contains(':');
            if is_six != (kind == "IPv6") {
                return addresses.invalid_as(address.text(), format!("must be an {kind} address"));
            }
            let canonical = names::parse_ip_sloppy(address.text()).map(|address| address.to_string());
            match canonical {
                Some(canonical) if is_six && canonical != address.text() => {
                    address.invalid(format!("must be in canonical form ({})", go_quote(&canonical)));
                }
                _ => check_ordinary_address(address),
            }
        }
        "FQDN" if address.text().is_empty() => address.required(""),
        "FQDN" => address.faults(names::fully_qualified_domain_name(address.text())),
        _ => {}
    }
}

fn check_hints(hints: Place<'_>) {
    for list in ["forZones", "forNodes"] {
        let hinted = hints.get(list);
        if hinted.len() > HINTS_MAX {
            hinted.too_many(hinted.len(), HINTS_MAX);
            continue;
        }
        let mut seen = BTreeSet::new();
        for hint in hinted.items() {
            let name = hint.get("name");
            if !seen.insert(name.key()) {
                name.duplicate();
            }
            if list == "forZones" {
                name.faults(names::label_value(name.text()));
            } else {
                name.faults(names::dns1123_subdomain(name.text()));
            }
        }
    }
}

fn check_ports(ports: Place<'_>) {
    if ports.len() > PORTS_MAX {
        return ports.too_many(ports.len(), PORTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (name, protocol) = (port.get("name"), port.get("protocol"));
        if !name.text().is_empty() {
            name.faults(names::dns1123_label(name.text()));
        }
        if !seen.insert(name.key()) {
            name.duplicate();
        }
        protocol.one_of(&["SCTP", "TCP", "UDP"]);
        let application = port.get("appProtocol");
        if application.is_set() {
            application.faults(names::qualified_name(application.text()));
        }
    }
}
