//! IP addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::super::failure::{Failure, Outcome};
use super::super::value::{Opaque, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("string_to_ip", "ip(string) net.IP", ip),
    ("is_ip", "isIP(string) bool", is_ip),
    ("ip_is_canonical", "ip.isCanonical(string) bool", is_canonical),
    ("ip_family", "(net.IP).family() int", family),
    ("ip_is_unspecified", "(net.IP).isUnspecified() bool", |arguments| {
        ask(arguments, |ip| ip.is_unspecified())
    }),
    ("ip_is_loopback", "(net.IP).isLoopback() bool", |arguments| ask(arguments, |ip| ip.is_loopback())),
    ("ip_is_link_local_multicast", "(net.IP).isLinkLocalMulticast() bool", |arguments| {
        ask(arguments, is_link_local_multicast)
    }),
    ("ip_is_link_local_unicast", "(net.IP).isLinkLocalUnicast() bool", |arguments| {
        ask(arguments, is_link_local_unicast)
    }),
    ("ip_is_global_unicast", "(net.IP).isGlobalUnicast() bool", |arguments| {
        ask(arguments, is_global_unicast)
    }),
];

/// Reads an address as Kubernetes does: no zones, no IPv4 inside IPv6, no leading zeros.
pub(super) fn parse(text: &str) -> Result<IpAddr, Failure> {
    if text.contains('%') {
        return Err(Failure::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    let failed = || {
        let quoted = crate::field::go_quote(text);
        Failure::new(format!(
            "IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): {}",
            why(text)
        ))
    };
    let address: IpAddr = text.parse().map_err(|_| failed())?;
    match address {
        IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some() => {
            let text = crate::field::go_quote(text);
            Err(Failure::new(format!("IPv4-mapped IPv6 address {text} is not allowed")))
        }
        address => Ok(address),
    }
}

/// Why a text is no address, as far as that can be said in a word.
fn why(text: &str) -> String {
    match text.find(['.', ':']) {
        None => "unable to parse IP".to_owned(),
        Some(at) if text[at..].starts_with('.') => why_no_ipv4(text),
        Some(_) => "unexpected character".to_owned(),
    }
}

/// Why a text is not four numbers with points between them.
fn why_no_ipv4(text: &str) -> String {
    let (mut fields, mut digits) = (1, String::new());
    for (at, letter) in text.char_indices() {
        let rest = crate::field::go_quote(&text[at..]);
        match letter {
            '0'..='9' if digits == "0" => return "IPv4 field has octet with leading zero".to_owned(),
            '0'..='9' => {
                digits.push(letter);
                if digits.parse::<u8>().is_err() {
                    return "IPv4 field has value >255".to_owned();
                }
            }
            '.' if digits.is_empty() || at + 1 == text.len() => {
                return format!("IPv4 field must have at least one digit (at {rest})");
            }
            '.' if fields == 4 => return "IPv4 address too long".to_owned(),
            '.' => {
                fields += 1;
                digits.clear();
            }
            _ => return format!("unexpected character (at {rest})"),
        }
    }
    "IPv4 address too short".to_owned()
}

/// An address as text.
pub(super) fn show(address: IpAddr) -> String {
    address.to_string()
}

fn ip<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Opaque(Opaque::Ip(parse(text)?))),
        _ => misfit(),
    }
}

fn is_ip<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Bool(parse(text).is_ok())),
        _ => misfit(),
    }
}

fn is_canonical<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Bool(show(parse(text)?) == text.as_str())),
        _ => misfit(),
    }
}

fn family<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Ip(IpAddr::V4(_)))] => Ok(Val::Int(4)),
        [Val::Opaque(Opaque::Ip(IpAddr::V6(_)))] => Ok(Val::Int(6)),
        _ => misfit(),
    }
}

fn ask<'a>(arguments: &[Val<'a>], question: impl Fn(&IpAddr) -> bool) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Ip(address))] => Ok(Val::Bool(question(address))),
        _ => misfit(),
    }
}

fn starts_with(address: &Ipv6Addr, prefix: u16, bits: u32) -> bool {
    address.segments()[0] & (u16::MAX << (16 - bits)) == prefix
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => starts_with(address, 0xfe80, 10),
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !is_broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local_unicast(address)
}
