//! The promises of a cluster, one per file, checked at every commit.

mod addresses;
mod budgets;
mod completions;
mod owners;
mod placement;
mod quotas;
mod rollout;

use std::time::Duration;

use crate::ledger::{Change, Objects, Seen};

/// How old what a component knows may be: longer than the longest stall of a watch and the slowest call together.
const STALE: Duration = Duration::from_secs(60);

/// A promise.
pub trait Check: Send {
    /// Looks at one change; `all` is how everything is after it. The error says which promise was broken, and how.
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(addresses::Addresses),
        Box::new(budgets::Budgets::default()),
        Box::new(completions::Completions::default()),
        Box::new(owners::Owners),
        Box::new(placement::Placement),
        Box::new(quotas::Quotas),
        Box::new(rollout::Rollout::default()),
    ]
}

/// Whether a pod is neither ended nor told to.
pub fn is_active(pod: &Seen) -> bool {
    !pod.object.header().deleting && !is_terminal(pod)
}

/// Whether all containers of a pod have ended for good.
pub fn is_terminal(pod: &Seen) -> bool {
    matches!(pod.document["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Whether a pod is active and says that it is ready.
pub fn is_ready(pod: &Seen) -> bool {
    let conditions = pod.document["status"]["conditions"].as_array();
    is_active(pod)
        && conditions.is_some_and(|all| {
            all.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        })
}

/// Whether the labels of an object match `matchLabels`, which is all that is used here. An absent selector matches
/// nothing.
pub fn selects(selector: &serde_json::Value, object: &Seen) -> bool {
    let wanted = selector.get("matchLabels").unwrap_or(selector).as_object();
    wanted.is_some_and(|wanted| {
        wanted.iter().all(|(name, value)| object.object.header().label(name) == value.as_str())
    })
}

/// A number that may be given as a percentage of `total`, rounded up or down.
pub fn portion(value: &serde_json::Value, total: i64, is_rounded_up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let hundredfold = total * percent;
    Some(if is_rounded_up { (hundredfold + 99).div_euclid(100) } else { hundredfold.div_euclid(100) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::portion;

    #[test]
    fn portions_are_rounded_as_asked() {
        let cases = [
            (json!(2), 10, true, Some(2)),
            (json!("25%"), 10, true, Some(3)),
            (json!("25%"), 10, false, Some(2)),
            (json!("0%"), 10, true, Some(0)),
            (json!(null), 10, true, None),
        ];
        for (value, total, up, expected) in cases {
            assert_eq!(portion(&value, total, up), expected, "{value} of {total}");
        }
    }
}
