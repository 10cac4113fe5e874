//! Documents, and the engines that work on any kind of them, by schema. No I/O, no clock, no async.

pub mod field;
pub mod object;
mod object_codec;
pub mod status;
pub mod value;

pub use object::Object;
pub use status::{Reason, Status};
pub use value::{Map, Value};
