//! Errors as plugins tell them.

use serde::{Deserialize, Serialize};

/// What the numbers of errors mean.
pub mod code {
    /// The version of the configuration is not supported.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// The container is not known.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or makes no sense.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// A file or a socket failed.
    pub const IO: u32 = 5;
    /// What was given cannot be read.
    pub const DECODING: u32 = 6;
    /// The configuration makes no sense.
    pub const INVALID_CONFIGURATION: u32 = 7;
    /// It may work later.
    pub const TRY_LATER: u32 = 11;
    /// No container can be attached now.
    pub const NOT_AVAILABLE: u32 = 50;
    /// It failed.
    pub const FAILED: u32 = 100;
}

/// Why a plugin did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details}", if details.is_empty() { "" } else { "; " })]
pub struct Failure {
    /// Its number.
    #[serde(default)]
    pub code: u32,
    /// In short.
    #[serde(default)]
    pub msg: String,
    /// At length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Failure {
    /// With a number, in words.
    pub fn new(code: u32, msg: impl Into<String>) -> Failure {
        Failure { code, msg: msg.into(), details: String::new() }
    }
}
