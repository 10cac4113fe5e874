//! Logs of containers, as the runtime writes them: read from where somebody wants to begin, followed if asked.

pub(crate) mod line;
pub(crate) mod rotate;
mod tail;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use env::WallTime;

/// What is read at once.
const CHUNK: usize = 32 * 1_024;
/// The longest line that is waited for to be whole; the runtime cuts them at 16 KiB.
const LONGEST_LINE: usize = 256 * 1_024;

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only what was written since.
    pub since: Option<WallTime>,
    /// With the time each line was written.
    pub timestamps: bool,
    /// Only so many bytes.
    pub limit: Option<u64>,
    /// Only `stdout` or `stderr`; `None` means both.
    pub stream: Option<&'static str>,
}

/// Reads one container's log, across rotations.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    options: Options,
    left: Option<u64>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    /// Whether the next piece begins a line.
    fresh: bool,
}

impl Reader {
    /// Begins where the options say.
    pub fn open(path: &Path, options: Options) -> io::Result<Reader> {
        let mut file = File::open(path)?;
        let start = match options.tail {
            Some(lines) => tail::start(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(start))?;
        let left = options.limit;
        Ok(Reader { path: path.to_owned(), file, options, left, rest: Vec::new(), fresh: true })
    }

    /// The next piece of what was written, in the form that was asked for. Empty at the end of what there is.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.is_empty() && !self.is_exhausted() {
            let mut chunk = vec![0; CHUNK];
            let length = self.file.read(&mut chunk)?;
            if length == 0 {
                if !self.next_file()? {
                    break;
                }
                continue;
            }
            self.rest.extend_from_slice(&chunk[..length]);
            self.take_lines(&mut out);
            if self.rest.len() > LONGEST_LINE {
                self.rest.clear();
            }
        }
        Ok(out)
    }

    /// Whether as much was read as was asked for.
    pub fn is_exhausted(&self) -> bool {
        self.left == Some(0)
    }

    /// Goes on with the file that took the place of the one that was read to its end, if there is one.
    fn next_file(&mut self) -> io::Result<bool> {
        let current = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            // Between the renaming of the old file and the making of the new.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if current.ino() == self.file.metadata()?.ino() {
            return Ok(false);
        }
        self.file = File::open(&self.path)?;
        self.rest.clear();
        Ok(true)
    }

    fn take_lines(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.rest);
        let mut begin = 0;
        while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            self.take_line(&rest[begin..=begin + length], out);
            begin += length + 1;
        }
        self.rest = rest[begin..].to_vec();
    }

    fn take_line(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(line) = line::parse(raw) else { return };
        if self.options.stream.is_some_and(|stream| stream != line.stream) {
            return;
        }
        if let Some(since) = self.options.since
            && client::time::parse(line.time).is_some_and(|at| at < since)
        {
            return;
        }
        let mut piece = Vec::with_capacity(raw.len());
        if self.options.timestamps && self.fresh {
            piece.extend_from_slice(line.time.as_bytes());
            piece.push(b' ');
        }
        piece.extend_from_slice(line.content);
        if !line.partial {
            piece.push(b'\n');
        }
        self.fresh = !line.partial;
        if let Some(left) = &mut self.left {
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        out.extend_from_slice(&piece);
    }
}
