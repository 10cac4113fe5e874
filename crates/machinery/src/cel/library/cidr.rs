//! Ranges of IP addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::failure::{Failure, Outcome};
use super::super::value::{Opaque, Val};
use super::{Row, ip, misfit};

pub(super) const ROWS: &[Row] = &[
    ("string_to_cidr", "cidr(string) net.CIDR", cidr),
    ("is_cidr", "isCIDR(string) bool", is_cidr),
    ("cidr_contains_ip_string", "(net.CIDR).containsIP(string) bool", contains_ip),
    ("cidr_contains_ip_ip", "(net.CIDR).containsIP(net.IP) bool", contains_ip),
    ("cidr_contains_cidr_string", "(net.CIDR).containsCIDR(string) bool", contains_cidr),
    ("cidr_contains_cidr", "(net.CIDR).containsCIDR(net.CIDR) bool", contains_cidr),
    ("cidr_ip", "(net.CIDR).ip() net.IP", address),
    ("cidr_prefix_length", "(net.CIDR).prefixLength() int", prefix_length),
    ("cidr_masked", "(net.CIDR).masked() net.CIDR", masked),
];

/// A range of addresses: one of them, and how many bits they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// How many bytes it takes, for the estimate of costs.
    pub(in super::super) fn size(self) -> usize {
        usize::from(self.bits).div_ceil(8)
    }

    fn parse(text: &str) -> Result<Cidr, Failure> {
        let quoted = crate::field::go_quote(text);
        let failed = |why: &str| {
            Failure::new(format!(
                "network address parse error during conversion from string: netip.ParsePrefix({quoted}): {why}"
            ))
        };
        let (address, bits) = text.rsplit_once('/').ok_or_else(|| failed("no '/'"))?;
        let address = ip::parse(address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_plain =
            bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
        let bits = bits.parse::<u8>().ok().filter(|_| is_plain);
        let bits = bits.ok_or_else(|| failed("bad bits after slash"))?;
        if bits > most {
            return Err(failed("prefix length out of range"));
        }
        Ok(Cidr { address, bits })
    }

    fn network(self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Cidr { address, bits: self.bits }
    }

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Cidr { address, bits: self.bits }.network() == self.network()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.bits)
    }
}

fn cidr<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Opaque(Opaque::Cidr(Cidr::parse(text)?))),
        _ => misfit(),
    }
}

fn is_cidr<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::Bool(Cidr::parse(text).is_ok())),
        _ => misfit(),
    }
}

fn contains_ip<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Opaque(Opaque::Cidr(range)), other] = arguments else { return misfit() };
    let address = match other {
        Val::Opaque(Opaque::Ip(address)) => *address,
        Val::String(text) => ip::parse(text)?,
        _ => return misfit(),
    };
    Ok(Val::Bool(range.has(address)))
}

fn contains_cidr<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Opaque(Opaque::Cidr(range)), other] = arguments else { return misfit() };
    let other = match other {
        Val::Opaque(Opaque::Cidr(other)) => *other,
        Val::String(text) => Cidr::parse(text)?,
        _ => return misfit(),
    };
    Ok(Val::Bool(range.bits <= other.bits && range.has(other.address)))
}

fn address<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Cidr(range))] => Ok(Val::Opaque(Opaque::Ip(range.address))),
        _ => misfit(),
    }
}

fn prefix_length<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Cidr(range))] => Ok(Val::Int(i64::from(range.bits))),
        _ => misfit(),
    }
}

fn masked<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Opaque(Opaque::Cidr(range))] => Ok(Val::Opaque(Opaque::Cidr(range.network()))),
        _ => misfit(),
    }
}
