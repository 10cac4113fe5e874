//! What tests of several rooms share: a whole cluster in one process under virtual time, with nodes that only pretend.

pub mod cluster;
pub mod node;

pub use cluster::Cluster;
pub use node::FakeNode;
