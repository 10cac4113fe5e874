//! OpenAPI documents as pure functions of the table: what can be called ([`paths`]) and what documents look like
//! ([`schemas`]), put together as version 3 ([`v3`]).

mod paths;
mod schemas;
mod v3;

pub use v3::{v3, v3_group, v3_groups};
