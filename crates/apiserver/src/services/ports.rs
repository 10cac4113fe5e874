//! Node ports: one key each, which makes them unique.

use std::collections::BTreeSet;

use bytes::Bytes;
use machinery::field::{Error, Errors, Path};
use machinery::{Reason, Status, Value};
use store::{Guard, Txn, Write};

use super::{NODE_PORTS, needs_health_port, needs_ports};
use crate::cache::ROOT;
use crate::stored;
use crate::write::Request;

/// How many ports are drawn before all are looked through.
const DRAWS: usize = 32;

/// The key that makes a port taken.
pub(super) fn key(port: u16) -> Bytes {
    Bytes::from(format!("{ROOT}{NODE_PORTS}/{port}"))
}

/// The node ports a Service has.
pub(super) fn of(service: &Value) -> BTreeSet<u16> {
    let port =
        |value: &Value| value.as_int().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let mut ports: BTreeSet<u16> = BTreeSet::new();
    if needs_ports(service) || super::kind_of(service) == "LoadBalancer" {
        let items = service.at(&["spec", "ports"]).items();
        ports.extend(items.iter().filter_map(|item| port(item.get("nodePort"))));
    }
    if needs_health_port(service) {
        ports.extend(port(service.at(&["spec", "healthCheckNodePort"])));
    }
    ports
}

/// An update that leaves node ports out keeps them.
pub(super) fn keep(object: &mut Value, old: &Value) {
    let before: Vec<(Value, Value, i64)> = old
        .at(&["spec", "ports"])
        .items()
        .iter()
        .map(|item| (item.get("protocol").clone(), item.get("port").clone(), node_port(item)))
        .collect();
    let mut used: BTreeSet<i64> = object.at(&["spec", "ports"]).items().iter().map(node_port).collect();
    for item in object.at_mut(&["spec", "ports"]).items_mut() {
        if node_port(item) != 0 {
            continue;
        }
        let same = before
            .iter()
            .find(|(protocol, port, _)| item.get("protocol") == protocol && item.get("port") == port);
        if let Some((_, _, kept)) = same.filter(|(_, _, kept)| *kept != 0 && !used.contains(kept)) {
            item.set("nodePort", *kept);
            used.insert(*kept);
        }
    }
}

fn node_port(item: &Value) -> i64 {
    item.get("nodePort").as_int().unwrap_or(0)
}

/// Gives a Service the ports it lacks, and takes back those it no longer has.
pub(super) fn allocate(
    request: Request<'_>,
    object: &mut Value,
    old: Option<&Value>,
    txn: &mut Txn,
    errors: &mut Errors,
) -> Result<(), Status> {
    let before = old.map(of).unwrap_or_default();
    let mut allocation = Allocation { request, before, taken: BTreeSet::new(), by_protocol: Vec::new() };
    if needs_ports(object) {
        let count = object.at(&["spec", "ports"]).items().len();
        for position in 0..count {
            allocation.port(object, position, errors)?;
        }
    }
    if needs_health_port(object) && object.at(&["spec", "healthCheckNodePort"]).as_int().unwrap_or(0) == 0 {
        let port = allocation.draw()?;
        object.entry("spec").set("healthCheckNodePort", i64::from(port));
    }
    let after = of(object);
    let owner = format!(
        "{}/{}",
        object.at(&["metadata", "namespace"]).str_or_empty(),
        object.at(&["metadata", "name"]).str_or_empty()
    );
    for port in after.difference(&allocation.before) {
        txn.guards.push(Guard::Absent(key(*port)));
        let value = stored::write(&claim(*port, &owner));
        txn.writes.push(Write::Put { key: key(*port), value, ttl_secs: None });
    }
    for gone in allocation.before.difference(&after) {
        txn.writes.push(Write::Delete(key(*gone)));
    }
    Ok(())
}

struct Allocation<'a> {
    request: Request<'a>,
    before: BTreeSet<u16>,
    taken: BTreeSet<u16>,
    /// Ports of this Service with the protocol they were first used for.
    by_protocol: Vec<(u16, String)>,
}

impl Allocation<'_> {
    fn port(&mut self, object: &mut Value, position: usize, errors: &mut Errors) -> Result<(), Status> {
        let item = &object.at(&["spec", "ports"]).items()[position];
        let wanted = node_port(item);
        let protocol = item.get("protocol").str_or_empty().to_owned();
        if wanted == 0 {
            let port = self.draw()?;
            self.by_protocol.push((port, protocol));
            if let Some(item) = object.at_mut(&["spec", "ports"]).items_mut().get_mut(position) {
                item.set("nodePort", i64::from(port));
            }
            return Ok(());
        }
        let path = Path::new("spec").child("ports").index(position).child("nodePort");
        let range = &self.request.core.config.node_ports;
        let port = match u16::try_from(wanted) {
            Ok(port) if range.contains(&port) || self.before.contains(&port) => port,
            _ => {
                let why = format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    range.start(),
                    range.end()
                );
                errors.push(Error::invalid(&path, wanted, why));
                return Ok(());
            }
        };
        let shared = self.by_protocol.iter().any(|(used, of)| *used == port && *of != protocol);
        let twice = self.by_protocol.iter().any(|(used, of)| *used == port && *of == protocol);
        if twice || (!shared && !self.before.contains(&port) && self.is_taken(port)) {
            errors.push(Error::invalid(&path, wanted, "provided port is already allocated"));
        }
        self.taken.insert(port);
        self.by_protocol.push((port, protocol));
        Ok(())
    }

    fn is_taken(&self, port: u16) -> bool {
        let taken = self.request.core.caches.collection(NODE_PORTS);
        self.taken.contains(&port) || taken.is_some_and(|taken| taken.get(&port.to_string()).is_some())
    }

    /// A free port. The lower part of the range is left to those who choose theirs.
    fn draw(&mut self) -> Result<u16, Status> {
        let range = self.request.core.config.node_ports.clone();
        let size = u64::from(range.end() - range.start()) + 1;
        let reserved = (size / 32).clamp(16, 128).min(size);
        let entropy = &self.request.core.env.entropy;
        let nth = |offset: u64| range.start() + offset as u16;
        let free = |port: &u16| !self.is_taken(*port) && !self.before.contains(port);
        let drawn = if size > reserved {
            (0..DRAWS).map(|_| nth(reserved + entropy.below(size - reserved))).find(&free)
        } else {
            None
        };
        let found = drawn.or_else(|| (reserved..size).chain(0..reserved).map(nth).find(&free));
        let port = found.ok_or_else(|| {
            Status::new(500, Reason::InternalError, "failed to allocate a nodePort: range is full")
        })?;
        self.taken.insert(port);
        Ok(port)
    }
}

/// What stands at the key of a port that is taken.
fn claim(port: u16, owner: &str) -> Value {
    let metadata = Value::from([("name", Value::from(port.to_string()))]);
    Value::from([
        ("kind", Value::from("NodePort")),
        ("apiVersion", Value::from("ironclad.local/v1")),
        ("metadata", metadata),
        ("spec", Value::from([("service", Value::from(owner))])),
    ])
}
