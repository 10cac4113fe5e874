//! The directory of a store: its files, who may read them, and the lock that keeps a second process out.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::StoreError;

/// The database below a store's directory.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("store.db")
}

/// The right to use a directory, for as long as it exists. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn take(directory: &Path) -> Result<Lock, StoreError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| StoreError::Unavailable {
            detail: format!("{what} {}: {error}", directory.display()),
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(|error| failed("cannot make", &error))?;
        let file = private(&directory.join("lock")).map_err(|error| failed("cannot write in", &error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(StoreError::InUse { path: directory.display().to_string() }),
            Err(error) => Err(failed("cannot lock", &error)),
        }
    }
}

/// Opens a file for writing, made readable by its owner only if it is new.
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes sure that a file and its name survive a loss of power.
pub(crate) fn make_durable(file: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
