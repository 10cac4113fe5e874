//! The rules of conditions, as kinds of later days have them.

use std::collections::BTreeSet;

use crate::place::Place;

/// How long a reason may be.
const REASON_MAX: usize = 1024;
/// How long a message may be.
const MESSAGE_MAX: usize = 32 * 1024;
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
     characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
     'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
     '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// What is wrong with conditions.
pub(crate) fn check(conditions: Place<'_>) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let kind = condition.get("type");
        if !seen.insert(kind.key()) {
            kind.duplicate();
        }
        check_one(condition);
    }
}

fn check_one(condition: Place<'_>) {
    let kind = condition.get("type");
    crate::metadata::check_label_name(kind, kind.text());
    condition.get("status").one_of(&["False", "True", "Unknown"]);
    let generation = condition.get("observedGeneration");
    if generation.int() < 0 {
        generation.invalid("must be greater than or equal to zero");
    }
    let time = condition.get("lastTransitionTime");
    if !time.is_set() {
        time.required("");
    }
    let reason = condition.get("reason");
    if reason.text().is_empty() {
        reason.required("");
    } else {
        if !is_reason(reason.text()) {
            reason.invalid(REASON_RULE);
        }
        if reason.text().len() > REASON_MAX {
            reason.too_long(REASON_MAX);
        }
    }
    let message = condition.get("message");
    if message.text().len() > MESSAGE_MAX {
        message.too_long(MESSAGE_MAX);
    }
}

fn is_reason(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
    let end = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| inner(*byte))
        && bytes.last().is_some_and(|byte| end(*byte))
}
