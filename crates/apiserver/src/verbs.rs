//! What can be done with objects, one file per verb. HTTP and the in-process transport both come in here.

pub mod apply;
pub mod create;
pub mod delete;
pub mod deletecollection;
pub mod get;
pub mod list;
pub mod patch;
pub mod update;
pub mod watch;
