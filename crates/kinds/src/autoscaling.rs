//! The kinds of `autoscaling`.

mod behavior;
pub mod horizontal_pod_autoscaler;
mod metrics;
