//! No pod is made that a quota forbids.

use super::{Check, is_active};
use crate::ledger::{Change, Objects, Seen};

/// The promise.
pub struct Quotas;

/// How many pods a quota allows: a limit that was just lowered holds when it is counted.
fn limit(quota: &Seen) -> Option<usize> {
    let of = |place: &str| quota.document[place]["hard"]["pods"].as_str().and_then(|text| text.parse().ok());
    of("spec").max(of("status"))
}

impl Check for Quotas {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        if change.name.0 != "Pod" || change.old.is_some() {
            return Ok(());
        }
        let namespace = &change.name.1.namespace;
        let is_here = |seen: &&Seen| seen.object.header().namespace == *namespace;
        // What is told to end counts until its grace is over, and not after that, though it may be there still.
        let used = all.of_kind("Pod").filter(is_here).filter(|pod| is_active(pod)).count();
        for quota in all.of_kind("ResourceQuota").filter(is_here) {
            // Until it is counted for the first time nothing is allowed, which is another matter.
            let is_counted = quota.document["status"]["used"].is_object();
            if let Some(limit) = limit(quota).filter(|limit| is_counted && used > *limit) {
                return Err(format!("{} is pod {used} of {limit} that are allowed", change.name.1));
            }
        }
        Ok(())
    }
}
