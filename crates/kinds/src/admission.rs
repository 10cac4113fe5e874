//! The kinds of `admissionregistration.k8s.io`.

pub mod binding;
pub mod expressions;
pub mod policy;
mod rules;
pub mod webhook;
