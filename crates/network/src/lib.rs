//! The network of a node: pods, Services, names, and what may speak to what.

pub mod cni;
pub mod dns;
pub mod feed;
pub mod host;
pub mod machine;
pub mod names;
pub mod netlink;
pub mod nftables;
mod node;
pub mod overlay;
pub mod podnet;
pub mod policy;
pub mod proxy;
pub mod trace;
pub mod view;

pub use node::{Config, DEFAULT_MTU, Network, Pods, start, teardown};
