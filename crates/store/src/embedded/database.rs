//! The database: its schema, its settings, and rows as they stand in it, each with checksums.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::checksum::xxh64;
use crate::embedded::disk::make_durable;
use crate::embedded::fault::{damaged, store_error};
use crate::row::{Row, RowId};
use crate::{Revision, StoreError};

/// Marks the file as ours ("irnc").
const APPLICATION: i32 = 0x6972_6e63;
/// The schema below. A newer program may read an older one; an older program refuses a newer one.
const FORMAT: i32 = 1;
/// The same, where a journal may have rows that the database has not. A program that does not know of it must not open
/// the database as if that were all.
const FORMAT_WITH_JOURNAL: i32 = 2;

/// Said of a database before anything is in it; one that is not empty stays as it is. Objects are a few KiB long: in pages
/// of the usual size every second one would leave a good part of its page empty.
pub(crate) const PAGES: &str = "PRAGMA page_size = 8192;";

const SCHEMA: &str = "
CREATE TABLE log (
    id INTEGER PRIMARY KEY,      -- revision * 4096 + place in the transaction
    created INTEGER NOT NULL,    -- revision that created the key; 0 for a deletion
    expires INTEGER NOT NULL,    -- seconds since 1970; 0 for never
    written INTEGER NOT NULL,    -- seconds since 1970
    before INTEGER NOT NULL,     -- id of the row this one replaced; 0 for none
    value_sum INTEGER NOT NULL,  -- xxHash64 of the value
    head_sum INTEGER NOT NULL,   -- xxHash64 of the columns above and the key
    key BLOB NOT NULL,
    value BLOB                   -- null for a deletion
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Numbers kept beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    /// History before this revision is forgotten.
    Compacted,
    /// Rows that were forgotten up to this revision are gone.
    Swept,
    /// No revision up to this one may be given out again, although no row may carry it.
    Floor,
    /// Which records of the journal are of this database; zero if it never had a journal.
    Epoch,
    /// In a backup: how many rows it has.
    BackupRows,
    /// In a backup: the checksum of all checksums.
    BackupSum,
}

impl Meta {
    fn name(self) -> &'static str {
        match self {
            Meta::Compacted => "compacted",
            Meta::Swept => "swept",
            Meta::Floor => "floor",
            Meta::Epoch => "epoch",
            Meta::BackupRows => "backup_rows",
            Meta::BackupSum => "backup_sum",
        }
    }
}

/// A row without its value, with what is needed to check the value.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) row: Row,
    pub(crate) value_sum: u64,
    pub(crate) length: usize,
}

impl Head {
    /// A checksum of rows up to this one, given that of those before it.
    pub(crate) fn add_to(&self, sum: u64) -> u64 {
        xxh64(&self.value_sum.to_le_bytes(), sum ^ self.row.id.0)
    }
}

/// Opens the database for writing, and makes it if there is none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| store_error(path, &error);
    crate::embedded::disk::private(path).map_err(|error| StoreError::Unavailable {
        detail: format!("cannot write {}: {error}", path.display()),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Before anything is written: with less, the journal of the very first transaction might be back after a loss of
    // power, and would take everything back that was written since. For the write-ahead log it is the same as FULL.
    connection.execute_batch("PRAGMA synchronous = EXTRA;").map_err(failed)?;
    connection.execute_batch(PAGES).map_err(failed)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        let detail = format!("{} cannot use a write-ahead log (a network file system?)", path.display());
        return Err(StoreError::Unavailable { detail });
    }
    // Checkpoints are made beside the writer, not by it. The cache holds the end of the log, and little else is read. What
    // a burst has made of the write-ahead log is given back.
    let settings =
        "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 33554432;";
    connection.execute_batch(settings).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    let format: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if format == 0 {
        create(&connection).map_err(failed)?;
    }
    verify_format(&connection, path)?;
    if format == 0 {
        make_durable(path).map_err(|error| StoreError::Unavailable {
            detail: format!("cannot make {} durable: {error}", path.display()),
        })?;
    }
    Ok(connection)
}

/// Opens the database for reading.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| store_error(path, &error))?;
    connection.execute_batch("PRAGMA cache_size = -1024;").map_err(|error| store_error(path, &error))?;
    verify_format(&connection, path)?;
    Ok(connection)
}

/// Makes the tables.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

/// From now on records of the journal are of this database if they carry `epoch`.
pub(crate) fn begin_epoch(connection: &Connection, epoch: u64) -> rusqlite::Result<()> {
    set_meta(connection, Meta::Epoch, epoch)?;
    connection.execute_batch(&format!("PRAGMA user_version = {FORMAT_WITH_JOURNAL};"))
}

/// From now on the database is all there is, for programs that do not know of a journal too.
pub(crate) fn end_epoch(connection: &Connection) -> rusqlite::Result<()> {
    set_meta(connection, Meta::Epoch, 0)?;
    connection.execute_batch(&format!("PRAGMA user_version = {FORMAT};"))
}

