//! The kinds of the core group.

pub mod binding;
pub mod component_status;
pub mod config_map;
pub mod endpoints;
pub mod event;
pub mod limit_range;
pub mod namespace;
pub mod node;
pub mod persistent_volume;
pub mod pod;
mod pod_changes;
mod pod_status;
mod pod_table;
pub mod pod_template;
pub mod replication_controller;
pub mod resource_quota;
pub mod secret;
pub mod service;
pub mod service_account;
mod service_changes;
pub mod volume_claim;
pub(crate) mod volume_source;

pub(crate) use volume_claim::{check_claim_template, default_claim_spec};
