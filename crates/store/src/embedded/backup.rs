//! Backups: a consistent copy of a working store in one file, and a store made from such a file.
//!
//! A backup is a database like the store's own, so it can be looked into with the same tools, and it is checked in the
//! same way. It says how many rows it has and what they sum up to.

use std::path::{Path, PathBuf};

use crate::embedded::check::check_file;
use crate::embedded::database::{self, Meta};
use crate::embedded::disk::{self, Lock};
use crate::embedded::fault::store_error;
use crate::{Revision, StoreError};

/// How far a restored store's revisions jump ahead. Clients that saw revisions from after the backup must not take
/// what is written now for something they know; no store writes this much between a backup and a loss.
pub const REVISION_JUMP: Revision = 1_000_000_000;

/// Copies the database `source`, which may be in use, to the new file `target`.
pub(crate) fn write(source: &Path, target: &Path) -> Result<Revision, StoreError> {
    if target.exists() {
        return Err(refused(target, "exists already; name a file that does not"));
    }
    let partial = Partial::beside(target)?;
    {
        let connection = database::open_reader(source)?;
        let name = partial.path.to_str().ok_or_else(|| refused(target, "is no UTF-8 name"))?;
        connection.execute("VACUUM INTO ?1", [name]).map_err(|error| match store_error(source, &error) {
            StoreError::DiskFull { .. } => StoreError::DiskFull { path: target.display().to_string() },
            other => other,
        })?;
    }
    let report = check_file(&partial.path)?;
    report.verdict(source)?;
    let failed = |error: rusqlite::Error| store_error(target, &error);
    let connection = partial.edit()?;
    let changes = connection.unchecked_transaction().map_err(failed)?;
    database::set_meta(&changes, Meta::BackupRows, report.rows).map_err(failed)?;
    database::set_meta(&changes, Meta::BackupSum, report.sum).map_err(failed)?;
    changes.commit().map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    partial.keep(target)?;
    Ok(report.revision)
}

/// Makes a store in `directory`, which must have none, from the backup `file`. Its revisions jump ahead by
/// [`REVISION_JUMP`], and what was before is forgotten. Answers the new store's revision.
pub fn restore(file: &Path, directory: &Path) -> Result<Revision, StoreError> {
    let _lock = Lock::take(directory)?;
    let target = disk::database(directory);
    if target.exists() {
        return Err(refused(&target, "exists already; restore into a directory without a store"));
    }
    let report = check_file(file)?;
    report.verdict(file)?;
    let partial = Partial::beside(&target)?;
    let failed = |error: &dyn std::fmt::Display| refused(&target, &format!("cannot be written: {error}"));
    let mut copy = disk::private(&partial.path).map_err(|error| failed(&error))?;
    let mut source = std::fs::File::open(file).map_err(|error| failed(&error))?;
    std::io::copy(&mut source, &mut copy).map_err(|error| failed(&error))?;
    drop(copy);
    let revision = report.revision + REVISION_JUMP;
    {
        let failed = |error: rusqlite::Error| store_error(&target, &error);
        let connection = partial.edit()?;
        let changes = connection.unchecked_transaction().map_err(failed)?;
        // Only the newest row of each key is left, unless that is a deletion: what a sweep to the end would leave.
        let sql = "DELETE FROM log WHERE created = 0 OR id IN (SELECT before FROM log)";
        changes.execute(sql, []).map_err(failed)?;
        changes.execute("DELETE FROM meta", []).map_err(failed)?;
        for name in [Meta::Floor, Meta::Compacted, Meta::Swept] {
            database::set_meta(&changes, name, revision).map_err(failed)?;
        }
        changes.commit().map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
    }
    partial.keep(&target)?;
    Ok(revision)
}

fn refused(path: &Path, why: &str) -> StoreError {
    StoreError::Unavailable { detail: format!("{} {why}", path.display()) }
}

/// A file that is not complete yet; it goes unless it is kept.
struct Partial {
    path: PathBuf,
    kept: bool,
}

impl Partial {
    fn beside(target: &Path) -> Result<Partial, StoreError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let partial = Partial { path: PathBuf::from(name), kept: false };
        partial.remove().map_err(|error| refused(&partial.path, &format!("cannot be replaced: {error}")))?;
        // It holds secrets: readable by its owner only from the first byte on. SQLite writes into an empty file.
        disk::private(&partial.path)
            .map_err(|error| refused(target, &format!("cannot be written: {error}")))?;
        Ok(partial)
    }

    /// A connection for changes, whose journal is gone when it is closed.
    fn edit(&self) -> Result<rusqlite::Connection, StoreError> {
        let failed = |error: rusqlite::Error| store_error(&self.path, &error);
        let connection = rusqlite::Connection::open(&self.path).map_err(failed)?;
        let journal = "PRAGMA journal_mode = DELETE";
        connection.query_row(journal, [], |row| row.get::<_, String>(0)).map_err(failed)?;
        Ok(connection)
    }

    /// Makes the file durable and gives it its name.
    fn keep(mut self, target: &Path) -> Result<(), StoreError> {
        let keep = || {
            disk::make_durable(&self.path)?;
            std::fs::rename(&self.path, target)?;
            disk::make_durable(target)
        };
        keep().map_err(|error| refused(target, &format!("cannot be written: {error}")))?;
        self.kept = true;
        Ok(())
    }

    fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.remove()
        {
            tracing::warn!(%error, path = %self.path.display(), "an incomplete file could not be removed");
        }
    }
}
