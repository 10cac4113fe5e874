//! The few system calls that neither `std` nor `rustix` offers in a safe form, one subject per file.
//!
//! All `unsafe` of this crate is here and in `cgroup/devices.rs`; what is exported is safe to call.

pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod rights;
pub(crate) mod socket;
