//! The log's file: lines are appended by a task of its own, and a file that has grown large is put aside.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use env::Env;
use tokio::sync::mpsc;

use super::Settings;

/// Lines that wait to be written; who writes more waits, so that nothing is lost and memory is bounded.
const WAITING: usize = 1_024;
/// Lines that are written at a time.
const AT_A_TIME: usize = 256;

/// The way to the file.
#[derive(Debug)]
pub(super) struct Log {
    lines: mpsc::Sender<Vec<u8>>,
}

struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    max_backups: usize,
}

impl Log {
    pub(super) fn open(env: &Env, settings: &Settings) -> std::io::Result<Log> {
        let writer = Writer::open(settings)?;
        let (lines, received) = mpsc::channel(WAITING);
        env.tasks.spawn_until_done("audit log", follow(env.clone(), writer, received));
        Ok(Log { lines })
    }

    /// Hands a line over without waiting; if there is no room it is lost, which is told.
    pub(super) fn write_now(&self, line: Vec<u8>) {
        if self.lines.try_send(line).is_err() {
            tracing::error!("an audit event was lost: too many wait to be written");
        }
    }

    pub(super) async fn write(&self, line: Vec<u8>) {
        if self.lines.send(line).await.is_err() {
            tracing::error!("an audit event came after the audit log was closed");
        }
    }
}

async fn follow(env: Env, mut writer: Writer, mut lines: mpsc::Receiver<Vec<u8>>) {
    let mut stopping = env.tasks.stopping();
    let mut batch = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            received = lines.recv_many(&mut batch, AT_A_TIME) => received,
            () = &mut stopping => {
                // What is there is still written; nobody is kept waiting for more.
                while let Ok(line) = lines.try_recv() {
                    batch.push(line);
                }
                batch.len()
            }
        };
        if received == 0 {
            return;
        }
        let text = std::mem::take(&mut batch).concat();
        let Some(back) = env.tasks.blocking(move || (writer.append(&text), writer)).await else { return };
        let outcome;
        (outcome, writer) = back;
        if let Err(error) = outcome {
            tracing::error!(path = %writer.path.display(), %error, "the audit log could not be written");
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Writer {
    fn open(settings: &Settings) -> std::io::Result<Writer> {
        let file = open(&settings.log)?;
        let size = file.metadata()?.len();
        let Settings { log, max_size, max_backups, .. } = settings.clone();
        Ok(Writer { path: log, file, size, max_size, max_backups })
    }

    fn append(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.size > 0 && self.size + text.len() as u64 > self.max_size {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }

    /// `log.1` is the newest of those that were put aside.
    fn rotate(&mut self) -> std::io::Result<()> {
        let aside = |number: usize| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..self.max_backups).rev() {
            if aside(number).exists() {
                std::fs::rename(aside(number), aside(number + 1))?;
            }
        }
        if self.max_backups > 0 {
            std::fs::rename(&self.path, aside(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.size = 0;
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
        let settings = Settings { policy: PathBuf::new(), log: log.clone(), max_size: 10, max_backups: 2 };
        let mut writer = Writer::open(&settings).unwrap();
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
