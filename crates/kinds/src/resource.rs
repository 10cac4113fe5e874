//! The kinds of `resource.k8s.io`: devices, and who gets them.

pub mod claim;
pub mod device_class;
mod devices;
pub mod resource_slice;
mod selectors;
