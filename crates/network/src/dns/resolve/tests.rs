//! The cluster's names, query by query.

use client::Key;

use super::super::wire::{Record, answers};
use super::super::zone::{Endpoint, Entry};
use super::*;
use crate::view::Port;

fn port(name: &str, protocol: u8, number: u16) -> Port {
    Port { name: name.into(), protocol, port: number, node_port: None }
}

fn endpoint(name: &str, has_hostname: bool, address: &str, ports: &[Port]) -> Endpoint {
    Endpoint { name: name.into(), has_hostname, address: address.parse().unwrap(), ports: ports.to_vec() }
}

fn zone() -> Zone {
    let mut zone = Zone::default();
    let ports = vec![port("http", 6, 80), port("dns", 17, 53)];
    let web =
        Entry { addresses: vec!["10.96.0.7".parse().unwrap()], ports: ports.clone(), ..Entry::default() };
    zone.set(&Key::new("default", "web"), Some(web));
    let both = vec!["10.96.0.8".parse().unwrap(), "fd00::8".parse().unwrap()];
    zone.set(&Key::new("default", "dual"), Some(Entry { addresses: both, ports, ..Entry::default() }));
    let http = [port("http", 6, 8080)];
    let headless = Entry {
        headless: true,
        endpoints: vec![
            endpoint("db-0", true, "10.1.0.4", &http),
            endpoint("10-1-0-5", false, "10.1.0.5", &http),
        ],
        ..Entry::default()
    };
    zone.set(&Key::new("data", "db"), Some(headless));
    zone.set(&Key::new("data", "empty"), Some(Entry { headless: true, ..Entry::default() }));
    for (name, target) in [
        ("out", "www.example.org"),
        ("in", "web.default.svc.cluster.local"),
        ("lost", "no.default.svc.cluster.local"),
        ("loop", "loop.data.svc.cluster.local"),
    ] {
        let entry = Entry { external: Name::parse(target), ..Entry::default() };
        zone.set(&Key::new("data", name), Some(entry));
    }
    zone.set_namespace("quiet", true);
    zone
}

fn text(message: &[u8], record: &Record) -> String {
    let data = &message[record.data..record.end];
    let name = |at: usize| Name::read(message, at).unwrap().0.to_string();
    match record.kind {
        kind::A => IpAddr::from(<[u8; 4]>::try_from(data).unwrap()).to_string(),
        kind::AAAA => IpAddr::from(<[u8; 16]>::try_from(data).unwrap()).to_string(),
        kind::CNAME | kind::PTR | kind::NS => name(record.data),
        kind::SRV => {
            format!("{}/{} {}", data[3], u16::from_be_bytes([data[4], data[5]]), name(record.data + 6))
        }
        kind::TXT => String::from_utf8(data[1..].to_vec()).unwrap(),
        kind::SOA => format!("SOA {}", name(record.data)),
        other => other.to_string(),
    }
}

/// Asks, and answers `code: record record …`, or where to ask instead.
fn ask(name: &str, wanted: u16) -> String {
    let domain = Domain::new("cluster.local", &["10.96.0.10".parse().unwrap()]).unwrap();
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&wanted.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let query = Query::read(&message).unwrap();
    let mut out = Vec::new();
    match domain.resolve(&zone(), (&message, &query), (&mut out, 512), 1) {
        Outcome::Forward => return "elsewhere".into(),
        Outcome::ForwardFor(other) => return format!("elsewhere for {other}"),
        Outcome::Answered => {}
    }
    assert_eq!(out[2] & 4, 4, "it is our word");
    assert_eq!(
        out[HEADER_END..message.len()],
        message[HEADER_END..],
        "the question is repeated letter by letter"
    );
    let records: Vec<String> = answers(&out).map(|record| text(&out, &record)).collect();
    let authority = u16::from_be_bytes([out[8], out[9]]);
    let nothing = if authority > 0 { "+soa" } else { "" };
    format!("{}{nothing}: {}", out[3] & 15, records.join(" "))
}

const HEADER_END: usize = super::super::wire::HEADER;

#[test]
fn services() {
    for (name, wanted, expected) in [
        ("web.default.svc.cluster.local", kind::A, "0: 10.96.0.7"),
        ("WEB.Default.SVC.cluster.LOCAL", kind::A, "0: 10.96.0.7"),
        ("web.default.svc.cluster.local", kind::AAAA, "0+soa: "),
        ("web.default.svc.cluster.local", kind::TXT, "0+soa: "),
        ("dual.default.svc.cluster.local", kind::A, "0: 10.96.0.8"),
        ("dual.default.svc.cluster.local", kind::AAAA, "0: fd00::8"),
        ("dual.default.svc.cluster.local", kind::ANY, "0: 10.96.0.8 fd00::8"),
        ("web.data.svc.cluster.local", kind::A, "3+soa: "),
        ("web.nowhere.svc.cluster.local", kind::A, "3+soa: "),
        ("web.default.cluster.local", kind::A, "3+soa: "),
        ("x.web.default.svc.cluster.local", kind::A, "3+soa: "),
        ("web.default.svc.cluster.local.default.svc.cluster.local", kind::A, "3+soa: "),
    ] {
        assert_eq!(ask(name, wanted), expected, "{name}");
    }
}