/// When transactions become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// With their commit, along with all before them.
    Now,
    /// When the write-ahead log is made durable. Until then a loss of power takes back the last ones, each whole.
    Later,
}

/// Says when transactions become durable. Must be called between two of them.
pub(crate) fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.execute_batch(match durability {
        Durability::Now => "PRAGMA synchronous = FULL;",
        Durability::Later => "PRAGMA synchronous = NORMAL;",
    })
}

fn verify_format(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
            .map_err(|error| store_error(path, &error))
    };
    if number("application_id")? != APPLICATION {
        return Err(damaged(path, "it is no store".to_owned()));
    }
    let format = number("user_version")?;
    if !(FORMAT..=FORMAT_WITH_JOURNAL).contains(&format) {
        let detail =
            format!("{} has format {format}; this program knows {FORMAT_WITH_JOURNAL}", path.display());
        return Err(StoreError::Unavailable { detail });
    }
    Ok(())
}

/// Reads a number kept beside the log; zero if it was never set.
pub(crate) fn meta(connection: &Connection, name: Meta) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let value: Option<i64> = statement.query_row([name.name()], |row| row.get(0)).optional()?;
    Ok(value.map_or(0, i64::cast_unsigned))
}

/// Sets a number kept beside the log.
pub(crate) fn set_meta(connection: &Connection, name: Meta, value: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute(params![name.name(), value.cast_signed()])?;
    Ok(())
}

/// The newest revision: that of the last row, or one that no row tells of any more.
pub(crate) fn newest(connection: &Connection) -> rusqlite::Result<Revision> {
    let last: Option<i64> = connection.query_row("SELECT max(id) FROM log", [], |row| row.get(0))?;
    let last = RowId(last.map_or(0, i64::cast_unsigned)).revision();
    Ok(last.max(meta(connection, Meta::Compacted)?).max(meta(connection, Meta::Floor)?))
}

/// Adds a row.
pub(crate) fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let value_sum = value_sum(row.value.as_deref());
    let sql = "INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        row.id.0.cast_signed(),
        row.created.cast_signed(),
        row.expires,
        row.written,
        row.before.map_or(0, |before| before.0).cast_signed(),
        value_sum.cast_signed(),
        head_sum(row, value_sum).cast_signed(),
        &*row.key,
        row.value.as_deref(),
    ])?;
    Ok(())
}

/// Removes rows.
pub(crate) fn delete(connection: &Connection, ids: &[RowId]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM log WHERE id = ?1")?;
    for id in ids {
        statement.execute([id.0.cast_signed()])?;
    }
    Ok(())
}

/// Columns of a row without its value, for [`read_head`].
pub(crate) const HEAD: &str =
    "id, created, expires, written, before, value_sum, head_sum, key, length(value)";

/// How many columns [`HEAD`] names.
const HEAD_COLUMNS: usize = 9;

/// Reads the columns of [`HEAD`]. The inner error is a checksum that does not fit.
pub(crate) fn read_head(
    columns: &rusqlite::Row<'_>,
    path: &Path,
) -> rusqlite::Result<Result<Head, StoreError>> {
    let number = |at: usize| columns.get::<_, i64>(at).map(i64::cast_unsigned);
    let before = number(4)?;
    let key = columns.get_ref(7)?.as_blob()?;
    let row = Row {
        id: RowId(number(0)?),
        key: Bytes::copy_from_slice(key),
        value: None,
        created: number(1)?,
        expires: columns.get(2)?,
        written: columns.get(3)?,
        before: (before != 0).then_some(RowId(before)),
    };
    let (value_sum, stored) = (number(5)?, number(6)?);
    if head_sum(&row, value_sum) != stored {
        let detail = format!("the checksum of row {} of revision {} is wrong", row.id.0, row.id.revision());
        return Ok(Err(damaged(path, detail)));
    }
    let length: Option<i64> = columns.get(8)?;
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    Ok(Ok(Head { row, value_sum, length }))
}

/// A row whose head was read, with the value that stands in the column after those of [`HEAD`].
pub(crate) fn read_value(
    head: Head,
    columns: &rusqlite::Row<'_>,
    path: &Path,
) -> rusqlite::Result<Result<Row, StoreError>> {
    let Head { mut row, value_sum: expected, .. } = head;
    let value = columns.get_ref(HEAD_COLUMNS)?.as_blob_or_null()?;
    if value_sum(value) != expected || value.is_none() != row.is_deletion() {
        let key = row.key.escape_ascii();
        let detail = format!("the checksum of the value of {key} at revision {} is wrong", row.id.revision());
        return Ok(Err(damaged(path, detail)));
    }
    row.value = value.map(Bytes::copy_from_slice);
    Ok(Ok(row))
}

fn value_sum(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| xxh64(value, 0))
}

fn head_sum(row: &Row, value_sum: u64) -> u64 {
    let before = row.before.map_or(0, |before| before.0);
    let numbers = [row.id.0, row.created, u64::from(row.expires), u64::from(row.written), before, value_sum];
    let mut bytes = [0; 48];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    xxh64(&row.key, xxh64(&bytes, 0))
}
