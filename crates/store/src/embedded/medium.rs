//! The door to the files of a store that SQLite does not write, so that a test can look through it and let disks fail.

use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::embedded::disk::private;

/// Where files are.
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Opens a file for writing, and makes it if it is missing.
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>>;
}

/// An open file.
pub trait Blocks: fmt::Debug + Send + 'static {
    /// Writes all of `data`. After an error any part of it may have been written.
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> std::io::Result<()>;
}

/// The real files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Medium for Disk {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>> {
        Ok(Box::new(private(path)?))
    }
}

impl Blocks for File {
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.sync_data()
    }
}

/// Whether a write failed because there is no room.
pub(crate) fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
