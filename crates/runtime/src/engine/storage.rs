//! The engine's directory: made, locked, and deleted from in a way that never leaves a half-deleted thing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use cri::RuntimeError;

use crate::state::Layout;
use crate::sys::mount;

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
        layout.mapped(),
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

/// Deletes what was discarded. What a shim that was killed while it made its sandbox mounted there is let go of first.
pub(super) fn empty_trash(layout: &Layout) {
    for entry in fs::read_dir(layout.trash()).into_iter().flatten().flatten() {
        let path = entry.path();
        let mut deleted = fs::remove_dir_all(&path);
        if deleted.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY)) {
            let mounts = mount::mounts_below(&path).unwrap_or_default();
            deleted = mounts.iter().rev().try_for_each(|mounted| mount::unmount_all(mounted));
            deleted = deleted.and_then(|()| fs::remove_dir_all(&path));
        }
        if let Err(error) = deleted
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot delete");
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
