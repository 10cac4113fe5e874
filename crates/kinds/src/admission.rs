//! The kinds of `admissionregistration.k8s.io`. Expressions are compiled where there is an evaluator; here stands what
//! must hold of everything around them.

pub mod binding;
pub mod policy;
mod rules;
pub mod webhook;
