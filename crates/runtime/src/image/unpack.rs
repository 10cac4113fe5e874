//! Unpacking a layer into a directory that can be a layer of an overlay.
//!
//! Archives are not to be trusted: every path is resolved by the kernel as if the directory were the root, so that
//! neither `..` nor a symbolic link made by an earlier entry leads out of it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use tar::EntryType;

/// More entries than any sane layer has.
const MAX_ENTRIES: u64 = 4_000_000;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A layer being unpacked.
struct Unpacker<'a> {
    root: OwnedFd,
    /// The layers below, the topmost first: for directories that are only implied, and links to files below.
    below: &'a [PathBuf],
    /// Set at the end, because making files in them changes them.
    directory_times: Vec<(PathBuf, i64)>,
    /// The last parent, since entries of one directory come together.
    last_parent: Option<(PathBuf, OwnedFd)>,
}

/// What an archive says about an entry.
struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: i64,
    extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Unpacks an archive into `root`, an empty directory.
pub(super) fn unpack(archive: impl Read, root: &Path, below: &[PathBuf]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let mut unpacker = Unpacker { root, below, directory_times: Vec::new(), last_parent: None };
    let mut archive = tar::Archive::new(archive);
    for (count, entry) in archive.entries()?.enumerate() {
        if count as u64 >= MAX_ENTRIES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more entries than are allowed"));
        }
        let mut entry = entry?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        unpacker
            .entry(&mut entry)
            .map_err(|error| io::Error::new(error.kind(), format!("{shown}: {error}")))?;
    }
    unpacker.finish()
}

