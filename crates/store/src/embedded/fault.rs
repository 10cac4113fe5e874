//! What SQLite complains about, sorted by what is to be done.

use std::path::Path;

use rusqlite::ffi::ErrorCode;

use crate::StoreError;

/// What kind of trouble the database is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No space: nothing was written; try again when there is room.
    Full,
    /// What is on disk is not what was written.
    Damaged,
    /// The disk failed. What is durable and what is not can no longer be known: nothing may go on.
    Disk,
    /// Anything else: the statement failed, the database is as before.
    Other,
}

/// Sorts an error of SQLite.
pub(crate) fn trouble(error: &rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
        Some(ErrorCode::SystemIoFailure) => Trouble::Disk,
        _ => Trouble::Other,
    }
}

/// An error of SQLite as the store's own.
pub(crate) fn store_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display().to_string();
    match trouble(error) {
        Trouble::Full => StoreError::DiskFull { path },
        Trouble::Damaged => StoreError::Corrupt { path, detail: error.to_string() },
        Trouble::Disk => StoreError::Unavailable { detail: format!("the disk below {path} failed: {error}") },
        Trouble::Other => StoreError::Unavailable { detail: format!("{path}: {error}") },
    }
}

/// The error for a row whose checksum does not fit.
pub(crate) fn damaged(path: &Path, detail: String) -> StoreError {
    StoreError::Corrupt { path: path.display().to_string(), detail }
}

/// The error for a file that cannot be used as it is asked for.
pub(crate) fn refused(path: &Path, why: &str) -> StoreError {
    StoreError::Unavailable { detail: format!("{} {why}", path.display()) }
}
