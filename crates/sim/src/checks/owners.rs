//! The garbage collector deletes nothing that has a live owner.

use super::Check;
use crate::ledger::{Change, Objects};

/// The promise.
pub struct Owners;

const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const FOREGROUND: &str = "foregroundDeletion";

impl Check for Owners {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        let is_collected = !change.deleters.is_empty() && change.deleters.iter().all(|who| who == COLLECTOR);
        let Some(old) = change.old.filter(|_| change.is_end() && is_collected) else { return Ok(()) };
        for owner in &old.object.header().owners {
            let Some(found) = all.by_uid(&owner.uid) else { continue };
            let header = found.object.header();
            let waits = header.deleting && header.finalizers.iter().any(|name| name == FOREGROUND);
            if !waits {
                let (kind, key) = change.name;
                return Err(format!("{kind} {key} was collected while its owner {} lives", header.key()));
            }
        }
        Ok(())
    }
}
