//! The journal: what was answered and is not yet durable in the database.
//!
//! A commit of SQLite writes several pages in many pieces, and takes as long as several writes. So each group of rows
//! is first appended here, in one piece, and that alone is waited for. The database follows in larger steps, without
//! an fsync of its own for each.
//!
//! There are two files of a fixed size, written by turns from their beginning. A file is written over only when the
//! database has made durable all that was in it. What a file held before is told apart by a count of the turns, and
//! what another store left by a number drawn at each start, which the database knows and each checksum includes.
//!
//! ```text
//! record:  checksum u64 · turn u64 · length u32 · rows (length bytes) · zeros up to the next sector
//! row:     id u64 · created u64 · before u64 · expires u32 · written u32 · key length u32 · value length u32 · key · value
//! ```

use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};

use crate::StoreError;
use crate::checksum::xxh64;
use crate::embedded::disk;
use crate::embedded::fault::damaged;
use crate::embedded::medium::{Blocks, Medium, is_full};
use crate::row::{Row, RowId};

/// How large each of the files is. Larger means fewer rounds of making the database durable, and a longer start after
/// a crash.
pub(crate) const FILE_BYTES: u64 = 8 << 20;

/// Records begin at sectors, so that a torn write does not touch the record before it.
const SECTOR: usize = 512;

/// What disks can be written to directly from begins here.
const PAGE: usize = 4096;

/// Checksum, turn and length.
const HEADER_BYTES: usize = 20;

/// A row without its key and value.
const ROW_BYTES: usize = 40;

/// Stands for the length of the value of a deletion, which has none.
const NO_VALUE: u32 = u32::MAX;

/// Where rows would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room in the file that is written to.
    Here,
    /// There is room in the other one.
    Next,
    /// They are larger than a file.
    Nowhere,
}

/// The journal of one run of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Drawn at the start.
    epoch: u64,
    files: [Box<dyn Blocks>; 2],
    /// Its parity says which file is written to.
    turn: u64,
    offset: u64,
    record: Vec<u8>,
}

/// The two files beside a database.
fn paths(database: &Path) -> [PathBuf; 2] {
    ["journal-0", "journal-1"].map(|name| database.with_file_name(name))
}

impl Journal {
    /// Begins an empty journal beside a database that knows `epoch` and all that was journalled before.
    pub(crate) fn begin(database: &Path, epoch: u64, medium: &dyn Medium) -> std::io::Result<Journal> {
        let paths = paths(database);
        let files = [medium.open_sectors(&paths[0])?, medium.open_sectors(&paths[1])?];
        for path in &paths {
            match disk::preallocate(path, FILE_BYTES) {
                Err(error) if is_full(&error) => {
                    tracing::warn!(%error, path = %path.display(), "no room for the whole journal; it will be slower");
                }
                other => other?,
            }
            disk::make_durable(path)?;
        }
        Ok(Journal { epoch, files, turn: 0, offset: 0, record: Vec::new() })
    }

    /// Where rows would go.
    pub(crate) fn room(&self, rows: &[Row]) -> Room {
        let bytes = record_bytes(rows) as u64;
        match bytes {
            _ if bytes > FILE_BYTES => Room::Nowhere,
            _ if self.offset + bytes > FILE_BYTES => Room::Next,
            _ => Room::Here,
        }
    }

    /// Goes on in the other file. The database must have made durable all that is in there.
    pub(crate) fn turn(&mut self) {
        self.turn += 1;
        self.offset = 0;
    }

    /// Writes rows where there is room for them. They are not durable yet.
    pub(crate) fn write(&mut self, rows: &[Row]) -> std::io::Result<()> {
        let bytes = record_bytes(rows);
        self.record.clear();
        self.record.reserve(PAGE + bytes);
        // Disks are written to directly from memory that begins at a page. With what was reserved it stays where it is.
        let address = self.record.as_ptr().addr();
        let start = address.next_multiple_of(PAGE) - address;
        self.record.resize(start, 0);
        encode(rows, self.turn, self.epoch, &mut self.record);
        self.file().write(self.offset, &self.record[start..])?;
        self.offset += bytes as u64;
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.file().sync()
    }

    fn file(&self) -> &dyn Blocks {
        &*self.files[usize::from(self.turn % 2 == 1)]
    }
}

fn row_bytes(row: &Row) -> usize {
    ROW_BYTES + row.key.len() + row.value.as_ref().map_or(0, Bytes::len)
}

