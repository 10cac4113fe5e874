//! Cluster addresses: one `IPAddress` object each, which makes them unique.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::IpNet;
use machinery::field::{Error, Errors, Path};
use machinery::time::Timestamp;
use machinery::{Reason, Status, Value};
use store::{Guard, Txn, Write};

use super::{ADDRESSES, families, needs_address};
use crate::cache::ROOT;
use crate::stored;
use crate::write::Request;

/// How many addresses are drawn before all are looked through.
const DRAWS: usize = 32;

/// The key of an address's object.
pub(super) fn key(address: &IpAddr) -> Bytes {
    Bytes::from(format!("{ROOT}{ADDRESSES}/{address}"))
}

/// The addresses a Service has.
pub(super) fn of(service: &Value) -> Vec<IpAddr> {
    if !needs_address(service) {
        return Vec::new();
    }
    let listed = service.at(&["spec", "clusterIPs"]).items().iter().filter_map(Value::as_str);
    listed.filter_map(|text| text.parse().ok()).collect()
}

/// Gives a Service the addresses it lacks, and takes back those it no longer has.
pub(super) fn allocate(
    request: Request<'_>,
    object: &mut Value,
    old: Option<&Value>,
    txn: &mut Txn,
    errors: &mut Errors,
) -> Result<(), Status> {
    let before = old.map(of).unwrap_or_default();
    let headless = object.at(&["spec", "clusterIPs"]).items().first().and_then(Value::as_str) == Some("None");
    if needs_address(object) && !headless {
        complete(request, object, &before, txn, errors)?;
    }
    let after = of(object);
    for gone in before.iter().filter(|address| !after.contains(address)) {
        txn.writes.push(Write::Delete(key(gone)));
    }
    Ok(())
}

fn complete(
    request: Request<'_>,
    object: &mut Value,
    before: &[IpAddr],
    txn: &mut Txn,
    errors: &mut Errors,
) -> Result<(), Status> {
    let families: Vec<String> = object
        .at(&["spec", "ipFamilies"])
        .items()
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let wanted: Vec<String> = object
        .at(&["spec", "clusterIPs"])
        .items()
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let shown = Value::from(wanted.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
    let path = Path::new("spec").child("clusterIPs");
    let unknown = families.iter().any(|family| !matches!(family.as_str(), "IPv4" | "IPv6"));
    if unknown || (families.len() > 1 && families[0] == families[1]) {
        // Validation refuses that; nothing is taken for it.
        return Ok(());
    }
    let mut addresses = Vec::new();
    for (position, family) in families.iter().enumerate() {
        let address = match wanted.get(position).filter(|text| !text.is_empty()) {
            // What is no address is validation's to refuse.
            Some(text) => match text.parse::<IpAddr>() {
                Ok(address) if address.to_string() == *text => address,
                _ => return Ok(()),
            },
            None => draw(request, family, &addresses)?,
        };
        addresses.push(address);
        if before.contains(&address) {
            continue;
        }
        if let Err(why) = may_take(request, address) {
            let why = format!("failed to allocate IP {address}: {why}");
            errors.push(Error::invalid(&path, &shown, why));
            return Ok(());
        }
        txn.guards.push(Guard::Absent(key(&address)));
        let value = stored::write(&claim(request, object, address));
        txn.before.push(Write::Put { key: key(&address), value, ttl_secs: None });
    }
    let texts: Vec<Value> = addresses.iter().map(|address| Value::from(address.to_string())).collect();
    let spec = object.entry("spec");
    if let Some(first) = texts.first() {
        spec.set("clusterIP", first.clone());
    }
    spec.set("clusterIPs", texts);
    Ok(())
}

fn may_take(request: Request<'_>, address: IpAddr) -> Result<(), &'static str> {
    let range = request.core.config.service_cidrs.iter().find(|range| range.contains(&address));
    let usable = range.is_some_and(|range| usable(range, address));
    if !usable {
        return Err("the provided network does not match the current range");
    }
    if is_taken(request, address) { Err("provided IP is already allocated") } else { Ok(()) }
}

fn is_taken(request: Request<'_>, address: IpAddr) -> bool {
    let taken = request.core.caches.collection(ADDRESSES);
    taken.is_some_and(|taken| taken.get(&address.to_string()).is_some())
}

/// The first address names the network; the last of an IPv4 network is for broadcasts.
fn usable(range: &IpNet, address: IpAddr) -> bool {
    address != range.network() && (address.is_ipv6() || address != range.broadcast())
}

/// A free address of a family. The lower part of the range is left to those who choose theirs.
fn draw(request: Request<'_>, family: &str, besides: &[IpAddr]) -> Result<IpAddr, Status> {
    let ranges = &request.core.config.service_cidrs;
    let range = ranges.iter().find(|range| families::family_of(range.addr()) == family);
    let Some(range) = range else {
        return Err(Status::internal(format!("no addresses of family {family} are configured")));
    };
    let size = size_of(range);
    let reserved = (size / 16).clamp(16, 256).min(size);
    let entropy = &request.core.env.entropy;
    let free = |offset: u64| {
        let address = nth(range, offset);
        (usable(range, address) && !besides.contains(&address) && !is_taken(request, address))
            .then_some(address)
    };
    if size > reserved && !request.options.dry_run {
        let drawn = (0..DRAWS).find_map(|_| free(reserved + entropy.below(size - reserved)));
        if let Some(address) = drawn {
            return Ok(address);
        }
    }
    (reserved..size).chain(0..reserved).take(1 << 20).find_map(free).ok_or_else(|| {
        Status::new(500, Reason::InternalError, "failed to allocate a serviceIP: range is full")
    })
}

fn size_of(range: &IpNet) -> u64 {
    let bits = range.max_prefix_len() - range.prefix_len();
    1u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX)
}

fn nth(range: &IpNet, offset: u64) -> IpAddr {
    match range.network() {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from(u32::from(first).wrapping_add(offset as u32))),
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first).wrapping_add(u128::from(offset)))),
    }
}

/// The object that makes an address the Service's.
fn claim(request: Request<'_>, service: &Value, address: IpAddr) -> Value {
    let created = Timestamp::from_secs(request.core.env.clock.now().secs()).to_rfc3339();
    let labels = Value::from([
        ("ipaddress.kubernetes.io/ip-family", Value::from(families::family_of(address))),
        ("ipaddress.kubernetes.io/managed-by", Value::from("ipallocator.k8s.io")),
    ]);
    let metadata = Value::from([
        ("name", Value::from(address.to_string())),
        ("uid", Value::from(request.core.env.entropy.uuid())),
        ("creationTimestamp", Value::from(created)),
        ("labels", labels),
    ]);
    let parent = Value::from([
        ("resource", Value::from("services")),
        ("namespace", service.at(&["metadata", "namespace"]).clone()),
        ("name", service.at(&["metadata", "name"]).clone()),
    ]);
    Value::from([
        ("kind", Value::from("IPAddress")),
        ("apiVersion", Value::from("networking.k8s.io/v1")),
        ("metadata", metadata),
        ("spec", Value::from([("parentRef", parent)])),
    ])
}
