//! The directory of a store: its files, who may read them, and the lock that keeps a second process out.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::StoreError;

/// The database below a store's directory.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("store.db")
}

/// The log that SQLite keeps beside a database.
pub(crate) fn write_ahead_log(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
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

/// Gives a file at least this many bytes, all of them written. Writing over bytes that are there is made durable several
/// times faster than adding some, which the file system must take note of. What is there stays.
pub(crate) fn preallocate(path: &Path, bytes: u64) -> std::io::Result<()> {
    // Page by page: what is written in large pieces is kept, and then brought to the disk, in large pieces.
    const PIECE: u64 = 4096;
    let mut file = private(path)?;
    let mut length = file.seek(SeekFrom::End(0))?;
    if length >= bytes {
        return Ok(());
    }
    let zeros = [0; PIECE as usize];
    while length < bytes {
        let piece = PIECE.min(bytes - length);
        file.write_all(&zeros[..piece as usize])?;
        length += piece;
    }
    file.sync_all()
}

/// Makes sure that a file and its name survive a loss of power.
pub(crate) fn make_durable(file: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_when_a_file_grows() {
        let path = std::env::temp_dir().join(format!("store-disk-{}", std::process::id()));
        std::fs::write(&path, b"already there").expect("a file");
        for (wanted, length) in [(5, 13), (3_000_000, 3_000_000), (100, 3_000_000)] {
            preallocate(&path, wanted).expect("there is room");
            let bytes = std::fs::read(&path).expect("a file");
            assert!(bytes.len() == length && bytes.starts_with(b"already there"));
            assert!(bytes[13..].iter().all(|byte| *byte == 0));
        }
        std::fs::remove_file(&path).expect("ours");
    }
}
