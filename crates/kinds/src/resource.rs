//! The kinds of `resource.k8s.io`: devices, and who gets them.

mod capacity;
pub mod claim;
mod claim_status;
pub mod device_class;
mod devices;
mod lists;
mod naming;
pub mod resource_slice;
mod selectors;
mod slice_device;
