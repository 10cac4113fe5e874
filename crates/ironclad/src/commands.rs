//! What the commands do, one file each.

pub mod backup;
pub mod datastore;
pub mod down;
pub mod image;
pub mod restore;
pub mod status;
pub mod up;
