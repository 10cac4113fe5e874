//! The kinds of `apps`: what keeps pods running.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
mod rollout;
pub mod scale;
pub mod stateful_set;
