//! What a job's status must look like, and what it says in one word.

use std::collections::BTreeSet;

use machinery::Value;
use machinery::time::Timestamp;

use super::job_indexes;
use crate::internal;
use crate::place::{Place, Raw, same};

fn condition_is(status: &Value, kind: &str, expected: &str) -> bool {
    status.get("conditions").items().iter().any(|condition| {
        condition.get("type").str_or_empty() == kind && condition.get("status").str_or_empty() == expected
    })
}

pub(super) fn condition_is_true(status: &Value, kind: &str) -> bool {
    condition_is(status, kind, "True")
}

/// The state as a row shows it.
pub(super) fn shown(object: &Value) -> &'static str {
    let status = object.get("status");
    if condition_is_true(status, "Complete") {
        "Complete"
    } else if condition_is_true(status, "Failed") {
        "Failed"
    } else if !object.at(&["metadata", "deletionTimestamp"]).is_null() {
        "Terminating"
    } else if condition_is_true(status, "Suspended") {
        "Suspended"
    } else if condition_is_true(status, "FailureTarget") {
        "FailureTarget"
    } else if condition_is_true(status, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

/// A status, and the one before it.
struct Statuses<'a> {
    new: &'a Value,
    old: &'a Value,
}

impl Statuses<'_> {
    fn is(&self, condition: &str) -> bool {
        condition_is_true(self.new, condition)
    }

    fn was(&self, condition: &str) -> bool {
        condition_is_true(self.old, condition)
    }

    fn finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    /// Whether one of these conditions or members became another one. Rules hold for what changes: what is wrong
    /// already may stay so.
    fn changed(&self, conditions: &[&str], members: &[&str]) -> bool {
        let turned = |condition: &&str| self.is(condition) != self.was(condition);
        let differs = |member: &&str| !same(self.new.get(member), self.old.get(member));
        conditions.iter().any(turned) || members.iter().any(differs)
    }

    fn finish_changed(&self) -> bool {
        self.finished() != (self.was("Complete") || self.was("Failed"))
    }

    fn number(&self, member: &str) -> i64 {
        self.new.get(member).as_int().unwrap_or(0)
    }
}

/// What is wrong with an update of the status.
pub(super) fn check(object: Place<'_>, old: &Value) {
    let place = object.get("status");
    let statuses = Statuses { new: place.value(), old: old.get("status") };
    for member in ["active", "succeeded", "failed", "ready", "terminating"] {
        place.get(member).not_negative();
    }
    let uncounted = place.get("uncountedTerminatedPods");
    for member in ["succeeded", "failed"] {
        check_uids(uncounted.get(member));
    }
    check_outcome(place, &statuses);
    check_finished(object, &statuses);
    check_indexes(object, &statuses);
    check_success(object, &statuses);
    check_lasting(object, &statuses);
}

fn check_uids(uids: Place<'_>) {
    let mut seen = BTreeSet::new();
    for uid in uids.items() {
        if uid.text().is_empty() {
            uid.invalid("must not be empty");
        } else if !seen.insert(uid.key()) {
            uid.duplicate();
        }
    }
}

