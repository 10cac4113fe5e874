//! What a job's status must look like, and what it says in one word.

use machinery::Value;

use crate::place::Place;

fn condition_is_true(status: &Value, kind: &str) -> bool {
    status.get("conditions").items().iter().any(|condition| {
        condition.get("type").str_or_empty() == kind && condition.get("status").str_or_empty() == "True"
    })
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

/// What is wrong with an update of the status.
pub(super) fn check(object: Place<'_>, old: &Value) {
    let place = object.get("status");
    let (status, old_status) = (place.value(), old.get("status"));
    for member in ["active", "succeeded", "failed", "ready", "terminating"] {
        place.get(member).not_negative();
    }
    let number = |member: &str| status.get(member).as_int().unwrap_or(0);
    let complete = condition_is_true(status, "Complete");
    let failed = condition_is_true(status, "Failed");
    let finished = complete || failed;
    let conditions = place.get("conditions");
    if complete && failed {
        conditions.invalid_unseen("cannot set Complete=True and Failed=true conditions");
    }
    let completion = place.get("completionTime");
    if complete && !completion.is_set() {
        completion.required("completionTime is required for Complete jobs");
    }
    if !complete && completion.is_set() {
        completion.invalid("completionTime cannot be set for non-Complete jobs");
    }
    let newly = |kind: &str| condition_is_true(status, kind) && !condition_is_true(old_status, kind);
    if newly("Failed") && !condition_is_true(status, "FailureTarget") {
        conditions
            .invalid_unseen("cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if newly("Complete") && !condition_is_true(status, "SuccessCriteriaMet") {
        conditions.invalid_unseen(
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        );
    }
    if finished && number("active") > 0 {
        place.get("active").invalid("active>0 is invalid for finished job");
    }
    if finished && number("terminating") > 0 {
        place.get("terminating").invalid("terminating>0 is invalid for finished job");
    }
    if place.get("ready").is_set() && number("ready") > number("active") {
        place.get("ready").invalid("cannot set more ready pods than active");
    }
    check_lasting(object, old);
}

/// What was decided stays decided.
fn check_lasting(object: Place<'_>, old: &Value) {
    let place = object.get("status");
    let (status, old_status) = (place.value(), old.get("status"));
    let conditions = place.get("conditions");
    let completion = place.get("completionTime");
    let complete = condition_is_true(status, "Complete");
    let was_finished = condition_is_true(old_status, "Complete") || condition_is_true(old_status, "Failed");
    for (kind, told) in [
        ("Complete", "Complete=True"),
        ("Failed", "Failed=True"),
        ("FailureTarget", "FailureTarget=True"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet=True"),
    ] {
        if condition_is_true(old_status, kind) && !condition_is_true(status, kind) {
            conditions.invalid_unseen(format!("cannot disable {told} condition"));
        }
    }
    if was_finished
        && complete
        && completion.is_set()
        && !old_status.get("completionTime").is_null()
        && status.get("completionTime") != old_status.get("completionTime")
    {
        completion.immutable(old_status.get("completionTime"));
    }
    let suspended = object.value().at(&["spec", "suspend"]).is_true();
    // The clock starts anew when it goes on.
    let resumed = condition_is_true(old_status, "Suspended") && !condition_is_true(status, "Suspended");
    let start = place.get("startTime");
    if !old_status.get("startTime").is_null()
        && !suspended
        && !resumed
        && status.get("startTime") != old_status.get("startTime")
    {
        if start.is_set() {
            start.required("startTime cannot be modified for unsuspended job");
        } else {
            start.required("startTime cannot be removed for unsuspended job");
        }
    }
}
