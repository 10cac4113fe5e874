//! Policies that users write: rules in expressions, which refuse writes or change them.
//!
//! A policy says what; its bindings say where, with which parameters. [`catalog`] keeps them compiled, [`criteria`] finds
//! those that a write is a matter of, [`evaluation`] evaluates; [`validating`] and [`mutating`] draw the conclusions.

mod catalog;
mod criteria;
mod evaluation;
mod mutating;
mod parameters;
mod subject;
mod validating;

pub(super) use mutating::{MutatingPolicies, Round};
pub(super) use validating::ValidatingPolicies;

use super::Review;

/// Kinds that no policy is asked about: a wrong policy could never be taken away.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Whether no policy is asked about a write.
fn is_exempt(review: &Review<'_>) -> bool {
    let served = review.served;
    (served.group == "admissionregistration.k8s.io" && EXEMPT.contains(&served.plural.as_str()))
        || matches!(served.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
}

#[cfg(test)]
mod tests;
