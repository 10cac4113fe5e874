//! One way to reach the API, in process or over HTTPS; caches with indexes, a work queue, and the driver that executes
//! plans. Nobody in ring 2 can tell which transport it was given.

pub mod transport;

pub use transport::{Call, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write};
