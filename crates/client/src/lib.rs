//! One way to reach the API, in process or over HTTPS; caches with indexes, a work queue, and the driver that executes
//! plans. Nobody in ring 2 can tell which transport it was given.

pub mod cache;
pub mod driver;
pub mod election;
pub mod https;
mod key;
pub mod plan;
pub mod queue;
pub mod recorder;
pub mod resources;
pub mod selector;
#[cfg(test)]
mod tests;
pub mod time;
pub mod transport;
mod typed;

pub use cache::{Cache, Change, Entry};
pub use driver::{Controller, Driver};
pub use key::Key;
pub use plan::{Op, Plan, Step};
pub use queue::Queue;
pub use recorder::{About, EventKind, Recorder};
pub use resources::Typed;
pub use transport::{
    Call, Delete, ListAnswer, Resource, SharedTransport, Transport, WatchEvent, WatchStream, Write,
};
pub use typed::Client;
