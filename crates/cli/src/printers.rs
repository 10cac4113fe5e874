//! How answers are shown.

pub mod output;
pub mod table;
