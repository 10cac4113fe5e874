//! The server's side of HTTP/2, for very many connections that are mostly idle: one costs no buffer while nothing is under
//! way, and what answers put out at about the same time leaves in one piece.
//!
//! A connection is a task that reads frames and writes what waits on its [`link`]; each request is a task that puts its
//! answer there. RFC 9113 is the protocol, RFC 7541 its packing of headers.

mod answer;
mod body;
mod connection;
mod date;
mod fault;
mod frame;
pub mod hpack;
mod link;
mod output;
mod receive;
mod request;
mod server;
mod streams;

pub use body::{BrokenOff, Incoming};
pub use fault::{Code, Error};
pub use receive::Limits;
pub use server::{Config, Server};
