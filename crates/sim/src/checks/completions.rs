//! Each pod of a Job is counted once, whatever happens between its end and the count.

use std::collections::{BTreeMap, BTreeSet};

use machinery::object::Header;
use serde_json::Value;
use smol_str::SmolStr;

use super::Check;
use crate::ledger::{Change, Objects};

/// The promise.
#[derive(Default)]
pub struct Completions {
    /// By the Job's identity, its pods that succeeded, and those that ended in any other way.
    ended: BTreeMap<SmolStr, Ends>,
}

#[derive(Default)]
struct Ends {
    succeeded: BTreeSet<SmolStr>,
    failed: BTreeSet<SmolStr>,
    all: BTreeSet<SmolStr>,
}

fn job_of(header: &Header) -> Option<&SmolStr> {
    header.controller().filter(|owner| owner.kind == "Job").map(|owner| &owner.uid)
}

fn number(status: &Value, name: &str) -> usize {
    status[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

fn uncounted(status: &Value, name: &str) -> usize {
    status["uncountedTerminatedPods"][name].as_array().map_or(0, Vec::len)
}

impl Completions {
    fn see_pod(&mut self, change: &Change<'_>) {
        let Some(pod) = change.new.or(change.old) else { return };
        let header = pod.object.header();
        let Some(job) = job_of(header) else { return };
        let ends = self.ended.entry(job.clone()).or_default();
        ends.all.insert(header.uid.clone());
        let phase = pod.document["status"]["phase"].as_str().unwrap_or_default();
        if phase == "Succeeded" {
            ends.succeeded.insert(header.uid.clone());
        } else if phase == "Failed" || header.deleting || change.new.is_none() {
            ends.failed.insert(header.uid.clone());
        }
    }

    fn see_job(&mut self, change: &Change<'_>) -> Result<(), String> {
        let (Some(old), Some(new)) = (change.old, change.new) else { return Ok(()) };
        let (before, after) = (&old.document["status"], &new.document["status"]);
        let key = &change.name.1;
        let header = new.object.header();
        let ends = self.ended.entry(header.uid.clone()).or_default();
        let conditions = after["conditions"].as_array().cloned().unwrap_or_default();
        // Once it is to fail, all that still runs is as good as failed.
        let is_failing = conditions.iter().any(|condition| condition["type"] == "FailureTarget");
        let failed = if is_failing { &ends.all } else { &ends.failed };
        for (name, ended) in [("succeeded", &ends.succeeded), ("failed", failed)] {
            let (was, is) = (number(before, name), number(after, name));
            if is < was && new.document["spec"]["completionMode"] != "Indexed" {
                return Err(format!("the job {key} had {was} pods {name}, and now {is}"));
            }
            let claimed = is + uncounted(after, name);
            if claimed > ended.len() {
                return Err(format!("the job {key} counts {claimed} pods {name} of {}", ended.len()));
            }
        }
        let is_complete =
            |condition: &Value| condition["type"] == "Complete" && condition["status"] == "True";
        let wanted = number(&new.document["spec"], "completions");
        if conditions.iter().any(is_complete) && number(after, "succeeded") < wanted {
            return Err(format!("the job {key} is complete with too few pods: {after}"));
        }
        Ok(())
    }
}

impl Check for Completions {
    fn see(&mut self, change: &Change<'_>, _: &Objects) -> Result<(), String> {
        match change.name.0.as_str() {
            "Pod" => {
                self.see_pod(change);
                Ok(())
            }
            "Job" => self.see_job(change),
            _ => Ok(()),
        }
    }
}
