//! Files that get their name when they are complete, and vanish if they never are.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::StoreError;
use crate::embedded::database::PAGES;
use crate::embedded::disk;
use crate::embedded::fault::{refused, store_error};

/// A file that is not complete yet; it goes unless it is kept.
#[derive(Debug)]
pub(crate) struct Partial {
    /// Its name until it is complete.
    pub(crate) path: PathBuf,
    kept: bool,
}

impl Partial {
    /// An empty file beside what it will become.
    pub(crate) fn beside(target: &Path) -> Result<Partial, StoreError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let partial = Partial { path: PathBuf::from(name), kept: false };
        partial.remove().map_err(|error| refused(&partial.path, &format!("cannot be replaced: {error}")))?;
        // It holds secrets: readable by its owner only from the first byte on. SQLite writes into an empty file.
        disk::private(&partial.path)
            .map_err(|error| refused(target, &format!("cannot be written: {error}")))?;
        Ok(partial)
    }

    /// A connection for changes.
    pub(crate) fn edit(&self) -> Result<Connection, StoreError> {
        let failed = |error: rusqlite::Error| store_error(&self.path, &error);
        let connection = Connection::open(&self.path).map_err(failed)?;
        // It is made durable as a whole when it is complete; until then it is nothing.
        connection.execute_batch(PAGES).map_err(failed)?;
        connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(failed)?;
        Ok(connection)
    }

    /// Makes the file durable and gives it its name.
    pub(crate) fn keep(mut self, target: &Path) -> Result<(), StoreError> {
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
