//! The names of the cluster: what Services and their endpoints are called, and what is at each name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use client::Key;
use smol_str::SmolStr;

use super::wire::Name;
use crate::view::{Port, Service, Slice, protocol};

/// What is known of a Service for its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its addresses; none if it is headless.
    pub addresses: Vec<IpAddr>,
    /// The name it is another name for.
    pub external: Option<Name>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Whether its name leads to its endpoints.
    pub headless: bool,
    /// Its endpoints that have names, by address.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name below the Service's: its host name, or its address with dashes.
    pub name: SmolStr,
    /// Whether that is its host name.
    pub has_hostname: bool,
    /// Its address.
    pub address: IpAddr,
    /// Its ports.
    pub ports: Vec<Port>,
}

impl Entry {
    /// From a Service and the slices of its endpoints.
    pub fn of(service: &Service, slices: &[&Slice]) -> Entry {
        let mut endpoints: BTreeMap<IpAddr, Endpoint> = BTreeMap::new();
        for slice in slices {
            for endpoint in slice.endpoints.iter().filter(|one| one.ready || service.publish_not_ready) {
                let Some(address) = endpoint.address else { continue };
                let has_hostname = !endpoint.hostname.is_empty();
                let name = if has_hostname { endpoint.hostname.clone() } else { dashed(address) };
                let known = endpoints.entry(address).or_insert_with(|| Endpoint {
                    name,
                    has_hostname,
                    address,
                    ports: Vec::new(),
                });
                known.ports.extend(
                    slice
                        .ports
                        .iter()
                        .filter(|port| !known.ports.contains(port))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
            }
        }
        Entry {
            addresses: service.cluster_ips.clone(),
            external: service.external_name.as_deref().and_then(Name::parse),
            ports: service.ports.clone(),
            headless: service.headless,
            endpoints: endpoints.into_values().collect(),
        }
    }
}

/// An address as a label: `10-1-0-7`.
pub fn dashed(address: IpAddr) -> SmolStr {
    SmolStr::new(address.to_string().replace(['.', ':'], "-"))
}

/// The address that a label spells.
pub fn undashed(label: &str) -> Option<IpAddr> {
    let dots = label.replace('-', ".");
    dots.parse().ok().or_else(|| label.replace('-', ":").parse().ok()).filter(|_| label.contains('-'))
}

/// All names of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    services: BTreeMap<SmolStr, BTreeMap<SmolStr, Entry>>,
    namespaces: BTreeSet<SmolStr>,
    /// Who has an address: Services, and endpoints with a host name. Of several the first by name is told.
    owners: BTreeMap<IpAddr, BTreeSet<AddressOwner>>,
}

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressOwner {
    /// The Service's namespace.
    pub namespace: SmolStr,
    /// The Service's name.
    pub service: SmolStr,
    /// The endpoint's name; empty if it is the Service itself.
    pub endpoint: SmolStr,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// There is no such name.
    Nothing,
    /// There is such a name, but nothing at it.
    Empty,
    /// The version of the rules that names follow.
    Version,
    /// The address a pod's name spells.
    Pod(IpAddr),
    /// A Service.
    Service(Named<'a>),
    /// Endpoints of a Service by name.
    Endpoint(&'a Entry, String),
    /// A port of a Service.
    Port(Named<'a>),
}

/// A Service that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its name.
    pub service: &'a SmolStr,
    /// Its namespace.
    pub namespace: &'a SmolStr,
    /// What is known of it.
    pub entry: &'a Entry,
    /// The port asked for, by name and protocol.
    pub port: Option<(String, u8)>,
}

impl Zone {
    /// Takes in a Service as it is now; `None` if it is gone.
    pub fn set(&mut self, key: &Key, entry: Option<Entry>) {
        let old = match self.services.get_mut(&key.namespace) {
            Some(services) => services.remove(&key.name),
            None => None,
        };
        for (address, owner) in old.iter().flat_map(|old| owners_in(key, old)) {
            if let Some(owners) = self.owners.get_mut(&address) {
                owners.remove(&owner);
                if owners.is_empty() {
                    self.owners.remove(&address);
                }
            }
        }
        let Some(entry) = entry else {
            if self.services.get(&key.namespace).is_some_and(BTreeMap::is_empty) {
                self.services.remove(&key.namespace);
            }
            return;
        };
        for (address, owner) in owners_in(key, &entry) {
            self.owners.entry(address).or_default().insert(owner);
        }
        self.services.entry(key.namespace.clone()).or_default().insert(key.name.clone(), entry);
    }

    /// Takes in whether a namespace exists.
    pub fn set_namespace(&mut self, name: &str, exists: bool) {
        if exists {
            self.namespaces.insert(SmolStr::new(name));
        } else {
            self.namespaces.remove(name);
        }
    }

    /// Who has an address.
    pub fn owner(&self, address: IpAddr) -> Option<&AddressOwner> {
        self.owners.get(&address)?.first()
    }

    /// What is at a name, given as its labels below the cluster's domain, the leftmost first.
    pub fn find(&self, labels: &[&str]) -> Found<'_> {
        match labels {
            [] | ["svc" | "pod"] => Found::Empty,
            ["dns-version"] => Found::Version,
            [namespace, "svc" | "pod"] => self.if_namespace(namespace, Found::Empty),
            [address, namespace, "pod"] => match undashed(address) {
                Some(address) => self.if_namespace(namespace, Found::Pod(address)),
                None => Found::Nothing,
            },
            [before @ .., service, namespace, "svc"] => self.find_service(before, service, namespace),
            _ => Found::Nothing,
        }
    }

    fn find_service(&self, before: &[&str], service: &str, namespace: &str) -> Found<'_> {
        let services = self.services.get_key_value(namespace);
        let Some((namespace, (service, entry))) =
            services.and_then(|(namespace, services)| Some((namespace, services.get_key_value(service)?)))
        else {
            return Found::Nothing;
        };
        match before {
            [] => Found::Service(Named { service, namespace, entry, port: None }),
            [port, transport] if port.starts_with('_') => match transport_of(transport) {
                Some(number) if has_port(entry, &port[1..], number) => {
                    let port = Some((port[1..].to_owned(), number));
                    Found::Port(Named { service, namespace, entry, port })
                }
                _ => Found::Nothing,
            },
            [transport] if transport.starts_with('_') => match transport_of(transport) {
                Some(number) if all_ports(entry).any(|port| port.protocol == number) => Found::Empty,
                _ => Found::Nothing,
            },
            [endpoint] if entry.endpoints.iter().any(|one| one.name == *endpoint) => {
                Found::Endpoint(entry, (*endpoint).to_owned())
            }
            _ => Found::Nothing,
        }
    }

    fn if_namespace<'a>(&'a self, namespace: &str, found: Found<'a>) -> Found<'a> {
        let exists = self.namespaces.contains(namespace) || self.services.contains_key(namespace);
        if exists { found } else { Found::Nothing }
    }
}

