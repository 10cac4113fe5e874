//! What an object uses of a namespace's quotas, and which quotas it counts for.
//!
//! Names are those of `spec.hard`: `pods`, `limits.cpu`, `services.nodeports`, `count/jobs.batch`, …

pub mod pods;
mod scopes;
#[cfg(test)]
mod tests;

use machinery::Value;
use machinery::quantity::{Format, Quantity};

use crate::pod_spec::amounts::Amounts;
use crate::pod_spec::resources::{amount, is_huge_page, is_native};

/// What stands between the name of a storage class and what of it is limited.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
/// What is limited of claims, in all or of a class.
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Kinds whose objects are also counted by their bare name.
const BARE: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

/// A resource of the API: its group and its plural.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tracked {
    /// The group; empty for the core group.
    pub group: String,
    /// The plural.
    pub plural: String,
}

impl Tracked {
    /// From its parts.
    pub fn new(group: &str, plural: &str) -> Tracked {
        Tracked { group: group.to_owned(), plural: plural.to_owned() }
    }

    /// `count/deployments.apps`
    pub fn count_name(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("count/{}{dot}{}", self.plural, self.group)
    }

    fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    /// The resource whose objects use what a quota limits under a name; `None` if there is none.
    pub fn by(name: &str) -> Option<Tracked> {
        if let Some(counted) = name.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Some(Tracked::new(group, plural));
        }
        let core = |plural| Some(Tracked::new("", plural));
        match name {
            "services" | "services.nodeports" | "services.loadbalancers" => core("services"),
            _ if BARE.contains(&name) => core(name),
            _ if is_of_claims(name) => core("persistentvolumeclaims"),
            _ if is_of_pods(name) => core("pods"),
            _ => None,
        }
    }

    /// Whether its objects use what a quota limits under a name.
    pub fn uses(&self, name: &str) -> bool {
        Tracked::by(name).is_some_and(|other| other == *self)
    }

    /// What an object of it uses. Pods are looked at `now`.
    pub fn usage(&self, object: &Value, now_secs: i64) -> Amounts {
        let mut used = Amounts::from([(self.count_name(), count(1))]);
        if self.is_core("pods") {
            used.extend(pods::usage(object, now_secs));
        } else if self.is_core("services") {
            used.extend(of_service(object));
        } else if self.is_core("persistentvolumeclaims") {
            used.extend(of_claim(object));
        } else if self.group.is_empty() && BARE.contains(&self.plural.as_str()) {
            used.insert(self.plural.clone(), count(1));
        }
        used
    }

    /// Whether an object is one of those a quota is about.
    pub fn is_in_scopes(&self, quota_spec: &Value, object: &Value) -> bool {
        let of_object = if self.is_core("pods") {
            scopes::of_pod
        } else if self.is_core("persistentvolumeclaims") {
            scopes::of_claim
        } else {
            scopes::of_others
        };
        scopes::all_of(quota_spec).iter().all(|scope| of_object(object, scope))
    }
}

fn count(number: usize) -> Quantity {
    Quantity::from_int(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

fn is_of_claims(name: &str) -> bool {
    let suffix = name.split_once(OF_CLASS).map(|(_, suffix)| suffix);
    OF_CLAIMS.contains(&name) || suffix.is_some_and(|suffix| OF_CLAIMS.contains(&suffix))
}

fn is_of_pods(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    let requested = name.strip_prefix("requests.");
    name == "pods"
        || matches!(plain, "cpu" | "memory" | "ephemeral-storage")
        || is_huge_page(name)
        || requested.is_some_and(|resource| is_huge_page(resource) || !is_native(resource))
}

fn of_service(service: &Value) -> Amounts {
    let spec = service.get("spec");
    let ports = spec.get("ports").items();
    let chosen = || ports.iter().filter(|port| port.get("nodePort").as_int().unwrap_or(0) != 0).count();
    let (node_ports, balancers) = match spec.get("type").str_or_empty() {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if spec.get("allocateLoadBalancerNodePorts").as_bool() == Some(false) => (chosen(), 1),
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    Amounts::from([
        ("services".to_owned(), count(1)),
        ("services.nodeports".to_owned(), count(node_ports)),
        ("services.loadbalancers".to_owned(), count(balancers)),
    ])
}

fn of_claim(claim: &Value) -> Amounts {
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), count(1))]);
    let asked = claim.at(&["spec", "resources", "requests", "storage"]);
    if !asked.is_null() {
        let allocated = amount(claim.at(&["status", "allocatedResources", "storage"]));
        // Whole bytes, as a quota counts no parts of them.
        used.insert("requests.storage".to_owned(), amount(asked).max(allocated).round_up(0));
    }
    let beta = claim.at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    let class = if beta.is_null() { claim.at(&["spec", "storageClassName"]) } else { beta };
    let class = class.str_or_empty();
    if !class.is_empty() {
        let by_class: Vec<(String, Quantity)> =
            used.iter().map(|(name, amount)| (format!("{class}{OF_CLASS}{name}"), *amount)).collect();
        used.extend(by_class);
    }
    used
}

/// Adds amounts to others.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let before = sum.get(name).copied().unwrap_or(Quantity::ZERO);
        sum.insert(name.clone(), before.plus(*amount));
    }
}

/// `cpu=1,memory=2Gi`
pub fn shown(amounts: &Amounts) -> String {
    let parts: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    parts.join(",")
}
