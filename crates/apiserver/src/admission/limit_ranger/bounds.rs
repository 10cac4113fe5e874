//! Whether amounts keep within the bounds of a limit range.

use std::cmp::Ordering;

use machinery::Value;
use machinery::quantity::Quantity;

use kinds::pod_spec::amounts::{self, Amounts};

/// Beyond it thousandths no longer fit into 64 bits.
const MAX_MILLI_VALUE: i64 = i64::MAX / 1_000;

/// What is bounded: a container, a pod or a claim, and the amounts of its own.
struct Bounded<'a> {
    kind: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

/// What is wrong with a pod.
pub(super) fn of_pod(range: &Value, pod: &Value) -> Vec<String> {
    let spec = pod.get("spec");
    let mut found = Vec::new();
    for limit in range.at(&["spec", "limits"]).items() {
        match limit.get("type").str_or_empty() {
            "Container" => {
                for list in ["containers", "initContainers"] {
                    for container in spec.get(list).items() {
                        let resources = container.get("resources");
                        let (requests, limits) = (
                            amounts::list(resources.get("requests")),
                            amounts::list(resources.get("limits")),
                        );
                        let own = Bounded { kind: "Container", requests: &requests, limits: &limits };
                        own.check(limit, &mut found);
                    }
                }
            }
            "Pod" => {
                let (requests, limits) = (amounts::requests(spec), amounts::limits(spec));
                Bounded { kind: "Pod", requests: &requests, limits: &limits }.check(limit, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// What is wrong with a claim.
pub(super) fn of_claim(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = amounts::list(claim.at(&["spec", "resources", "requests"]));
    let own = Bounded { kind: KIND, requests: &requests, limits: &Amounts::new() };
    let mut found = Vec::new();
    for limit in range.at(&["spec", "limits"]).items() {
        if limit.get("type").as_str() == Some(KIND) {
            found
                .extend(amounts::list(limit.get("min")).iter().filter_map(|(name, min)| own.min(name, *min)));
            // A claim has no limits: its request is what must not be too large.
            let max = amounts::list(limit.get("max"));
            found.extend(max.iter().filter_map(|(name, max)| own.max_request(name, *max)));
        }
    }
    found
}

impl Bounded<'_> {
    fn check(&self, limit: &Value, found: &mut Vec<String>) {
        let bounds = |field: &str| amounts::list(limit.get(field));
        found.extend(bounds("min").iter().filter_map(|(name, min)| self.min(name, *min)));
        found.extend(bounds("max").iter().filter_map(|(name, max)| self.max(name, *max)));
        let ratios = bounds("maxLimitRequestRatio");
        found.extend(ratios.iter().filter_map(|(name, ratio)| self.ratio(name, *ratio)));
    }

    fn min(&self, name: &str, min: Quantity) -> Option<String> {
        let is = format!("minimum {name} usage per {} is {min}", self.kind);
        let Some(request) = self.requests.get(name) else {
            return Some(format!("{is}.  No request is specified"));
        };
        if request.cmp(&min) == Ordering::Less {
            return Some(format!("{is}, but request is {request}"));
        }
        let limit = self.limits.get(name).filter(|limit| limit.cmp(&&min) == Ordering::Less)?;
        Some(format!("{is}, but limit is {limit}"))
    }

    fn max(&self, name: &str, max: Quantity) -> Option<String> {
        let is = format!("maximum {name} usage per {} is {max}", self.kind);
        let Some(limit) = self.limits.get(name) else {
            return Some(format!("{is}.  No limit is specified"));
        };
        if limit.cmp(&max) == Ordering::Greater {
            return Some(format!("{is}, but limit is {limit}"));
        }
        let request = self.requests.get(name).filter(|request| request.cmp(&&max) == Ordering::Greater)?;
        Some(format!("{is}, but request is {request}"))
    }

    fn max_request(&self, name: &str, max: Quantity) -> Option<String> {
        let is = format!("maximum {name} usage per {} is {max}", self.kind);
        match self.requests.get(name) {
            None => Some(format!("{is}.  No request is specified")),
            Some(request) if request.cmp(&max) == Ordering::Greater => {
                Some(format!("{is}, but request is {request}"))
            }
            Some(_) => None,
        }
    }

    fn ratio(&self, name: &str, most: Quantity) -> Option<String> {
        let is = format!("{name} max limit to request ratio per {} is {most}", self.kind);
        let present = |list: &Amounts| list.get(name).copied().filter(|amount| !amount.is_zero());
        let Some(request) = present(self.requests) else {
            return Some(format!("{is}, but no request is specified or request is 0"));
        };
        let Some(limit) = present(self.limits) else {
            return Some(format!("{is}, but no limit is specified or limit is 0"));
        };
        let ratio = divided(limit, request);
        (ratio > most.as_f64()).then(|| format!("{is}, but provided ratio is {ratio:.6}"))
    }
}

/// As upstream divides: thousandths where they fit, else whole numbers.
fn divided(limit: Quantity, request: Quantity) -> f64 {
    let fits = [limit, request].iter().all(|amount| amount.value() <= MAX_MILLI_VALUE);
    let (limit, request) =
        if fits { (limit.milli_value(), request.milli_value()) } else { (limit.value(), request.value()) };
    // Both are far below what a float holds exactly, or too large for the difference to matter.
    limit as f64 / request as f64
}
