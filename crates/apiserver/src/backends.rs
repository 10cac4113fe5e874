//! What is behind a Service, for those who reach it from here: we need not be in the network of Services.

use std::sync::Arc;

use env::Entropy;
use machinery::Value;
use machinery::field::go_quote;

use crate::cache::Caches;

/// Where a port of a Service leads.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The Service's own port, not that of what is behind it.
    pub port: u16,
}

/// An address behind a Service that is ready, or the name that an external Service stands for: host and port.
pub fn find(caches: &Arc<Caches>, wanted: Wanted<'_>, entropy: &Entropy) -> Result<(String, u16), String> {
    let Wanted { namespace, name, port } = wanted;
    let services = caches.collection("core/services");
    let service = services.and_then(|services| services.get(&format!("{namespace}/{name}")));
    let service = service.ok_or_else(|| format!("service {} not found", go_quote(name)))?;
    let service = service.object().to_value().map_err(|status| status.to_string())?;
    let spec = service.get("spec");
    if spec.get("type").str_or_empty() == "ExternalName" {
        return Ok((spec.get("externalName").str_or_empty().to_owned(), port));
    }
    let ports = spec.get("ports").items();
    let chosen = ports.iter().find(|own| own.get("port").as_int() == Some(i64::from(port)));
    let chosen =
        chosen.ok_or_else(|| format!("no service port {port} found for service {}", go_quote(name)))?;
    let found = endpoints(caches, (namespace, name), chosen.get("name").str_or_empty());
    let chosen = entropy.below((found.len() as u64).max(1));
    let chosen = found.into_iter().nth(usize::try_from(chosen).unwrap_or_default());
    chosen.ok_or_else(|| format!("no endpoints available for service {}", go_quote(name)))
}

/// All endpoints of a Service's port that are ready.
pub fn endpoints(caches: &Arc<Caches>, (namespace, name): (&str, &str), port: &str) -> Vec<(String, u16)> {
    let mut found = Vec::new();
    for slice in slices(caches, (namespace, name)) {
        let chosen = slice.get("ports").items().iter().find(|own| own.get("name").str_or_empty() == port);
        let number = chosen.and_then(|chosen| chosen.get("port").as_int());
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
        let is_ready = |endpoint: &&Value| endpoint.at(&["conditions", "ready"]).as_bool() != Some(false);
        for endpoint in slice.get("endpoints").items().iter().filter(is_ready) {
            let addresses = endpoint.get("addresses").items().first();
            found.extend(addresses.map(|address| (address.str_or_empty().to_owned(), number)));
        }
    }
    found
}

/// The slices of a Service's endpoints.
pub fn slices(caches: &Arc<Caches>, (namespace, name): (&str, &str)) -> Vec<Value> {
    let Some(slices) = caches.collection("discovery.k8s.io/endpointslices") else { return Vec::new() };
    let place = format!("{namespace}/");
    let snapshot = slices.snapshot();
    let own = snapshot
        .starting_at(&place)
        .take_while(|entry| entry.key().starts_with(&place))
        .filter(|entry| entry.object().header().label("kubernetes.io/service-name") == Some(name));
    own.filter_map(|entry| entry.object().to_value().ok()).collect()
}