fn transport_of(label: &str) -> Option<u8> {
    match label {
        "_tcp" => Some(protocol::TCP),
        "_udp" => Some(protocol::UDP),
        "_sctp" => Some(protocol::SCTP),
        _ => None,
    }
}

/// The ports a Service's names know: its own, or for a headless one those of its endpoints.
fn all_ports(entry: &Entry) -> impl Iterator<Item = &Port> {
    let of_endpoints = entry.endpoints.iter().filter(|_| entry.headless).flat_map(|one| &one.ports);
    entry.ports.iter().chain(of_endpoints)
}

fn has_port(entry: &Entry, name: &str, number: u8) -> bool {
    all_ports(entry).any(|port| !name.is_empty() && port.name == name && port.protocol == number)
}

fn owners_in(key: &Key, entry: &Entry) -> Vec<(IpAddr, AddressOwner)> {
    let owner = |endpoint: &str| AddressOwner {
        namespace: key.namespace.clone(),
        service: key.name.clone(),
        endpoint: SmolStr::new(endpoint),
    };
    let own = entry.addresses.iter().map(|address| (*address, owner("")));
    let named = entry.endpoints.iter().filter(|one| one.has_hostname);
    own.chain(named.map(|one| (one.address, owner(&one.name)))).collect()
}