fn record_bytes(rows: &[Row]) -> usize {
    (HEADER_BYTES + rows.iter().map(row_bytes).sum::<usize>()).next_multiple_of(SECTOR)
}

/// Adds a record. Its length fits: larger ones have no room anywhere.
fn encode(rows: &[Row], turn: u64, epoch: u64, out: &mut Vec<u8>) {
    let length = |bytes: usize| u32::try_from(bytes).expect("no record is larger than a file");
    let start = out.len();
    out.put_u64_le(0);
    out.put_u64_le(turn);
    out.put_u32_le(length(rows.iter().map(row_bytes).sum()));
    for row in rows {
        out.put_u64_le(row.id.0);
        out.put_u64_le(row.created);
        out.put_u64_le(row.before.map_or(0, |before| before.0));
        out.put_u32_le(row.expires);
        out.put_u32_le(row.written);
        out.put_u32_le(length(row.key.len()));
        out.put_u32_le(row.value.as_ref().map_or(NO_VALUE, |value| length(value.len())));
        out.put_slice(&row.key);
        out.put_slice(row.value.as_deref().unwrap_or_default());
    }
    let checksum = xxh64(&out[start + 8..], epoch);
    out[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(SECTOR), 0);
}

/// All rows that the journal beside a database holds, in the order they were written; those of the turn before the last
/// one may be in the database already.
pub(crate) fn read(database: &Path, epoch: u64) -> Result<Vec<Row>, StoreError> {
    let mut files = Vec::new();
    for path in paths(database) {
        let content = match std::fs::read(&path) {
            Ok(content) => Bytes::from(content),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Bytes::new(),
            Err(error) => {
                return Err(StoreError::Unavailable { detail: format!("{}: {error}", path.display()) });
            }
        };
        files.extend(decode(&content, epoch).map_err(|detail| damaged(&path, detail))?);
    }
    files.sort_by_key(|(turn, _)| *turn);
    Ok(files.into_iter().flat_map(|(_, rows)| rows).collect())
}

/// The turn of a file and its rows; `None` if it has no record of this epoch. A record that is not whole was never
/// waited for, so nothing may come after it.
fn decode(content: &Bytes, epoch: u64) -> Result<Option<(u64, Vec<Row>)>, String> {
    let Some((turn, mut rows, mut offset)) = record(content, 0, epoch) else { return Ok(None) };
    while let Some((_, more, end)) = record(content, offset, epoch).filter(|found| found.0 == turn) {
        rows.extend(more);
        offset = end;
    }
    let later = (offset..content.len()).step_by(SECTOR);
    if let Some(later) =
        later.into_iter().find(|at| record(content, *at, epoch).is_some_and(|found| found.0 == turn))
    {
        return Err(format!("the record at {offset} is damaged; one at {later} is not"));
    }
    Ok(Some((turn, rows)))
}

/// The record at an offset: its turn, its rows, and where the next one begins. `None` if there is no whole one.
fn record(content: &Bytes, offset: usize, epoch: u64) -> Option<(u64, Vec<Row>, usize)> {
    let mut header = content.get(offset..offset.checked_add(HEADER_BYTES)?)?;
    let (checksum, turn, length) = (header.get_u64_le(), header.get_u64_le(), header.get_u32_le());
    let end = (offset + HEADER_BYTES).checked_add(usize::try_from(length).ok()?)?;
    if length == 0 || xxh64(content.get(offset + 8..end)?, epoch) != checksum {
        return None;
    }
    let mut rest = content.slice(offset + HEADER_BYTES..end);
    let mut rows = Vec::new();
    while !rest.is_empty() {
        rows.push(row(&mut rest)?);
    }
    Some((turn, rows, end.next_multiple_of(SECTOR)))
}

fn row(rest: &mut Bytes) -> Option<Row> {
    if rest.len() < ROW_BYTES {
        return None;
    }
    let (id, created, before) = (RowId(rest.get_u64_le()), rest.get_u64_le(), rest.get_u64_le());
    let (expires, written) = (rest.get_u32_le(), rest.get_u32_le());
    let (key, value) = (rest.get_u32_le(), rest.get_u32_le());
    let mut take = |length: u32| {
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
        // A copy: a slice would keep the whole file in memory.
        Some(Bytes::copy_from_slice(&rest.split_to(length)))
    };
    let key = take(key)?;
    let value = if value == NO_VALUE { None } else { Some(take(value)?) };
    let before = (before != 0).then_some(RowId(before));
    Some(Row { id, key, value, created, expires, written, before })
}

#[cfg(test)]
mod tests;
