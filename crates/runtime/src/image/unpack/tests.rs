//! Layers from archives, friendly and hostile.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;

/// A directory that goes at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ironclad-unpack-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn layer(&self, name: &str, archive: tar::Builder<Vec<u8>>, below: &[PathBuf]) -> io::Result<PathBuf> {
        let root = self.0.join(name);
        fs::create_dir(&root).unwrap();
        unpack(archive.into_inner().unwrap().as_slice(), &root, below).map(|()| root)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_000_000);
    header
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = header(kind, mode, content.len() as u64);
    // By hand: the library refuses paths that a hostile archive has.
    let field = &mut header.as_old_mut().name;
    field[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

fn link(archive: &mut tar::Builder<Vec<u8>>, path: &str, kind: EntryType, to: &str) {
    let mut header = header(kind, 0o777, 0);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
    header.set_cksum();
    archive.append(&header, io::empty()).unwrap();
}

#[test]
fn what_is_packed_comes_out() {
    let scratch = Scratch::new("plain");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "./", EntryType::Directory, 0o755, b"");
    add(&mut archive, "bin/", EntryType::Directory, 0o1777, b"");
    add(&mut archive, "bin/su", EntryType::Regular, 0o4755, b"program");
    link(&mut archive, "bin/sh", EntryType::Symlink, "su");
    link(&mut archive, "bin/again", EntryType::Link, "/bin/su");
    add(&mut archive, "pipe", EntryType::Fifo, 0o600, b"");
    let root = scratch.layer("layer", archive, &[]).unwrap();
    let su = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.mtime()), (0o4755, 12, 34, 1_000_000));
    assert_eq!(fs::metadata(root.join("bin/again")).unwrap().ino(), su.ino());
    assert_eq!(fs::read_link(root.join("bin/sh")).unwrap(), Path::new("su"));
    let bin = fs::metadata(root.join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o1777, 1_000_000));
    assert!(fs::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn nothing_leads_out() {
    let scratch = Scratch::new("escape");
    let outside = scratch.0.join("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = outside.to_str().unwrap().to_owned();
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "../../up", EntryType::Regular, 0o644, b"x");
    add(&mut archive, "/rooted", EntryType::Regular, 0o644, b"x");
    link(&mut archive, "way", EntryType::Symlink, &absolute);
    link(&mut archive, "dots", EntryType::Symlink, "../outside");
    add(&mut archive, "dots/in", EntryType::Regular, 0o644, b"x");
    let root = scratch.layer("layer", archive, &[]);
    // A link to what is not there inside makes the entry fail; what matters is that nothing came out.
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2, "something was made beside the layer");
    assert!(root.is_err() || root.unwrap().join("up").exists());
    for (name, hostile) in [("hard", "../../../../etc/passwd"), ("absolute", "/etc/passwd")] {
        let mut archive = tar::Builder::new(Vec::new());
        link(&mut archive, "stolen", EntryType::Link, hostile);
        assert!(scratch.layer(name, archive, &[]).is_err(), "{hostile} was linked");
    }
}

#[test]
fn a_link_in_the_layer_is_followed_inside_it() {
    let scratch = Scratch::new("inside");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "usr/bin/", EntryType::Directory, 0o755, b"");
    link(&mut archive, "bin", EntryType::Symlink, "/usr/bin");
    add(&mut archive, "bin/tool", EntryType::Regular, 0o755, b"x");
    let root = scratch.layer("layer", archive, &[]).unwrap();
    assert!(root.join("usr/bin/tool").exists());
}

#[test]
fn whiteouts_become_the_overlay_s() {
    let scratch = Scratch::new("whiteout");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "etc/.wh.gone", EntryType::Regular, 0o644, b"");
    add(&mut archive, "var/.wh..wh..opq", EntryType::Regular, 0o644, b"");
    let root = scratch.layer("layer", archive, &[]).unwrap();
    let gone = fs::symlink_metadata(root.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0u8; 8];
    let length = rustix::fs::getxattr(root.join("var"), "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"y");
    for (name, hostile) in [("a", ".wh."), ("b", ".wh..."), ("c", "x/.wh..")] {
        let mut archive = tar::Builder::new(Vec::new());
        add(&mut archive, hostile, EntryType::Regular, 0o644, b"");
        assert!(scratch.layer(name, archive, &[]).is_err(), "{hostile} was taken");
    }
}

#[test]
fn layers_below_lend_their_looks_and_files() {
    let scratch = Scratch::new("below");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "tmp/", EntryType::Directory, 0o1777, b"");
    add(&mut archive, "data/", EntryType::Directory, 0o755, b"");
    add(&mut archive, "data/file", EntryType::Regular, 0o640, b"below");
    let below = scratch.layer("below", archive, &[]).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "tmp/new", EntryType::Regular, 0o644, b"x");
    link(&mut archive, "data/same", EntryType::Link, "data/file");
    let root = scratch.layer("layer", archive, &[below]).unwrap();
    assert_eq!(fs::metadata(root.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(fs::read(root.join("data/same")).unwrap(), b"below");
    assert_eq!(fs::metadata(root.join("data/same")).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let scratch = Scratch::new("replace");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "a", EntryType::Regular, 0o644, b"old");
    add(&mut archive, "a", EntryType::Regular, 0o644, b"new");
    add(&mut archive, "d/", EntryType::Directory, 0o755, b"");
    add(&mut archive, "d/x", EntryType::Regular, 0o644, b"x");
    link(&mut archive, "d", EntryType::Symlink, "a");
    let root = scratch.layer("layer", archive, &[]).unwrap();
    assert_eq!(fs::read(root.join("d")).unwrap(), b"new");
}
