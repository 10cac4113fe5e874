//! Endpoints.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::place::Place;
use crate::pod_spec::defaults::{members, or_text};
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Endpoints;

impl Kind for Endpoints {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).create_on_update().second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        for subset in members(object, "subsets") {
            for port in members(subset, "ports") {
                or_text(port, "protocol", "TCP");
            }
        }
    }

    fn check(&self, object: Place<'_>) {
        for subset in object.get("subsets").items() {
            check_subset(subset);
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::ENDPOINTS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), Value::from(listed(object)), table::age(object, now_secs)]
    }
}

fn check_subset(subset: Place<'_>) {
    let (ready, waiting, ports) =
        (subset.get("addresses"), subset.get("notReadyAddresses"), subset.get("ports"));
    if ready.is_empty() && waiting.is_empty() {
        subset.required("must specify `addresses` or `notReadyAddresses`");
    }
    for address in ready.items().chain(waiting.items()) {
        let ip = address.get("ip");
        ip.faults(names::legacy_ip(ip.text()));
        let hostname = address.get("hostname");
        if !hostname.text().is_empty() {
            hostname.faults(names::dns1123_label(hostname.text()));
        }
        let node = address.get("nodeName");
        if node.is_set() {
            node.faults(names::dns1123_subdomain(node.text()));
        }
        check_ordinary_address(ip);
    }
    let several = ports.len() > 1;
    for port in ports.items() {
        let name = port.get("name");
        if several && name.text().is_empty() {
            name.required("");
        } else if !name.text().is_empty() {
            name.faults(names::dns1123_label(name.text()));
        }
        let number = port.get("port");
        for fault in names::port_number(number.int()) {
            number.invalid_as(number.int(), fault);
        }
        port.get("protocol").required_one_of(&["SCTP", "TCP", "UDP"]);
        let protocol = port.get("appProtocol");
        if protocol.is_set() {
            protocol.faults(names::qualified_name(protocol.text()));
        }
    }
}

/// Traffic must be able to reach an address from elsewhere.
pub(crate) fn check_ordinary_address(place: Place<'_>) {
    let Some(address) = names::parse_ip_sloppy(place.text()) else {
        return place.invalid_as(place.text(), "must be a valid IP address");
    };
    let (link_local, link_local_multicast) = match address {
        std::net::IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        std::net::IpAddr::V6(address) => {
            let first = address.segments()[0];
            (first & 0xffc0 == 0xfe80, first & 0xff0f == 0xff02)
        }
    };
    if address.is_unspecified() {
        place.invalid(format!("may not be unspecified ({})", place.text()));
    }
    if address.is_loopback() {
        place.invalid("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        place.invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        place.invalid("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// The first three addresses and ports, and how many more there are.
fn listed(object: &Value) -> String {
    const SHOWN: usize = 3;
    let mut all = Vec::new();
    for subset in object.get("subsets").items() {
        let ports = subset.get("ports").items();
        let addresses =
            subset.get("addresses").items().iter().map(|address| address.get("ip").str_or_empty());
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        let addresses: Vec<&str> = addresses.collect();
        let seen: BTreeSet<i64> = ports.iter().filter_map(|port| port.get("port").as_int()).collect();
        if seen.is_empty() {
            continue;
        }
        for port in ports {
            let number = port.get("port").as_int().unwrap_or(0);
            all.extend(addresses.iter().map(|address| match address.contains(':') {
                true => format!("[{address}]:{number}"),
                false => format!("{address}:{number}"),
            }));
        }
    }
    if all.is_empty() {
        return "<none>".to_owned();
    }
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let listed = all.join(",");
    if more > 0 { format!("{listed} + {more} more...") } else { listed }
}
