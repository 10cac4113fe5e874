//! Looks over a database: every page, every checksum, and whether the rows tell one history.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;

use crate::embedded::database::{self, HEAD, Meta};
use crate::embedded::fault::store_error;
use crate::embedded::{disk, fault, load};
use crate::row::{Row, RowId};
use crate::{Revision, StoreError};

/// How many findings are listed before the rest is only counted.
const FINDINGS: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Keys that exist.
    pub keys: usize,
    /// Rows, old ones included.
    pub rows: u64,
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision whose state is known.
    pub compacted: Revision,
    /// What is wrong, each in a sentence; empty if all is well.
    pub findings: Vec<String>,
    /// A checksum of all rows.
    pub(crate) sum: u64,
}

/// Looks over the store in `directory` (`store.db` there), which must not be in use, or over a backup file.
pub fn check(path: &Path) -> Result<Report, StoreError> {
    if path.is_dir() {
        let _lock = disk::Lock::take(path)?;
        let database = disk::database(path);
        if database.exists() {
            // After a crash the newest rows are in the journal only. They are part of what there is.
            load::replay(&database::open_writer(&database)?, &database, None)?;
        }
        return check_file(&database);
    }
    check_file(path)
}

/// Looks over one database file.
pub(crate) fn check_file(path: &Path) -> Result<Report, StoreError> {
    if !path.exists() {
        return Err(StoreError::Unavailable { detail: format!("there is no {}", path.display()) });
    }
    let connection = database::open_reader(path)?;
    let failed = |error: rusqlite::Error| store_error(path, &error);
    let mut report = Report {
        revision: database::newest(&connection).map_err(failed)?,
        compacted: database::meta(&connection, Meta::Compacted).map_err(failed)?,
        ..Report::default()
    };
    report.pages(&connection).map_err(failed)?;
    let swept = database::meta(&connection, Meta::Swept).map_err(failed)?;
    report.log(&connection, path, swept)?;
    let rows = database::meta(&connection, Meta::BackupRows).map_err(failed)?;
    let sum = database::meta(&connection, Meta::BackupSum).map_err(failed)?;
    if rows != 0 && rows != report.rows {
        report.find(format!("the backup had {rows} rows when it was made and has {} now", report.rows));
    }
    if sum != 0 && sum != report.sum {
        report.find("the backup is not what it was when it was made: its checksum is different".to_owned());
    }
    Ok(report)
}

impl Report {
    /// All is well, or an error that says what is not.
    pub(crate) fn verdict(&self, path: &Path) -> Result<(), StoreError> {
        match self.findings.as_slice() {
            [] => Ok(()),
            [first] => Err(fault::damaged(path, first.clone())),
            [first, rest @ ..] => Err(fault::damaged(path, format!("{first}, and {} more", rest.len()))),
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }

    /// What SQLite itself finds.
    fn pages(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS})"))?;
        let mut lines = statement.query([])?;
        while let Some(line) = lines.next()? {
            let line: String = line.get(0)?;
            if line != "ok" {
                self.find(line);
            }
        }
        Ok(())
    }

    /// Checksums, and whether each row replaced the one before it.
    fn log(&mut self, connection: &Connection, path: &Path, swept: Revision) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| store_error(path, &error);
        let sql = format!("SELECT {HEAD}, value FROM log ORDER BY id");
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let mut found = statement.query([]).map_err(failed)?;
        let mut last: BTreeMap<Bytes, RowId> = BTreeMap::new();
        while let Some(columns) = found.next().map_err(failed)? {
            self.rows += 1;
            let row = match database::read_head(columns, path).map_err(failed)? {
                Ok(head) => {
                    self.sum = head.add_to(self.sum);
                    database::read_value(head, columns, path).map_err(failed)?
                }
                Err(damage) => Err(damage),
            };
            match row {
                Ok(row) => self.follow(&mut last, row, swept),
                Err(StoreError::Corrupt { detail, .. }) => self.find(detail),
                Err(error) => return Err(error),
            }
        }
        self.keys = last.len();
        Ok(())
    }

    fn follow(&mut self, last: &mut BTreeMap<Bytes, RowId>, row: Row, swept: Revision) {
        let before = last.get(&row.key).copied();
        // What a row of swept history replaced is gone; of later history it must be there.
        if row.id.revision() > swept && before != row.before {
            self.find(format!(
                "the row that revision {} replaced for {} is missing",
                row.id.revision(),
                row.key.escape_ascii()
            ));
        }
        if row.is_deletion() {
            last.remove(&row.key);
        } else {
            last.insert(row.key, row.id);
        }
    }
}
