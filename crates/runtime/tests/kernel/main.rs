//! The runtime on a real kernel. As root, each test in mount and network namespaces of its own, with an instance name
//! of its own, and with a look at the end whether anything was left behind.

mod features;
mod harness;
mod images;
mod lifecycle;
mod oci;
mod recovery;
mod registry;
mod sessions;
mod users;
