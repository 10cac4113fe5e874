//! Policies that users write: rules in expressions, which refuse writes or change them.
//!
//! A policy says what; its bindings say where, with which parameters. [`catalog`] keeps them compiled, [`criteria`] finds
//! those that a write is a matter of, [`evaluation`] evaluates; [`validating`] and [`mutating`] draw the conclusions.

pub(super) mod catalog;
pub(super) mod criteria;
pub(super) mod evaluation;
mod mutating;
mod parameters;
pub(super) mod subject;
mod validating;

pub(super) use mutating::{MutatingPolicies, settled};
pub(super) use validating::{ValidatingPolicies, refused};

use super::Review;

/// Kinds that no policy and no webhook is asked about: a wrong one could never be taken away.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Whether no policy and no webhook is asked about a write.
pub(super) fn is_exempt(review: &Review<'_>) -> bool {
    let served = review.served;
    served.group == "admissionregistration.k8s.io" && EXEMPT.contains(&served.plural.as_str())
}

#[cfg(test)]
mod tests;
