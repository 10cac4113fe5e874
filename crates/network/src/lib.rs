//! The network of a node: pods, Services, names, and what may speak to what.

pub mod names;
pub mod netlink;
pub mod nftables;
pub mod podnet;
