//! Start: the index rebuilt from the log.

use std::path::Path;

use rusqlite::Connection;

use crate::embedded::database::{self, HEAD, Meta};
use crate::embedded::disk;
use crate::embedded::fault::store_error;
use crate::retention::Retention;
use crate::state::State;
use crate::{Revision, StoreError};

/// How long the write-ahead log is from the start: a little longer than it gets before it is brought over.
const LOG_BYTES: u64 = 16 << 20;

/// A database that is ready for work.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// For the writer.
    pub(crate) connection: Connection,
    /// The newest state.
    pub(crate) state: State,
    /// Forgotten rows up to this revision are gone.
    pub(crate) swept: Revision,
    /// Which history is how old.
    pub(crate) retention: Retention,
}

/// Opens the database and reads the head of each row.
pub(crate) fn load(path: &Path, hot_bytes: usize, retention: Retention) -> Result<Loaded, StoreError> {
    let connection = database::open_writer(path)?;
    // Nobody writes yet. What follows the last transaction in the log is taken for nothing, as zeros are.
    if let Err(error) = disk::preallocate(&disk::write_ahead_log(path), LOG_BYTES) {
        tracing::warn!(%error, path = %path.display(), "there is no room for a log of the usual size; going on without");
    }
    let failed = |error: rusqlite::Error| store_error(path, &error);
    let compacted = database::meta(&connection, Meta::Compacted).map_err(failed)?;
    let swept = database::meta(&connection, Meta::Swept).map_err(failed)?;
    let newest = database::newest(&connection).map_err(failed)?;
    let mut state = State::new(newest, compacted, hot_bytes);
    let mut retention = retention;
    {
        let mut statement =
            connection.prepare(&format!("SELECT {HEAD} FROM log ORDER BY id")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(columns) = rows.next().map_err(failed)? {
            let head = database::read_head(columns, path).map_err(failed)??;
            state.apply(&head.row, head.length);
            retention.remember(head.row.written, head.row.id.revision(), state.replaced);
        }
    }
    Ok(Loaded { connection, state, swept, retention })
}
