//! Documents, and the engines that work on any kind of them, by schema. No I/O, no clock, no async.

pub mod apply;
pub mod cel;
pub mod field;
pub mod json;
pub mod jsonpath;
pub mod managed;
pub mod names;
pub mod object;
mod object_codec;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod time;
pub mod value;
pub mod yaml;

pub use object::Object;
pub use status::{Reason, Status};
pub use value::{Map, Name, Value};
