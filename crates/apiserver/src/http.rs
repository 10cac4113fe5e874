//! The listener and everything about HTTP that is not about objects.

pub mod accept;
pub mod body;
pub mod compress;
pub mod indent;
pub mod listener;
pub mod secure;
pub mod tls;
pub mod websocket;

pub use body::Body;

/// An answer on its way out.
pub type Response = http::Response<Body>;
