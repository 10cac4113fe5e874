//! `x-kubernetes-validations`: rules as they are written down.

mod costs;

use machinery::structural::{FieldPath, Structural};

pub use costs::{Around, Costs};

use crate::place::Place;

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with the rules of a schema. `whole` values have a kind and metadata.
pub(super) fn check(schema: Place<'_>, whole: bool, around: Around<'_>) {
    for rule in schema.get("x-kubernetes-validations").items() {
        check_texts(rule);
        let reason = rule.get("reason");
        if reason.is_set() && !REASONS.contains(&reason.text()) {
            reason.unsupported(&REASONS);
        }
        let path = rule.get("fieldPath");
        if path.text().is_empty() {
            continue;
        }
        if path.text().trim().is_empty() {
            path.invalid("fieldPath must be non-empty if specified");
        }
        if has_line_breaks(path.text()) {
            path.invalid("fieldPath must not contain line breaks");
        }
        if FieldPath::follow(path.text(), &Structural::compile(schema.value()), true).is_err() {
            path.invalid("must be a valid path");
        }
    }
    costs::check(schema, whole, around);
}

fn check_texts(rule: Place<'_>) {
    let (text, message) = (rule.get("rule"), rule.get("message"));
    if text.text().trim().is_empty() {
        text.required("rule is not specified");
    } else if !message.text().is_empty() && message.text().trim().is_empty() {
        message.invalid("message must be non-empty if specified");
    } else if has_line_breaks(message.text().trim()) {
        message.invalid("message must not contain line breaks");
    } else if has_line_breaks(text.text().trim()) && message.text().trim().is_empty() {
        message.required("message must be specified if rule contains line breaks");
    }
    let expression = rule.get("messageExpression");
    if !expression.text().is_empty() && expression.text().trim().is_empty() {
        expression.required("messageExpression must be non-empty if specified");
    }
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}