#[test]
fn ports() {
    for (name, expected) in [
        ("_http._tcp.web.default.svc.cluster.local", "0: 100/80 web.default.svc.cluster.local."),
        ("_dns._udp.web.default.svc.cluster.local", "0: 100/53 web.default.svc.cluster.local."),
        ("_http._udp.web.default.svc.cluster.local", "3+soa: "),
        ("_http._sctp.web.default.svc.cluster.local", "3+soa: "),
        ("_nope._tcp.web.default.svc.cluster.local", "3+soa: "),
        ("_tcp.web.default.svc.cluster.local", "0+soa: "),
        ("_sctp.web.default.svc.cluster.local", "3+soa: "),
        (
            "web.default.svc.cluster.local",
            "0: 50/80 web.default.svc.cluster.local. 50/53 web.default.svc.cluster.local.",
        ),
        (
            "_http._tcp.db.data.svc.cluster.local",
            "0: 50/8080 db-0.db.data.svc.cluster.local. 50/8080 10-1-0-5.db.data.svc.cluster.local.",
        ),
    ] {
        assert_eq!(ask(name, kind::SRV), expected, "{name}");
    }
    assert_eq!(ask("_http._tcp.web.default.svc.cluster.local", kind::A), "0+soa: ");
}

#[test]
fn endpoints_of_headless_services() {
    for (name, expected) in [
        ("db.data.svc.cluster.local", "0: 10.1.0.4 10.1.0.5"),
        ("db-0.db.data.svc.cluster.local", "0: 10.1.0.4"),
        ("10-1-0-5.db.data.svc.cluster.local", "0: 10.1.0.5"),
        ("db-1.db.data.svc.cluster.local", "3+soa: "),
        ("empty.data.svc.cluster.local", "0+soa: "),
    ] {
        assert_eq!(ask(name, kind::A), expected, "{name}");
    }
}

#[test]
fn other_names() {
    for (name, wanted, expected) in [
        ("out.data.svc.cluster.local", kind::CNAME, "0: www.example.org."),
        ("out.data.svc.cluster.local", kind::A, "elsewhere for www.example.org."),
        ("in.data.svc.cluster.local", kind::A, "0: web.default.svc.cluster.local. 10.96.0.7"),
        ("in.data.svc.cluster.local", kind::AAAA, "0: web.default.svc.cluster.local."),
        ("lost.data.svc.cluster.local", kind::A, "3: no.default.svc.cluster.local."),
        ("www.example.org", kind::A, "elsewhere"),
        ("local", kind::A, "elsewhere"),
    ] {
        assert_eq!(ask(name, wanted), expected, "{name}");
    }
    assert!(ask("loop.data.svc.cluster.local", kind::A).len() < 400, "a name for itself ends");
}

#[test]
fn pods_and_what_is_above_services() {
    for (name, wanted, expected) in [
        ("10-1-0-5.data.pod.cluster.local", kind::A, "0: 10.1.0.5"),
        ("10-1-0-5.data.pod.cluster.local", kind::AAAA, "0+soa: "),
        ("fd00-1--5.data.pod.cluster.local", kind::AAAA, "0: fd00:1::5"),
        ("10-1-0-5.quiet.pod.cluster.local", kind::A, "0: 10.1.0.5"),
        ("10-1-0-5.nowhere.pod.cluster.local", kind::A, "3+soa: "),
        ("web.data.pod.cluster.local", kind::A, "3+soa: "),
        ("10-1-0-500.data.pod.cluster.local", kind::A, "3+soa: "),
        ("data.svc.cluster.local", kind::A, "0+soa: "),
        ("quiet.svc.cluster.local", kind::A, "0+soa: "),
        ("nowhere.svc.cluster.local", kind::A, "3+soa: "),
        ("svc.cluster.local", kind::A, "0+soa: "),
        ("cluster.local", kind::A, "0+soa: "),
        ("cluster.local", kind::SOA, "0: SOA ns.dns.cluster.local."),
        ("cluster.local", kind::NS, "0: ns.dns.cluster.local."),
        ("ns.dns.cluster.local", kind::A, "0: 10.96.0.10"),
        ("dns-version.cluster.local", kind::TXT, "0: 1.1.0"),
        ("dns-version.cluster.local", kind::A, "0+soa: "),
    ] {
        assert_eq!(ask(name, wanted), expected, "{name}");
    }
}

#[test]
fn names_of_addresses() {
    let v6 = format!("8.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    for (name, expected) in [
        ("7.0.96.10.in-addr.arpa", "0: web.default.svc.cluster.local."),
        ("4.0.1.10.in-addr.arpa", "0: db-0.db.data.svc.cluster.local."),
        ("5.0.1.10.in-addr.arpa", "elsewhere"),
        ("300.0.1.10.in-addr.arpa", "elsewhere"),
        (v6.as_str(), "0: dual.default.svc.cluster.local."),
    ] {
        assert_eq!(ask(name, kind::PTR), expected, "{name}");
    }
}

#[test]
fn what_goes_is_forgotten() {
    let mut zone = zone();
    for (namespace, name) in [("default", "web"), ("default", "dual"), ("data", "db")] {
        zone.set(&Key::new(namespace, name), None);
    }
    assert_eq!(zone.find(&["web", "default", "svc"]), Found::Nothing);
    assert_eq!(zone.find(&["default", "svc"]), Found::Nothing);
    assert_eq!(zone.owner("10.1.0.4".parse().unwrap()), None);
    assert_eq!(zone.owner("10.96.0.7".parse().unwrap()), None);
}
