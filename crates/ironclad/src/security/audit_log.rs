//! The audit log's file: a file that has grown large is put aside.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use apiserver::audit::Lines;

/// Where the log is, and how large it may become.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub log: PathBuf,
    /// Bytes after which it begins anew.
    pub max_size: u64,
    /// Logs that are kept beside the present one.
    pub max_backups: usize,
}

/// The open file.
pub struct Writer {
    place: Place,
    file: File,
    size: u64,
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Writer {
    /// Opens the file, and goes on behind what is in it.
    pub fn open(place: Place) -> std::io::Result<Writer> {
        let file = open(&place.log)?;
        let size = file.metadata()?.len();
        Ok(Writer { place, file, size })
    }

    /// `log.1` is the newest of those that were put aside.
    fn rotate(&mut self) -> std::io::Result<()> {
        let aside = |number: usize| PathBuf::from(format!("{}.{number}", self.place.log.display()));
        for number in (1..self.place.max_backups).rev() {
            if aside(number).exists() {
                std::fs::rename(aside(number), aside(number + 1))?;
            }
        }
        if self.place.max_backups > 0 {
            std::fs::rename(&self.place.log, aside(1))?;
        } else {
            std::fs::remove_file(&self.place.log)?;
        }
        self.file = open(&self.place.log)?;
        self.size = 0;
        Ok(())
    }
}

impl Lines for Writer {
    fn append(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.size > 0 && self.size + text.len() as u64 > self.place.max_size {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_grown_is_put_aside() {
        let directory = std::env::temp_dir().join(format!("ironclad-audit-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let log = directory.join("log");
        let place = Place { log: log.clone(), max_size: 10, max_backups: 2 };
        let mut writer = Writer::open(place).unwrap();
        for text in ["first....", "second...", "third....", "fourth..."] {
            writer.append(text.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
        assert_eq!(read("log").as_deref(), Some("fourth..."));
        assert_eq!(read("log.1").as_deref(), Some("third...."));
        assert_eq!(read("log.2").as_deref(), Some("second..."));
        assert_eq!(read("log.3"), None);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
