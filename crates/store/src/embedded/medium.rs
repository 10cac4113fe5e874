//! The door to the files of a store that SQLite does not write, so that a test can look through it and let disks fail.

use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use crate::embedded::disk::private;

/// Where files are.
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Opens a file for writing, and makes it if it is missing.
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>>;

    /// The same for a file of which only whole sectors are written, from memory that begins at a page, and which is made
    /// durable after every write.
    fn open_sectors(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>> {
        self.open(path)
    }
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

    fn open_sectors(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>> {
        let file = private(path)?;
        let direct = File::options().write(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path);
        // Not every file system can do that.
        Ok(Box::new(Sectors { file, direct: direct.ok(), refused: AtomicBool::new(false) }))
    }
}

/// A file that is written past the cache of the kernel: what is made durable at once need not be copied there first, nor
/// wait behind what others have put there.
#[derive(Debug)]
struct Sectors {
    file: File,
    direct: Option<File>,
    /// The disk has larger sectors.
    refused: AtomicBool,
}

impl Blocks for Sectors {
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        if let Some(direct) = &self.direct
            && !self.refused.load(Ordering::Relaxed)
        {
            match direct.write_all_at(data, offset) {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    self.refused.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        self.file.write_all_at(data, offset)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
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
