//! SPDY/3.1 as Kubernetes uses it: streams of bytes over one connection, for commands and ports of pods.
//!
//! What is on the wire is pure ([`frame`], [`headers`]); [`session`] moves it. Windows are not kept, as none of those who
//! still speak SPDY keeps them: a stream that is not read holds up the others.

mod dictionary;
pub mod frame;
pub mod headers;
pub mod session;

pub use headers::Headers;
pub use session::{Offer, Reader, Session, Side, Stream, Writer};
