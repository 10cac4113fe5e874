//! The node's own object: what the machine has, how it is, and that its agent is alive.

pub(crate) mod facts;
pub(crate) mod lease;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod view;
