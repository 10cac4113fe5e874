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
        let flags = (OFlags::DIRECT | OFlags::DSYNC).bits().cast_signed();
        // Not every file system can do that.
        let direct = File::options().write(true).custom_flags(flags).open(path).ok();
        Ok(Box::new(Sectors { refused: AtomicBool::new(direct.is_none()), direct, file }))
    }
}

/// A file that is written past the cache of the kernel, and durable with each write: it need not be copied there first,
/// nor wait behind what others have put there.
#[derive(Debug)]
struct Sectors {
    direct: Option<File>,
    /// The disk does not take it that way: it has larger sectors, say.
    refused: AtomicBool,
    file: File,
}

impl Sectors {
    fn direct(&self) -> Option<&File> {
        self.direct.as_ref().filter(|_| !self.refused.load(Ordering::Relaxed))
    }
}

impl Blocks for Sectors {
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        match self.direct().map(|direct| direct.write_all_at(data, offset)) {
            Some(Err(error)) if error.kind() == ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
            }
            Some(written) => return written,
            None => {}
        }
        self.file.write_all_at(data, offset)
    }

    fn sync(&self) -> std::io::Result<()> {
        if self.direct().is_some() { Ok(()) } else { self.file.sync_data() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_directly_is_written_all_the_same() {
        let path = std::env::temp_dir().join(format!("store-medium-{}", std::process::id()));
        let file = Disk.open_sectors(&path).expect("a file");
        // Memory of which only some part begins at a page, and pieces of every alignment and length.
        let memory: Vec<u8> = (0..3 * 4096).map(|byte| (byte % 251) as u8).collect();
        let mut expected = vec![0; 64 << 10];
        for (offset, from, length) in [(0, 0, 4096), (7, 1, 100), (512, 512, 512), (40_000, 13, 8192)] {
            let data = &memory[from..from + length];
            file.write(offset, data).and_then(|()| file.sync()).expect("there is room");
            expected[offset as usize..][..length].copy_from_slice(data);
        }
        let found = std::fs::read(&path).expect("a file");
        assert!(found == expected[..48_192] && found.len() == 48_192);
        std::fs::remove_file(&path).expect("ours");
    }
}
