//! A part of a volume as a mount of its own, held by file descriptor so that no link inside the volume leads out.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};

/// What is to be seen in a container.
#[derive(Clone, Debug)]
pub(crate) struct SubPath<'a> {
    /// The volume on the node.
    pub volume: &'a Path,
    /// The part of it.
    pub path: &'a str,
    /// Where the mount that holds it is made.
    pub target: &'a Path,
}

/// Binds the part of the volume to the target. What is missing of the path is made as directories.
pub(crate) fn bind(sub: &SubPath<'_>) -> io::Result<PathBuf> {
    check(sub.path)?;
    let root = open(sub.volume)?;
    let found = match beneath(&root, sub.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directories(&root, sub.path)?;
            beneath(&root, sub.path)?
        }
        other => other?,
    };
    let is_dir = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode).is_dir();
    unbind(sub.target)?;
    if let Some(parent) = sub.target.parent() {
        fs::create_dir_all(parent)?;
    }
    if is_dir {
        fs::create_dir_all(sub.target)?;
    } else {
        fs::write(sub.target, b"")?;
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    rustix::mount::mount_bind_recursive(source, sub.target)?;
    rustix::mount::mount_change(sub.target, rustix::mount::MountPropagationFlags::PRIVATE)?;
    Ok(sub.target.to_owned())
}

/// Takes the mount at a target away, and the target.
pub(crate) fn unbind(target: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let gone = match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(target),
        Ok(_) => fs::remove_file(target),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn check(path: &str) -> io::Result<()> {
    if Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(());
    }
    let text = format!("subpath {path:?} must be relative and must not contain '..'");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn beneath(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let path = if path.is_empty() { "." } else { path };
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), how)?)
}

/// Makes what is missing of the path, with the permissions the volume itself has.
fn make_directories(root: &OwnedFd, path: &str) -> io::Result<()> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(root)?.st_mode & 0o7777);
    let mut so_far = PathBuf::new();
    for part in Path::new(path).components() {
        let parent = beneath(root, so_far.to_str().unwrap_or_default())?;
        so_far.push(part);
        match rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) => rustix::fs::chmodat(&parent, part.as_os_str(), mode, AtFlags::empty())?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes every mount at or below `path` away, the innermost first.
pub(crate) fn unmount_below(path: &Path) -> io::Result<()> {
    // The table names places as they really are.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = mount_points(&table).filter(|point| point.starts_with(&path)).collect();
    points.sort();
    for point in points.into_iter().rev() {
        match rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The mount points of a mount table.
pub(crate) fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> + '_ {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)))
}

/// Blanks and backslashes are written as octal numbers there.
fn unescape(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let code = bytes
            .get(position + 1..position + 4)
            .filter(|_| bytes[position] == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                position += 4;
            }
            None => {
                out.push(bytes[position]);
                position += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out)
}

/// Mounts memory as a file system of at most `size` bytes (0: no limit of its own), unless it is there already.
pub(crate) fn mount_memory(path: &Path, size: i64) -> io::Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let real = fs::canonicalize(path)?;
    if mount_points(&table).any(|point| point == real) {
        return Ok(());
    }
    let limit = if size > 0 { format!("size={size}") } else { String::new() };
    let with_noswap = if limit.is_empty() { "noswap".to_owned() } else { format!("{limit},noswap") };
    // Old kernels do not know `noswap`; then its content may be swapped out.
    for options in [with_noswap, limit] {
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        match rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!("{}: the kernel takes none of our options for tmpfs", path.display())))
}
