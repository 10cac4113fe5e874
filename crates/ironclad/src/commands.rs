//! What the commands do, one file each.

pub mod down;
pub mod image;
pub mod status;
pub mod up;
