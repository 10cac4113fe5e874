//! The kinds of the core group.

pub mod binding;
pub mod config_map;
pub mod endpoints;
pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
mod pod_changes;
mod pod_status;
mod pod_table;
pub mod pod_template;
pub mod secret;
pub mod service;
pub mod service_account;
mod service_changes;
pub mod volume_claim;

pub(crate) use volume_claim::{check_claim_template, default_claim_spec};
