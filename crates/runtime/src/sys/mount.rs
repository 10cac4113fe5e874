//! Mounts: attributes of detached trees, and the change of root.
#![expect(unsafe_code, reason = "mount_setattr has no form in rustix")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Cannot be written.
pub(crate) const READ_ONLY: u64 = 0x1;

#[repr(C)]
#[derive(Default)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes of a mount, or of a whole tree of them.
fn set_attributes(mount: impl AsFd, attributes: &Attributes, recursive: bool) -> io::Result<()> {
    const AT_RECURSIVE: u32 = 0x8000;
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: the path is an empty string, the attributes live through the call and their size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a mount read-only, and with `recursive` all mounts below it.
pub(crate) fn make_read_only(mount: impl AsFd, recursive: bool) -> io::Result<()> {
    set_attributes(mount, &Attributes { set: READ_ONLY, ..Attributes::default() }, recursive)
}

/// Files of a mount that belong to id 0 belong, seen through it, to whoever 0 is in the user namespace; and so on.
pub(crate) fn map_ids(mount: impl AsFd, users: BorrowedFd<'_>) -> io::Result<()> {
    const IDMAP: u64 = 0x0010_0000;
    let user_namespace = users.as_raw_fd() as u64;
    set_attributes(mount, &Attributes { set: IDMAP, user_namespace, ..Attributes::default() }, false)
}

/// Changes how mounts below a tree travel.
pub(crate) fn set_propagation(mount: impl AsFd, propagation: MountPropagationFlags) -> io::Result<()> {
    let propagation = u64::from((propagation - MountPropagationFlags::REC).bits());
    set_attributes(mount, &Attributes { propagation, ..Attributes::default() }, true)
}

/// Copies the mount tree at `source`, to be attached elsewhere.
pub(crate) fn clone_tree(source: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(rustix::fs::CWD, source, flags)?)
}

/// Attaches a copied tree at `target`.
pub(crate) fn attach_tree(tree: impl AsFd, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    Ok(rustix::mount::move_mount(tree, "", rustix::fs::CWD, target, flags)?)
}

/// Mounts a file system of the kernel's at `target`.
pub(crate) fn mount_kernel(kind: &str, target: &Path, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = std::ffi::CString::new(data).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(rustix::mount::mount(kind, target, kind, flags, data.as_c_str())?)
}

/// Makes the current directory, which must be a mount, the root, and lets go of the old one.
pub(crate) fn pivot_here() -> io::Result<()> {
    // With both arguments the same, the old root ends up stacked on the new one and is taken off from there.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Takes a mount away, all that is stacked there included. One that is not there is no error.
pub(crate) fn unmount_all(path: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The mounts of this mount namespace that lie below `root`, deepest last.
pub(crate) fn mounts_below(root: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let mut found: Vec<_> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(unescape)
        .filter(|path| path.starts_with(root))
        .collect();
    found.sort();
    Ok(found)
}

/// Undoes the octal escapes (`\040`) of mountinfo.
pub(crate) fn unescape(field: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            digits.iter().try_fold(0u8, |sum, digit| {
                (b'0'..=b'7').contains(digit).then(|| sum.wrapping_mul(8).wrapping_add(digit - b'0'))
            })
        };
        match (byte, after.get(..3).and_then(octal)) {
            (b'\\', Some(value)) => {
                plain.push(value);
                rest = &after[3..];
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_escapes_are_undone() {
        let cases: [(&[u8], &str); 4] =
            [(b"/a", "/a"), (b"/a\\040b", "/a b"), (b"/tail\\04", "/tail\\04"), (b"/\\134x", "/\\x")];
        for (field, path) in cases {
            assert_eq!(unescape(field), Path::new(path));
        }
    }
}
