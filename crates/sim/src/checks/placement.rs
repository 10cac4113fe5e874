//! A pod is placed once, and no node is promised more than it has.

use super::{Check, is_terminal};
use crate::ledger::{Change, Objects, Seen};

/// The promise.
pub struct Placement;

fn node(pod: &Seen) -> &str {
    pod.document["spec"]["nodeName"].as_str().unwrap_or_default()
}

/// Thousandths of a processor, as they are written here: whole processors, or with an `m`.
fn millicores(text: &str) -> i64 {
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => text.parse::<i64>().unwrap_or(0) * 1_000,
    }
}

fn request(pod: &Seen) -> i64 {
    let requests = &pod.document["spec"]["containers"][0]["resources"]["requests"];
    millicores(requests["cpu"].as_str().unwrap_or("0"))
}

impl Check for Placement {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        let Some(pod) = change.new.filter(|_| change.name.0 == "Pod") else { return Ok(()) };
        let before = change.old.map_or("", node);
        let after = node(pod);
        if before == after {
            return Ok(());
        }
        let key = &change.name.1;
        if !before.is_empty() {
            return Err(format!("the pod {key} was moved from {before} to {after}"));
        }
        let is_daemon = pod.object.header().controller().is_some_and(|owner| owner.kind == "DaemonSet");
        let Some(found) = all.get("Node", &client::Key::new("", after)).filter(|_| !is_daemon) else {
            return Ok(());
        };
        let has = millicores(found.document["status"]["allocatable"]["cpu"].as_str().unwrap_or("0"));
        let placed = all.of_kind("Pod").filter(|other| node(other) == after && !is_terminal(other));
        let promised: i64 = placed.map(request).sum();
        if promised > has {
            return Err(format!(
                "the node {after} has {has}m of processor and {promised}m are promised by {key}"
            ));
        }
        Ok(())
    }
}
