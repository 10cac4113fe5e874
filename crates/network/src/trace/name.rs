//! From what somebody types as a destination to an address: as a pod's resolver would go about it.

use std::net::{IpAddr, SocketAddr};

use super::Unclear;
use super::world::{Source, World};
use crate::dns::wire::Name;
use crate::dns::zone::{Entry, Found, Zone};

/// A name with fewer dots is looked for below the cluster's domains first.
const DOTS: usize = 5;
/// How many names lead to each other at most.
const CHAIN_LIMIT: usize = 8;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// An address, and why.
    Address(String, IpAddr),
    /// Somebody outside knows, and why.
    Elsewhere(String),
    /// Nothing, and why.
    Nothing(String),
}

/// The host and the port of a destination.
pub fn split(text: &str) -> Result<(String, Option<u16>), Unclear> {
    let unclear = || Unclear::NoDestination(text.to_owned());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.to_owned(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| unclear())?)),
        None => (text, None),
    };
    let is_name = !host.is_empty() && Name::parse(host).is_some();
    if is_name { Ok((host.to_owned(), port)) } else { Err(unclear()) }
}

/// What the names of the cluster say to a sender.
pub fn resolve(world: &World, source: &Source<'_>, host: &str) -> Resolved {
    let mut zone = Zone::default();
    for namespace in &world.namespaces {
        zone.set_namespace(&namespace.name, true);
    }
    for service in &world.services {
        zone.set(&service.key, Some(Entry::of(service, &world.slices_of(service))));
    }
    let tried = candidates(host, source.namespace, &world.domain);
    for name in &tried {
        let found = find(&zone, world, name, source);
        if let Some(resolved) = found {
            return resolved;
        }
    }
    let below = |name: &&String| name.ends_with(&format!(".{}", world.domain));
    match tried.iter().find(|name| !below(name)) {
        Some(name) => {
            Resolved::Elsewhere(format!("{name} is no name of the cluster: the node's resolvers are asked"))
        }
        None => Resolved::Nothing(format!(
            "{host} is no name of the cluster, nor was any of {}",
            tried.join(", ")
        )),
    }
}

/// The names a resolver tries, in its order. Who is in no pod has no domains to look in.
fn candidates(host: &str, namespace: Option<&str>, domain: &str) -> Vec<String> {
    let absolute = host.trim_end_matches('.').to_owned();
    let Some(namespace) = namespace.filter(|_| !host.ends_with('.')) else { return vec![absolute] };
    let mut all: Vec<String> =
        [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()]
            .iter()
            .map(|below| format!("{absolute}.{below}"))
            .collect();
    let place = if absolute.matches('.').count() >= DOTS { 0 } else { all.len() };
    all.insert(place, absolute);
    all
}

fn find(zone: &Zone, world: &World, name: &str, source: &Source<'_>) -> Option<Resolved> {
    let mut name = name.to_owned();
    let mut text = String::new();
    for _ in 0..CHAIN_LIMIT {
        let Some(labels) = name.strip_suffix(&format!(".{}", world.domain)) else {
            let elsewhere = format!("{text}{name}, which the node's resolvers are asked for");
            return (!text.is_empty()).then_some(Resolved::Elsewhere(elsewhere));
        };
        let labels: Vec<&str> = labels.split('.').collect();
        let (what, addresses): (String, Vec<IpAddr>) = match zone.find(&labels) {
            Found::Service(named) => {
                let what = format!("Service {}/{}", named.namespace, named.service);
                if let Some(external) = named.entry.external {
                    text = format!("{text}{name} is {what}, another name for ");
                    name = external.to_string().trim_end_matches('.').to_owned();
                    continue;
                }
                let endpoints = named.entry.endpoints.iter().map(|one| one.address);
                if named.entry.headless {
                    let count = named.entry.endpoints.len();
                    (format!("{what}, headless, with {count} endpoints that have names"), endpoints.collect())
                } else {
                    (what, named.entry.addresses.clone())
                }
            }
            Found::Endpoint(entry, endpoint) => {
                let named = entry.endpoints.iter().filter(|one| one.name == endpoint);
                ("an endpoint".to_owned(), named.map(|one| one.address).collect())
            }
            Found::Pod(address) => ("an address written as a name".to_owned(), vec![address]),
            Found::Nothing | Found::Empty | Found::Version | Found::Port(_) => return None,
        };
        let text = format!("{text}{name} is {what}");
        // What the sender cannot use is no answer to it, if there is another.
        let fits = addresses.iter().find(|one| source.speaks(one.is_ipv6())).or(addresses.first());
        return Some(match fits {
            Some(address) => Resolved::Address(format!("{text}: {address}"), *address),
            None => Resolved::Nothing(format!("{text}, and has no address")),
        });
    }
    Some(Resolved::Nothing(format!("{text}{name}: too many names lead to each other")))
}
