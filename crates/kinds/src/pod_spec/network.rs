//! The rules of ports, name resolution and host aliases.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::place::Place;

/// The most name servers a pod can ask.
const NAMESERVERS_MAX: usize = 3;
/// The most search paths, and how long they may be together.
const SEARCHES_MAX: usize = 32;
const SEARCHES_LEN_MAX: usize = 2048;

/// What is wrong with a port that is given as a number or by name.
pub fn check_port_or_name(port: Place<'_>) {
    match port.value() {
        Value::String(name) => port.faults(names::port_name(name)),
        _ => {
            for fault in names::port_number(port.int()) {
                port.invalid_as(port.int(), fault);
            }
        }
    }
}

pub(super) fn check_container_ports(ports: Place<'_>) {
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.text().is_empty() {
            let faults = names::port_name(name.text());
            if !faults.is_empty() {
                name.faults(faults);
            } else if !seen.insert(name.key()) {
                name.duplicate();
            }
        }
        let (inner, outer) = (port.get("containerPort"), port.get("hostPort"));
        if inner.int() == 0 {
            inner.required("");
        } else {
            for fault in names::port_number(inner.int()) {
                inner.invalid(fault);
            }
        }
        if outer.int() != 0 {
            for fault in names::port_number(outer.int()) {
                outer.invalid(fault);
            }
        }
        port.get("protocol").required_one_of(&["SCTP", "TCP", "UDP"]);
    }
}

/// What is wrong with host ports that several containers ask for.
pub(super) fn check_host_ports<'a>(containers: impl Iterator<Item = Place<'a>>) {
    let mut taken = BTreeSet::new();
    for container in containers {
        for port in container.get("ports").items() {
            let number = port.get("hostPort").int();
            if number == 0 {
                continue;
            }
            let address = format!("{}/{}/{number}", port.get("protocol").text(), port.get("hostIP").text());
            if taken.contains(&address) {
                port.get("hostPort").duplicate_as(&address);
            } else {
                taken.insert(address);
            }
        }
    }
}

pub(super) fn check_dns(config: Place<'_>, policy: &str) {
    let servers = config.get("nameservers");
    if policy == "None" {
        if !config.is_set() {
            return config.required("must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if !config.is_set() {
        return;
    }
    if servers.len() > NAMESERVERS_MAX {
        servers.invalid(format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        server.faults(names::legacy_ip(server.text()));
    }
    let searches = config.get("searches");
    if searches.len() > SEARCHES_MAX {
        searches.invalid(format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let texts = searches.value().items().iter().map(|search| search.str_or_empty().len() + 1);
    if texts.sum::<usize>().saturating_sub(1) > SEARCHES_LEN_MAX {
        searches.invalid(format!(
            "must not have more than {SEARCHES_LEN_MAX} characters (including spaces) in the search list"
        ));
    }
    for search in searches.items().filter(|search| search.text() != ".") {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        for fault in names::dns1123_subdomain_with_underscore(name) {
            search.invalid_as(name, fault);
        }
    }
    for option in config.get("options").items() {
        if option.get("name").text().is_empty() {
            option.required("must not be empty");
        }
    }
}

pub(super) fn check_host_aliases(aliases: Place<'_>) {
    for alias in aliases.items() {
        let ip = alias.get("ip");
        ip.faults(names::legacy_ip(ip.text()));
        for hostname in alias.get("hostnames").items() {
            hostname.faults(names::dns1123_subdomain(hostname.text()));
        }
    }
}
