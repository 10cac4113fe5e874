//! Logs of containers, as the runtime writes them.

pub(crate) mod line;
