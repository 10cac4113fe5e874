//! What a pod uses, and what it must say of itself where that is limited.

use std::collections::{BTreeMap, BTreeSet};

use machinery::Value;
use machinery::time::Timestamp;

use super::count;
use crate::pod_spec::amounts::{self, Amounts};
use crate::pod_spec::resources::{amount, is_extended, is_huge_page};

/// What every container must say once a quota limits it.
const DEMANDED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What a pod uses, besides being an object. One that is over, or should have been gone for long, uses nothing.
pub fn usage(pod: &Value, now_secs: i64) -> Amounts {
    if matches!(pod.at(&["status", "phase"]).str_or_empty(), "Succeeded" | "Failed")
        || is_overdue(pod, now_secs)
    {
        return Amounts::new();
    }
    let spec = pod.get("spec");
    let overhead = amounts::list(spec.get("overhead"));
    let mut requests = amounts::requests(spec);
    super::add(&mut requests, &overhead);
    let mut limits = amounts::limits(spec);
    // What is not limited does not become so.
    let more = overhead.into_iter().filter(|(name, _)| limits.contains_key(name)).collect();
    super::add(&mut limits, &more);
    let mut used = Amounts::from([("pods".to_owned(), count(1))]);
    used.extend(named(&requests, &limits));
    used
}

/// Its time to end, and as much again, have passed.
fn is_overdue(pod: &Value, now_secs: i64) -> bool {
    let metadata = pod.get("metadata");
    let Some(deletion) = Timestamp::parse(metadata.get("deletionTimestamp").str_or_empty()) else {
        return false;
    };
    let grace = metadata.get("deletionGracePeriodSeconds").as_int();
    grace.is_some_and(|grace| now_secs > deletion.secs.saturating_add(grace))
}

/// Requests and limits under the names of quotas.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::new();
    for (name, amount) in requests {
        let is_plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if is_plain || is_huge_page(name) {
            used.insert(name.clone(), *amount);
        }
        if is_plain || is_huge_page(name) || is_extended(name) {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), *amount);
        }
    }
    used
}

/// What containers must say and do not, where `names` are limited: `must specify cpu for: a,b; memory for: b`.
pub fn unsaid<'a>(pod: &Value, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let spec = pod.get("spec");
    let said = |resources: &Value| {
        let list = |which: &str| -> Amounts {
            resources.get(which).members().map(|(name, value)| (name.to_string(), amount(value))).collect()
        };
        named(&list("requests"), &list("limits"))
    };
    let by_pod = said(spec.get("resources"));
    let demanded = names.into_iter().filter(|name| DEMANDED.contains(name) && !by_pod.contains_key(*name));
    let demanded: Vec<&str> = demanded.collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in ["containers", "initContainers"].iter().flat_map(|list| spec.get(list).items()) {
        let own = said(container.get("resources"));
        for name in demanded.iter().filter(|name| !own.contains_key(**name)) {
            missing.entry(name).or_default().insert(container.get("name").str_or_empty());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts = missing.iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.iter().copied().collect();
        format!("{name} for: {}", containers.join(","))
    });
    Some(format!("must specify {}", parts.collect::<Vec<_>>().join("; ")))
}
