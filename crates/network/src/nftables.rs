//! The kernel's packet rules (nf_tables), spoken to in its own messages: a [`Batch`] of changes takes effect as a
//! whole or not at all. Maps and sets have names and are changed element by element; rules are few and rarely change.

pub mod batch;
pub mod blueprint;
pub mod expression;
pub mod kernel;
pub mod set;

pub use batch::{BaseChain, Batch, ChainKind, Hook};
pub use blueprint::{Blueprint, Present};
pub use expression::{Expression, Register, Verdict};
pub use kernel::Nft;
pub use set::{Data, Element, Field, Set};

/// Priorities of base chains, as the kernel's own parts use them.
pub mod priority {
    /// Before connection tracking.
    pub const RAW: i32 = -300;
    /// Where destinations are translated.
    pub const DESTINATION: i32 = -100;
    /// Where packets are let through or not.
    pub const FILTER: i32 = 0;
    /// Where sources are translated.
    pub const SOURCE: i32 = 100;
}
