//! Paths that begin with a domain (`example.com/controller`), by which those who look after objects are named.

use machinery::names;

use crate::place::Place;

/// What is wrong with such a path. What is wrong with its domain shows the domain alone.
pub(crate) fn check(path: Place<'_>) {
    if path.text().is_empty() {
        return path.required("");
    }
    let domain = path.text().split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let faults = names::dns1123_subdomain(domain);
    if domain.is_empty() || faults.is_empty() {
        return path.faults(names::domain_prefixed_path(path.text()));
    }
    for fault in faults {
        path.invalid_as(domain, fault);
    }
}
