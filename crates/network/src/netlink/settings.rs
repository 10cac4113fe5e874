//! Kernel settings below `/proc/sys/net`, which show the namespace of the thread that looks.

use super::{Error, Namespace, Result};

/// Settings as `(path below /proc/sys, value)`.
pub type Setting<'a> = (&'a str, &'a str);

/// Writes settings of a namespace. One that already has its value is not written, so that a read-only `/proc/sys` is
/// no obstacle where nothing has to change.
pub fn write(namespace: &Namespace, settings: &[Setting<'_>]) -> Result<()> {
    namespace.run(|| settings.iter().try_for_each(|(path, value)| write_one(path, value)))?
}

/// Reads a setting of a namespace.
pub fn read(namespace: &Namespace, path: &str) -> Result<String> {
    namespace.run(|| read_one(path))?
}

fn write_one(path: &str, value: &str) -> Result<()> {
    if read_one(path).is_ok_and(|current| current == value) {
        return Ok(());
    }
    let file = format!("/proc/sys/{path}");
    std::fs::write(&file, value).map_err(|source| Error::io(format!("writing {value:?} to {file}"), source))
}

fn read_one(path: &str) -> Result<String> {
    let file = format!("/proc/sys/{path}");
    let text =
        std::fs::read_to_string(&file).map_err(|source| Error::io(format!("reading {file}"), source))?;
    Ok(text.trim().to_owned())
}
