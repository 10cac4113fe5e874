//! The rules of `LabelSelector` documents.

use machinery::field::Errors;
use machinery::selector::LabelSelector;
use machinery::{Value, names};

use crate::metadata::{check_label_name, check_labels};
use crate::place::{Place, inspect};

/// Which label values a selector may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Only those that a label can have.
    Valid,
    /// Any: an old object asks for one that no label can have.
    Any,
}

/// What is wrong with a selector.
pub fn check(selector: Place<'_>, values: Values) {
    check_labels(selector.get("matchLabels"));
    for requirement in selector.get("matchExpressions").items() {
        check_requirement(requirement, values);
    }
}

fn check_requirement(requirement: Place<'_>, allowed: Values) {
    let values = requirement.get("values");
    match requirement.get("operator").text() {
        "In" | "NotIn" if values.is_empty() => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => requirement.get("operator").invalid_as(other, "not a valid selector operator"),
    }
    let key = requirement.get("key");
    check_label_name(key, key.text());
    if allowed == Values::Valid {
        for value in values.items() {
            value.faults(names::label_value(value.text()));
        }
    }
}

/// What a selector asks for; nothing if it cannot be asked for: no object can be compared with it then.
pub fn parsed(selector: &Value) -> Option<LabelSelector> {
    let mut errors = Errors::new();
    inspect(selector, &mut errors, |selector| check(selector, Values::Valid));
    LabelSelector::from_document(selector).ok().filter(|_| errors.is_empty())
}

/// Whether a selector holds nothing at all.
pub fn is_blank(selector: Place<'_>) -> bool {
    selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty()
}
