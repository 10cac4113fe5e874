//! The network with real packets: every test makes network namespaces of its own, and touches no other.

mod api;
mod bench;
mod cluster;
mod cni;
mod dns;
mod machine;
mod overlay;
mod podnet;
mod policy;
mod policy_matrix;
mod proxy;
mod restart;
