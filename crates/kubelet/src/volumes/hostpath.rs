//! Paths of the node, checked to be what the pod expects.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Checks `path` against the type the pod named, and makes what the type says is made.
pub(crate) fn check(path: &Path, kind: &str) -> Result<(), String> {
    let found = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let shown = path.display();
    let wrong = |what: &str| Err(format!("hostPath type check failed: {shown} is not {what}"));
    match (kind, found) {
        // What is not there is made, as container runtimes always have.
        ("", None) | ("DirectoryOrCreate", None) => {
            make(path, |path| fs::create_dir_all(path), 0o755).map_err(|error| format!("{shown}: {error}"))
        }
        ("", Some(_)) => Ok(()),
        ("DirectoryOrCreate" | "Directory", Some(file)) if file.is_dir() => Ok(()),
        ("DirectoryOrCreate" | "Directory", _) => wrong("a directory"),
        ("FileOrCreate", None) => {
            make(path, |path| fs::write(path, b""), 0o644).map_err(|error| format!("{shown}: {error}"))
        }
        ("FileOrCreate" | "File", Some(file)) if file.is_file() => Ok(()),
        ("FileOrCreate" | "File", _) => wrong("a file"),
        ("Socket", Some(file)) if file.is_socket() => Ok(()),
        ("Socket", _) => wrong("a socket file"),
        ("CharDevice", Some(file)) if file.is_char_device() => Ok(()),
        ("CharDevice", _) => wrong("a character device"),
        ("BlockDevice", Some(file)) if file.is_block_device() => Ok(()),
        ("BlockDevice", _) => wrong("a block device"),
        (other, _) => Err(format!("{other} is an invalid volume type")),
    }
}

fn make(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>, mode: u32) -> io::Result<()> {
    make(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