/// Complete or failed, and since when.
fn check_outcome(place: Place<'_>, statuses: &Statuses<'_>) {
    let (complete, failed) = (statuses.is("Complete"), statuses.is("Failed"));
    let (conditions, completion) = (place.get("conditions"), place.get("completionTime"));
    if statuses.changed(&["Complete", "Failed"], &[]) && complete && failed {
        conditions.invalid_unseen("cannot set Complete=True and Failed=true conditions");
    }
    if statuses.changed(&["Complete", "FailureTarget"], &[]) && complete && statuses.is("FailureTarget") {
        conditions.invalid_unseen("cannot set Complete=True and FailureTarget=true conditions");
    }
    if statuses.changed(&["Complete"], &["completionTime"]) {
        if completion.is_set() && !complete {
            completion.invalid("cannot set completionTime when there is no Complete=True condition");
        }
        if complete && !completion.is_set() {
            completion.required("completionTime is required for Complete jobs");
        }
    }
    let (start, end) = (place.get("startTime").text(), completion.text());
    if statuses.changed(&[], &["startTime", "completionTime"])
        && let (Some(start), Some(end)) = (Timestamp::parse(start), Timestamp::parse(end))
        && end < start
    {
        completion.invalid("must be equal to or after `startTime`");
    }
    if statuses.changed(&["Failed"], &["failedIndexes"]) && failed && !statuses.is("FailureTarget") {
        conditions
            .invalid_unseen("cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if statuses.changed(&["Complete", "SuccessCriteriaMet"], &[])
        && complete
        && !statuses.is("SuccessCriteriaMet")
    {
        conditions.invalid_unseen(
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        );
    }
}

/// What no finished job has any more.
fn check_finished(object: Place<'_>, statuses: &Statuses<'_>) {
    let place = object.get("status");
    let touched = |members: &[&str]| statuses.finish_changed() || statuses.changed(&[], members);
    if !statuses.finished() {
        return;
    }
    if touched(&["active"]) && statuses.number("active") > 0 {
        place.get("active").invalid("active>0 is invalid for finished job");
    }
    let spec = object.value().get("spec");
    let never_starts = spec.get("suspend").is_true() && spec.get("completions").as_int() == Some(0);
    if touched(&["startTime"]) && !never_starts && !place.get("startTime").is_set() {
        place.get("startTime").required("startTime is required for finished job");
    }
    let uncounted = place.get("uncountedTerminatedPods");
    let left = uncounted.get("succeeded").len() + uncounted.get("failed").len();
    if touched(&["uncountedTerminatedPods"]) && left > 0 {
        let shown = internal::show("UncountedTerminatedPods", uncounted.value());
        uncounted.invalid_as(Raw(shown), "must be empty for finished job");
    }
}

/// Which indexes are done, and which failed.
fn check_indexes(object: Place<'_>, statuses: &Statuses<'_>) {
    let place = object.get("status");
    let spec = object.value().get("spec");
    let completions = spec.get("completions").as_int();
    let (completed, failed) = (place.get("completedIndexes"), place.get("failedIndexes"));
    let completed_changed = statuses.changed(&[], &["completedIndexes"]);
    let failed_changed = statuses.new.get("failedIndexes") != statuses.old.get("failedIndexes");
    let per_index = !spec.get("backoffLimitPerIndex").is_null();
    if let Some(completions) = completions {
        let looked_at =
            [("completedIndexes", completed_changed), ("failedIndexes", failed_changed && per_index)];
        for (member, _) in looked_at.into_iter().filter(|(_, changed)| *changed) {
            let place = place.get(member);
            if let Err(problem) = job_indexes::count(place.text(), completions) {
                place.invalid(format!("error parsing {member}: {problem}"));
            }
        }
    }
    let indexed = spec.get("completionMode").str_or_empty() == "Indexed";
    if completed_changed && !completed.text().is_empty() && !indexed {
        completed.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && failed.is_set() && !per_index {
        failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (failed_changed || completed_changed)
        && let Some(completions) = completions
        && let Some(index) = job_indexes::overlap(completed.text(), failed.text(), completions)
    {
        failed.invalid(format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
    let (terminating, ready) = (place.get("terminating"), place.get("ready"));
    if (statuses.finish_changed() || statuses.changed(&[], &["terminating"]))
        && statuses.finished()
        && terminating.int() > 0
    {
        terminating.invalid("terminating>0 is invalid for finished job");
    }
    if statuses.changed(&[], &["ready", "active"])
        && ready.is_set()
        && ready.int() > statuses.number("active")
    {
        ready.invalid("cannot set more ready pods than active");
    }
}

fn check_success(object: Place<'_>, statuses: &Statuses<'_>) {
    let status = object.get("status");
    let conditions = status.get("conditions");
    let met = statuses.is("SuccessCriteriaMet");
    if met && statuses.is("Failed") {
        conditions.invalid_unseen("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if met && statuses.is("FailureTarget") {
        conditions.invalid_unseen("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if !object.value().at(&["spec", "successPolicy"]).is_null() && !met && statuses.is("Complete") {
        conditions.invalid_unseen(
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        );
    }
}

/// What was decided stays decided.
fn check_lasting(object: Place<'_>, statuses: &Statuses<'_>) {
    let place = object.get("status");
    let spec = object.value().get("spec");
    let conditions = place.get("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if statuses.was(kind) && !statuses.is(kind) {
            conditions.invalid_unseen(format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    // A job that is scaled down together with its parallelism may forget what it did beyond.
    let shrinks = spec.get("completionMode").str_or_empty() == "Indexed"
        && spec.get("completions") == spec.get("parallelism");
    for member in ["failed", "succeeded"] {
        let before = statuses.old.get(member).as_int().unwrap_or(0);
        if place.get(member).int() < before && !(member == "succeeded" && shrinks) {
            place.get(member).invalid_number(format!("cannot decrease the {member} counter"));
        }
    }
    let (completion, start) = (place.get("completionTime"), place.get("startTime"));
    let before = statuses.old.get("completionTime");
    if completion.is_set() && !before.is_null() {
        completion.immutable(before);
    }
    // The clock starts anew when it goes on.
    let goes_on = condition_is(statuses.new, "Suspended", "False");
    let resumed = statuses.was("Suspended") && goes_on;
    let moved =
        !same(start.value(), statuses.old.get("startTime")) && !statuses.old.get("startTime").is_null();
    if moved && !resumed && !spec.get("suspend").is_true() {
        start.invalid("field is immutable for unsuspended job once set");
    }
    let (met, was_met) = (statuses.is("SuccessCriteriaMet"), statuses.was("SuccessCriteriaMet"));
    if was_met && !met {
        conditions.invalid_unseen("cannot disable the SuccessCriteriaMet=True condition");
    }
    if statuses.was("Complete") && !was_met && met {
        conditions.invalid_unseen(
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        );
    }
}
