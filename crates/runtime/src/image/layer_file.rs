//! A layer's file as it came, read as the plain archive in it: gzip, zstd or nothing, told by how it begins.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

/// Opens a file as its decompressed content.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let mut filled = 0;
    while filled < magic.len() {
        match file.read(&mut magic[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    let file = BufReader::with_capacity(128 * 1024, file);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

/// Whether a layer is compressed, by its first bytes, and how media types say so.
pub(super) fn media_suffix(path: &Path) -> io::Result<&'static str> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => "+gzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "+zstd",
        _ => "",
    })
}

/// Hashes and counts what is read through it, and stops at a limit.
pub(super) struct Measured<R> {
    inner: R,
    hash: Context,
    left: u64,
}

impl<R: Read> Measured<R> {
    pub fn new(inner: R, limit: u64) -> Measured<R> {
        Measured { inner, hash: Context::new(&SHA256), left: limit }
    }

    /// Reads what is left, and answers the digest of all.
    pub fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(super::document::format_digest(self.hash.finish().as_ref()))
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to more than is allowed")
        })?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
