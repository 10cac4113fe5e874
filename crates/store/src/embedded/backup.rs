//! Backups: a consistent copy of a working store in one file, and a store made from such a file.
//!
//! A backup is a database like the store's own, so it can be looked into with the same tools, and it is checked in the
//! same way. It says how many rows it has and what they sum up to.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::embedded::check::check_file;
use crate::embedded::database::{self, HEAD, Meta};
use crate::embedded::disk::{self, Lock};
use crate::embedded::fault::{refused, store_error};
use crate::embedded::partial::Partial;
use crate::embedded::writer::NICE;
use crate::{Revision, StoreError};

/// How far a restored store's revisions jump ahead. Clients that saw revisions from after the backup must not take
/// what is written now for something they know; no store writes this much between a backup and a loss.
pub const REVISION_JUMP: Revision = 1_000_000_000;

/// After how many bytes a backup that is being written is made durable. More at once would hold up the store's own
/// writes, which go to the same disk.
const DURABLE_EVERY: usize = 2 << 20;

/// Copies the database `source`, which may be in use, to the new file `target`, on a thread of its own that gives way to
/// whoever waits for an answer.
pub(crate) fn start(source: PathBuf, target: PathBuf) -> Result<Written, StoreError> {
    let (answer, written) = oneshot::channel();
    let work = move || {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "the backup may hold up those who write");
        }
        // An error means that nobody waits for the answer any more.
        drop(answer.send(write(&source, &target)));
    };
    let thread = std::thread::Builder::new().name("store-backup".to_owned()).spawn(work);
    let failed =
        |error| StoreError::Unavailable { detail: format!("the backup could not be started: {error}") };
    thread.map(|_| written).map_err(failed)
}

/// Copies the database `source`, which may be in use, to the new file `target`.
fn write(source: &Path, target: &Path) -> Result<Revision, StoreError> {
    if target.exists() {
        return Err(refused(target, "exists already; name a file that does not"));
    }
    let partial = Partial::beside(target)?;
    let from = database::open_reader(source)?;
    let read = |error: rusqlite::Error| store_error(source, &error);
    // One read transaction: everything is as of one revision, and the writer goes on beside it.
    let from = from.unchecked_transaction().map_err(read)?;
    let copied = copy(&from, source, &partial)?;
    let numbers = [
        (Meta::Floor, database::newest(&from).map_err(read)?),
        (Meta::Compacted, database::meta(&from, Meta::Compacted).map_err(read)?),
        (Meta::Swept, database::meta(&from, Meta::Swept).map_err(read)?),
        (Meta::BackupRows, copied.rows),
        (Meta::BackupSum, copied.sum),
    ];
    let to = partial.edit()?;
    for (name, number) in numbers {
        database::set_meta(&to, name, number).map_err(|error| store_error(target, &error))?;
    }
    to.close().map_err(|(_, error)| store_error(target, &error))?;
    partial.keep(target)?;
    Ok(numbers[0].1)
}

/// Told when a backup is written, and which revision it has.
pub(crate) type Written = oneshot::Receiver<Result<Revision, StoreError>>;

#[derive(Default)]
struct Copied {
    rows: u64,
    sum: u64,
}

/// Copies all rows, checking each.
fn copy(from: &Connection, source: &Path, partial: &Partial) -> Result<Copied, StoreError> {
    let read = |error: rusqlite::Error| store_error(source, &error);
    let written = |error: rusqlite::Error| store_error(&partial.path, &error);
    let mut to = partial.edit()?;
    database::create(&to).map_err(written)?;
    let file = disk::private(&partial.path).map_err(|error| refused(&partial.path, &error.to_string()))?;
    let mut statement = from.prepare(&format!("SELECT {HEAD}, value FROM log ORDER BY id")).map_err(read)?;
    let mut rows = statement.query([]).map_err(read)?;
    let mut copied = Copied::default();
    let mut more = true;
    while more {
        let changes = to.transaction().map_err(written)?;
        let mut bytes = 0;
        while bytes < DURABLE_EVERY {
            let Some(columns) = rows.next().map_err(read)? else {
                more = false;
                break;
            };
            let head = database::read_head(columns, source).map_err(read)??;
            copied.rows += 1;
            copied.sum = head.add_to(copied.sum);
            let row = database::read_value(head, columns, source).map_err(read)??;
            bytes += row.weight();
            database::insert(&changes, &row).map_err(written)?;
        }
        changes.commit().map_err(written)?;
        file.sync_data().map_err(|error| refused(&partial.path, &error.to_string()))?;
    }
    Ok(copied)
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
