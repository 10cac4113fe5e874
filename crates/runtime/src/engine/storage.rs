//! The engine's directory: made, locked, and deleted from in a way that never leaves a half-deleted thing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use cri::RuntimeError;

use crate::state::Layout;

/// An error of the file system with the path it is about.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> RuntimeError {
    RuntimeError::Failed(format!("cannot {what} {}: {error}", path.display()))
}

/// Makes a directory that only its owner may enter.
pub(super) fn make_directory(path: &Path, mode: u32) -> cri::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| failed("make", path, &error))
}

/// Makes the directories and takes the lock.
pub(super) fn prepare(layout: &Layout) -> cri::Result<fs::File> {
    for directory in [
        layout.root.clone(),
        layout.sandboxes(),
        layout.containers(),
        layout.trash(),
        layout.images(),
        layout.root.join("l"),
    ] {
        make_directory(&directory, 0o700)?;
    }
    let path = layout.root.join("lock");
    let lock = fs::File::create(&path).map_err(|error| failed("make", &path, &error))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let root = layout.root.display();
        RuntimeError::Failed(format!(
            "another instance uses {root}; stop it first, or choose another directory"
        ))
    })?;
    Ok(lock)
}

/// Takes a directory out of sight at once; [`empty_trash`] deletes it. One that is gone is no error.
pub(super) fn discard(layout: &Layout, directory: &Path, id: &str) -> cri::Result<()> {
    match fs::rename(directory, layout.trash().join(id)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", directory, &error)),
    }
}

/// Deletes what was discarded.
pub(super) fn empty_trash(layout: &Layout) {
    for entry in fs::read_dir(layout.trash()).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_dir_all(entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot delete");
        }
    }
}

/// The names of what is in a directory.
pub(super) fn names_in(directory: &Path) -> cri::Result<Vec<String>> {
    let entries = fs::read_dir(directory).map_err(|error| failed("list", directory, &error))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
