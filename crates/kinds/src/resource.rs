//! The kinds of `resource.k8s.io`: devices, and who gets them. Expressions are compiled where there is an evaluator.

pub mod claim;
pub mod device_class;
mod devices;
pub mod resource_slice;
