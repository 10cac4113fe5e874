//! No two pods have one address.

use super::{Check, is_terminal};
use crate::ledger::{Change, Objects, Seen};

/// The promise.
pub struct Addresses;

/// The address of a pod that may use it.
fn address(pod: &Seen) -> Option<&str> {
    pod.document["status"]["podIP"].as_str().filter(|_| !is_terminal(pod))
}

impl Check for Addresses {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        let Some(pod) = change.new.filter(|_| change.name.0 == "Pod") else { return Ok(()) };
        let Some(taken) = address(pod) else { return Ok(()) };
        if change.old.and_then(address) == Some(taken) {
            return Ok(());
        }
        // What is left of a node that is gone is collected soon; its range may be another's already.
        let is_there = |other: &&Seen| {
            let node = other.document["spec"]["nodeName"].as_str().unwrap_or_default();
            all.get("Node", &client::Key::new("", node)).is_some()
        };
        let uid = &pod.object.header().uid;
        let others = all.of_kind("Pod").filter(|other| other.object.header().uid != *uid);
        match others.filter(is_there).find(|other| address(other) == Some(taken)) {
            Some(other) => Err(format!(
                "two pods have the address {taken}: {} and {}",
                change.name.1,
                other.object.header().key()
            )),
            None => Ok(()),
        }
    }
}
