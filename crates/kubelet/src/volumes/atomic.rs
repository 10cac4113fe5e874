//! Writes many files so that a reader sees all of the old ones or all of the new ones.
//!
//! The files live in a directory of their own, `..<stamp>`; `..data` points to it; what users see are links through
//! `..data`. Renaming a new `..data` over the old one swaps everything at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// The link through which all files are seen.
const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// A file to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// What it holds.
    pub data: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// Its owner; `None` means ours.
    pub owner: Option<u32>,
}

/// Files by their path, which is relative and stays below.
pub(crate) type Payload = BTreeMap<String, File>;

/// Makes `directory` hold exactly `payload`. `prepare` is called with the new directory before anybody can see it.
/// Answers whether anything had to be changed.
pub(crate) fn write(
    directory: &Path,
    payload: &Payload,
    stamp: &str,
    prepare: &dyn Fn(&Path) -> io::Result<()>,
) -> io::Result<bool> {
    for path in payload.keys() {
        check(path)?;
    }
    let current = fs::read_link(directory.join(DATA)).ok().map(|target| directory.join(target));
    if let Some(current) = &current
        && matches(current, payload)?
    {
        // A crash may have come between the swap and the links.
        link_all(directory, payload)?;
        return Ok(false);
    }
    let fresh = directory.join(format!("..{stamp}"));
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in payload {
        write_file(&fresh, path, file)?;
    }
    prepare(&fresh)?;
    let new_data = directory.join(NEW_DATA);
    match fs::remove_file(&new_data) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(format!("..{stamp}"), &new_data)?;
    fs::rename(&new_data, directory.join(DATA))?;
    link_all(directory, payload)?;
    unlink_stale(directory, payload)?;
    if let Some(old) = current.filter(|old| *old != fresh) {
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

fn check(path: &str) -> io::Result<()> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let inside = !parts.is_empty() && parts.iter().all(|part| matches!(part, Component::Normal(_)));
    if inside && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path: {path}")))
}

fn write_file(root: &Path, path: &str, file: &File) -> io::Result<()> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
        let mut below = parent;
        while below != root {
            fs::set_permissions(below, fs::Permissions::from_mode(0o755))?;
            below = below.parent().unwrap_or(root);
        }
    }
    fs::write(&target, &file.data)?;
    // Past the umask.
    fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    if let Some(owner) = file.owner {
        std::os::unix::fs::chown(&target, Some(owner), None)?;
    }
    Ok(())
}

/// Whether the directory holds these files and no others.
fn matches(directory: &Path, payload: &Payload) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    if collect(directory, directory, &mut found).is_err() {
        return Ok(false);
    }
    if found.len() != payload.len() || !payload.keys().all(|path| found.contains(Path::new(path))) {
        return Ok(false);
    }
    for (path, file) in payload {
        let path = directory.join(path);
        let metadata = fs::metadata(&path)?;
        let mode = metadata.permissions().mode() & 0o7777;
        let owned = file.owner.is_none_or(|owner| owner == metadata.uid());
        if mode != file.mode || !owned || fs::read(&path)? != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(root, &entry.path(), found)?;
        } else if let Ok(below) = entry.path().strip_prefix(root) {
            found.insert(below.to_owned());
        }
    }
    Ok(())
}

fn tops(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().filter_map(|path| path.split('/').find(|part| !part.is_empty())).collect()
}

fn link_all(directory: &Path, payload: &Payload) -> io::Result<()> {
    for top in tops(payload) {
        let link = directory.join(top);
        let target = Path::new(DATA).join(top);
        match fs::read_link(&link) {
            Ok(there) if there == target => {}
            Ok(_) => {
                fs::remove_file(&link)?;
                symlink(&target, &link)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => symlink(&target, &link)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn unlink_stale(directory: &Path, payload: &Payload) -> io::Result<()> {
    let tops = tops(payload);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let visible = name.to_str().is_some_and(|name| !name.starts_with("..") && !tops.contains(name));
        if visible && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
