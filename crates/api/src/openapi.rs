//! OpenAPI documents as pure functions of the table: what can be called ([`paths`]) and what documents look like
//! ([`schemas`]), put together as version 2 ([`v2`]) and as version 3 ([`v3`]), as JSON and as protobuf ([`message`]).

mod custom;
mod descriptions;
mod extras;
mod message;
mod parameters;
mod paths;
mod schemas;
mod v2;
mod v3;

pub use custom::Custom;
pub use message::{encode_v2, encode_v3};
pub use v2::v2;
pub use v3::{v3, v3_custom, v3_extra, v3_group, v3_groups};
