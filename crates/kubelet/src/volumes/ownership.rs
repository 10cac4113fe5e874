//! Gives a volume to a group: `fsGroup`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Whether files of a volume may be written by its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and written.
    Write,
    /// Only read.
    Read,
}

/// Gives `path`, and what is below it, to `group`. With `unless_right`, nothing is done if `path` itself is right.
pub(crate) fn give(path: &Path, group: u32, access: Access, unless_right: bool) -> io::Result<()> {
    if unless_right && is_right(path, group, access)? {
        return Ok(());
    }
    give_below(path, group, access)
}

fn wanted(mode: u32, is_dir: bool, access: Access) -> u32 {
    let bits = match access {
        Access::Write => 0o660,
        Access::Read => 0o440,
    };
    if is_dir { mode | bits | 0o110 | 0o2000 } else { mode | bits }
}

fn is_right(path: &Path, group: u32, access: Access) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(metadata.gid() == group && mode == wanted(mode, metadata.is_dir(), access))
}

fn give_below(path: &Path, group: u32, access: Access) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give_below(&entry?.path(), group, access)?;
        }
    }
    lchown(path, None, Some(group))?;
    if !metadata.is_symlink() {
        let mode = metadata.permissions().mode() & 0o7777;
        fs::set_permissions(path, fs::Permissions::from_mode(wanted(mode, metadata.is_dir(), access)))?;
    }
    Ok(())
}
