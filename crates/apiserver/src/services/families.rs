//! The address families of a Service, completed from what the cluster has.

use std::net::IpAddr;

use ipnet::IpNet;
use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::needs_address;

/// `IPv4` or `IPv6`.
pub(super) fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The families the cluster has addresses for; the first is the primary one.
pub(super) fn of_cluster(ranges: &[IpNet]) -> Vec<&'static str> {
    let mut families = Vec::new();
    for range in ranges {
        let family = family_of(range.addr());
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

/// Fills in families and policy.
pub(super) fn complete(ranges: &[IpNet], object: &mut Value, old: Option<&Value>, errors: &mut Errors) {
    if !needs_address(object) {
        return;
    }
    let configured = of_cluster(ranges);
    let spec = object.entry("spec");
    let policy = spec.get("ipFamilyPolicy").str_or_empty().to_owned();
    let mut families: Vec<String> =
        spec.get("ipFamilies").items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let addresses: Vec<String> =
        spec.get("clusterIPs").items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let headless = addresses.first().is_some_and(|first| first == "None");
    let selectorless = spec.get("selector").is_empty();
    if headless && selectorless {
        // Nobody knows what its endpoints will be: it has both.
        if families.is_empty() {
            families.push(configured[0].to_owned());
        }
        if policy.is_empty() || policy == "RequireDualStack" {
            set_policy(spec, if families_named(spec) == 1 { "SingleStack" } else { "RequireDualStack" });
        }
        if spec.get("ipFamilyPolicy").str_or_empty() != "SingleStack" {
            add_other(&mut families);
        }
        spec.set("ipFamilies", families.into_iter().map(Value::from).collect::<Vec<_>>());
        return;
    }
    check(&configured, &policy, &families, &addresses, errors);
    if !errors.is_empty() {
        return;
    }
    for (position, address) in addresses.iter().enumerate() {
        if let Ok(address) = address.parse::<IpAddr>()
            && families.len() <= position
        {
            families.push(family_of(address).to_owned());
        }
    }
    if families.is_empty() {
        families.push(configured[0].to_owned());
    }
    let dual = matches!(policy.as_str(), "PreferDualStack" | "RequireDualStack");
    if dual && families.len() == 1 {
        families.extend(
            configured.iter().find(|family| **family != families[0]).map(|family| (*family).to_owned()),
        );
    }
    if policy.is_empty() {
        set_policy(spec, if families.len() > 1 { "RequireDualStack" } else { "SingleStack" });
    }
    if policy == "SingleStack" && old.is_some() {
        families.truncate(1);
        let first: Vec<Value> =
            addresses.iter().take(1).map(|address| Value::from(address.as_str())).collect();
        if !first.is_empty() {
            spec.set("clusterIPs", first);
        }
    }
    spec.set("ipFamilies", families.into_iter().map(Value::from).collect::<Vec<_>>());
}

fn families_named(spec: &Value) -> usize {
    spec.get("ipFamilies").items().len()
}

fn set_policy(spec: &mut Value, policy: &str) {
    spec.set("ipFamilyPolicy", policy);
}

fn add_other(families: &mut Vec<String>) {
    if families.len() == 1 {
        families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
    }
}

fn check(configured: &[&str], policy: &str, families: &[String], addresses: &[String], errors: &mut Errors) {
    let spec = Path::new("spec");
    let single = configured.len() == 1;
    if policy == "RequireDualStack" && single {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&spec.child("ipFamilyPolicy"), policy, why));
    }
    if (policy.is_empty() || policy == "SingleStack") && families.len() > 1 && single {
        let why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
        // Duplicates are validation's to find.
        if families[0] != families[1] {
            errors.push(Error::invalid(&spec.child("ipFamilyPolicy"), "SingleStack", why));
        }
    }
    if errors.is_empty() {
        for (position, family) in families.iter().enumerate() {
            if matches!(family.as_str(), "IPv4" | "IPv6") && !configured.contains(&family.as_str()) {
                let path = spec.child("ipFamilies").index(position);
                errors.push(Error::invalid(&path, family, "not configured on this cluster"));
            }
        }
    }
    for (position, address) in addresses.iter().enumerate() {
        if let Ok(parsed) = address.parse::<IpAddr>() {
            let family = family_of(parsed);
            if !configured.contains(&family) {
                let path = spec.child("clusterIPs").index(position);
                let all =
                    Value::from(addresses.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
                errors.push(Error::invalid(
                    &path,
                    &all,
                    format!("{family} is not configured on this cluster"),
                ));
            }
        }
    }
}
