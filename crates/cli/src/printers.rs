//! How answers are shown.

pub mod jsonpath;
pub mod output;
pub mod table;
