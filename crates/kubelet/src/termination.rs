//! A container's last words: what it wrote to its termination log, or the end of its log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::logs::line;

/// What is taken from the termination log.
const FROM_FILE: u64 = 4_096;
/// What is taken from the end of the log.
const FROM_LOG: usize = 2_048;
const LINES_FROM_LOG: usize = 80;
/// What one pod's messages may take together.
pub(crate) const MOST_PER_POD: usize = 12 * 1_024;

/// The beginning of a termination log; empty if there is none.
pub(crate) fn from_file(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FROM_FILE).read_to_end(&mut bytes));
    match read {
        Ok(_) => text(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("Error on reading termination log {}: {error}", path.display()),
    }
}

/// The end of a container's log; empty if there is none.
pub(crate) fn from_log(path: &Path) -> String {
    // Lines carry a time and a stream of about 45 bytes; four times what is wanted is enough for most.
    let Ok(bytes) = tail(path, (FROM_LOG * 4) as u64) else { return String::new() };
    let mut plain = Vec::new();
    for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(line) = line::parse(raw) {
            plain.extend_from_slice(line.content);
            if !line.partial {
                plain.push(b'\n');
            }
        }
    }
    let begin = plain.len().saturating_sub(FROM_LOG);
    let plain = &plain[begin..];
    let lines: Vec<&[u8]> = plain.split_inclusive(|byte| *byte == b'\n').collect();
    let first = lines.len().saturating_sub(LINES_FROM_LOG);
    text(&lines[first..].concat())
}

fn tail(path: &Path, length: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(length)))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Cuts a message to `limit` bytes, at a letter.
pub(crate) fn cut(message: &str, limit: usize) -> &str {
    let mut end = message.len().min(limit);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}