/// A path of an archive without what would be meaningless: leading slashes, `.`; `..` stops at the root.
fn clean(path: &[u8]) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = clean(&entry.path_bytes());
        let attributes = attributes(entry)?;
        let Some(name) = path.file_name() else {
            // The root itself.
            return self.set_attributes(&Place { path: &path, name: OsStr::new(".") }, &attributes);
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        self.enter(parent)?;
        let place = Place { path: &path, name };
        if name.as_bytes() == OPAQUE {
            let directory = self.open_directory(parent)?;
            return Ok(rustix::fs::fsetxattr(
                directory,
                "trusted.overlay.opaque",
                b"y",
                XattrFlags::empty(),
            )?);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(OsStr::from_bytes(hidden));
        }
        self.make(entry, kind, &place, &attributes)
    }

    fn make<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        kind: EntryType,
        place: &Place<'_>,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let parent = self.parent()?;
        clear_place(parent, place.name, kind == EntryType::Directory)?;
        let device = || -> io::Result<u64> {
            let (major, minor) = (entry.header().device_major()?, entry.header().device_minor()?);
            Ok(rustix::fs::makedev(major.unwrap_or(0), minor.unwrap_or(0)))
        };
        let mode = Mode::from_raw_mode(0o600);
        match kind {
            EntryType::Directory => {
                match rustix::fs::mkdirat(parent, place.name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                self.directory_times.push((place.path.to_owned(), attributes.mtime));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = fs::File::from(rustix::fs::openat(parent, place.name, flags, mode)?);
                io::copy(entry, &mut file)?;
            }
            EntryType::Symlink => {
                let to = entry.link_name_bytes().unwrap_or_default();
                rustix::fs::symlinkat(OsStr::from_bytes(&to), parent, place.name)?;
            }
            EntryType::Link => {
                let to = clean(&entry.link_name_bytes().unwrap_or_default());
                // It has the attributes of what it links to.
                return self.link(&to, place.name);
            }
            EntryType::Char => {
                rustix::fs::mknodat(parent, place.name, FileType::CharacterDevice, mode, device()?)?
            }
            EntryType::Block => {
                rustix::fs::mknodat(parent, place.name, FileType::BlockDevice, mode, device()?)?
            }
            EntryType::Fifo => rustix::fs::mknodat(parent, place.name, FileType::Fifo, mode, 0)?,
            _ => return Ok(()),
        }
        self.set_attributes(place, attributes)
    }

    fn whiteout(&self, hidden: &OsStr) -> io::Result<()> {
        if hidden.is_empty() || hidden == "." || hidden == ".." {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a mark that hides nothing"));
        }
        let parent = self.parent()?;
        match rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            // What the same layer puts there stays: the mark is about the layers below, and it covers them already.
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes `parent` the place entries go to, and the directories on the way that the archive left out.
    fn enter(&mut self, parent: &Path) -> io::Result<()> {
        if self.last_parent.as_ref().is_some_and(|(path, _)| path == parent) {
            return Ok(());
        }
        let opened = match self.open_directory(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_implied(parent)?;
                self.open_directory(parent)?
            }
            result => result?,
        };
        self.last_parent = Some((parent.to_owned(), opened));
        Ok(())
    }

    fn parent(&self) -> io::Result<&OwnedFd> {
        self.last_parent.as_ref().map(|(_, opened)| opened).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how)?)
    }

    fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Directories that an archive only implies look as they do in the layers below, or plain.
    fn make_implied(&mut self, path: &Path) -> io::Result<()> {
        let mut at = PathBuf::new();
        for component in path.components() {
            let parent = self.open_directory(&at)?;
            at.push(component);
            match rustix::fs::mkdirat(&parent, component.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(rustix::io::Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            }
            let made = self.open_directory(&at)?;
            let Some(like) = self.below.iter().find_map(|layer| lower_stat(layer, &at)) else { continue };
            if FileType::from_raw_mode(like.st_mode) == FileType::Directory {
                let owner = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
                rustix::fs::fchown(&made, Some(owner.0), Some(owner.1))?;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(like.st_mode & 0o7777))?;
            }
        }
        Ok(())
    }

    fn link(&self, to: &Path, name: &OsStr) -> io::Result<()> {
        let parent = self.parent()?;
        match self.resolve(to, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(target) => Ok(rustix::fs::linkat(target, "", parent, name, AtFlags::EMPTY_PATH)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.copy_from_below(to, name),
            Err(error) => Err(error),
        }
    }

    /// A link to a file of a layer below becomes a copy: layers are directories of their own.
    fn copy_from_below(&self, to: &Path, name: &OsStr) -> io::Result<()> {
        let open = |layer: &PathBuf| {
            let root = rustix::fs::open(layer, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat2(root, to, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()
        };
        let source = self.below.iter().find_map(open).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("it links to {}, which is not there", to.display()),
            )
        })?;
        let found = rustix::fs::fstat(&source)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it links to what is no file"));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(self.parent()?, name, flags, Mode::from_raw_mode(0o600))?;
        let mut copy = fs::File::from(copy);
        io::copy(&mut fs::File::from(source), &mut copy)?;
        rustix::fs::fchown(&copy, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
        Ok(rustix::fs::fchmod(&copy, Mode::from_raw_mode(found.st_mode & 0o7777))?)
    }

    /// Owner first, since changing it takes special rights away; then mode, extended attributes, time.
    fn set_attributes(&mut self, place: &Place<'_>, attributes: &Attributes) -> io::Result<()> {
        let is_root = place.path.as_os_str().is_empty();
        let parent = if is_root { self.root.as_fd() } else { self.parent()?.as_fd() };
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::chownat(parent, place.name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
        let found = rustix::fs::statat(parent, place.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind != FileType::Symlink {
            rustix::fs::chmodat(
                parent,
                place.name,
                Mode::from_raw_mode(attributes.mode & 0o7777),
                AtFlags::empty(),
            )?;
        }
        if !attributes.extended.is_empty() && matches!(kind, FileType::RegularFile | FileType::Directory) {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(parent, place.name, flags, Mode::empty())?;
            for (name, value) in &attributes.extended {
                rustix::fs::fsetxattr(&opened, name.as_slice(), value, XattrFlags::empty())?;
            }
        }
        if kind != FileType::Directory {
            set_time(parent, place.name, attributes.mtime)?;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        for (path, mtime) in self.directory_times.iter().rev() {
            // It may have been replaced by a later entry.
            if let Ok(directory) = self.open_directory(path) {
                let stamp = Timespec { tv_sec: *mtime, tv_nsec: 0 };
                rustix::fs::futimens(
                    directory,
                    &Timestamps { last_access: stamp, last_modification: stamp },
                )?;
            }
        }
        Ok(())
    }
}

/// Where an entry goes: its path, and its name in the parent directory.
struct Place<'a> {
    path: &'a Path,
    name: &'a OsStr,
}

fn set_time(parent: impl AsFd, name: &OsStr, mtime: i64) -> io::Result<()> {
    let stamp = Timespec { tv_sec: mtime, tv_nsec: 0 };
    let stamps = Timestamps { last_access: stamp, last_modification: stamp };
    Ok(rustix::fs::utimensat(parent, name, &stamps, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn lower_stat(layer: &Path, path: &Path) -> Option<rustix::fs::Stat> {
    let root = rustix::fs::open(layer, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    rustix::fs::fstat(found).ok()
}

/// Later entries replace earlier ones; a directory keeps what is in it.
fn clear_place(parent: &OwnedFd, name: &OsStr, becomes_directory: bool) -> io::Result<()> {
    let found = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => FileType::from_raw_mode(found.st_mode),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match (found, becomes_directory) {
        (FileType::Directory, true) => Ok(()),
        (FileType::Directory, false) => {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(parent));
            fs::remove_dir_all(Path::new(&path).join(name))
        }
        _ => Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?),
    }
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Attributes> {
    let header = entry.header();
    let fields = header.as_old();
    // A field left empty means zero.
    let is_set = |field: &[u8]| field.iter().any(|byte| !matches!(byte, 0 | b' '));
    let id = |field: &[u8], read: io::Result<u64>| {
        if is_set(field) { u32::try_from(read?).map_err(io::Error::other) } else { Ok(0) }
    };
    let mut attributes = Attributes {
        uid: id(&fields.uid, header.uid())?,
        gid: id(&fields.gid, header.gid())?,
        mode: if is_set(&fields.mode) { header.mode()? } else { 0 },
        mtime: if is_set(&fields.mtime) { i64::try_from(header.mtime()?).unwrap_or(0) } else { 0 },
        extended: Vec::new(),
    };
    let Some(extensions) = entry.pax_extensions()? else { return Ok(attributes) };
    for extension in extensions {
        let extension = extension?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        let number =
            || std::str::from_utf8(value).ok().and_then(|text| text.split('.').next()?.parse::<i64>().ok());
        match key {
            b"uid" => attributes.uid = number().map_or(attributes.uid, |id| id as u32),
            b"gid" => attributes.gid = number().map_or(attributes.gid, |id| id as u32),
            b"mtime" => attributes.mtime = number().unwrap_or(attributes.mtime),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
                    && is_portable(name)
                {
                    attributes.extended.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    Ok(attributes)
}

/// Extended attributes an image may bring. Those of overlays are the runtime's own language, and labels of security
/// modules belong to the node.
fn is_portable(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

#[cfg(test)]
mod tests;
