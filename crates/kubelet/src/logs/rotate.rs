//! Keeps logs from growing for ever: a log that is too long is put aside, and the oldest of those are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::WallTime;

use crate::kit::Kit;

/// How often sizes are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// A log longer than this is put aside.
const LONGEST: u64 = 10 << 20;
/// How many files of one container there are at most, the one that is written included.
const MOST_FILES: usize = 5;

/// Rotates the logs of running containers for ever.
pub(crate) async fn rotate_all(kit: Arc<Kit>) {
    loop {
        kit.env.clock.sleep(LOOK).await;
        for pod in kit.observer.pods() {
            for container in kit.observer.pod(&pod.uid).running() {
                if let Err(error) = rotate(&kit, &container.id, &container.log_path).await {
                    tracing::warn!(path = %container.log_path.display(), "a log cannot be rotated: {error}");
                }
            }
        }
    }
}

async fn rotate(kit: &Arc<Kit>, id: &str, log: &Path) -> Result<(), String> {
    if fs::metadata(log).map_or(0, |metadata| metadata.len()) <= LONGEST {
        return Ok(());
    }
    let (path, now) = (log.to_owned(), kit.env.clock.now());
    let aside = kit.env.tasks.blocking(move || put_aside(&path, now)).await;
    let aside = aside.ok_or("it panicked; this is a defect")?.map_err(|error| error.to_string())?;
    if let Err(error) = kit.runtime.reopen_log(id.to_owned()).await {
        // The container goes on writing to the old file: it must keep its name, or what comes is never seen.
        fs::rename(&aside, log)
            .map_err(|undone| format!("{error}; and it could not be put back: {undone}"))?;
        return Err(error.to_string());
    }
    Ok(())
}

/// Removes what is too old and gives the log another name. Answers that name.
fn put_aside(log: &Path, now: WallTime) -> io::Result<PathBuf> {
    let mut old = rotated(log)?;
    // One more is about to be put aside, and one is written.
    while old.len() > MOST_FILES - 2 {
        fs::remove_file(old.remove(0))?;
    }
    let stamp = client::time::timestamp(now).strftime("%Y%m%d-%H%M%S").to_string();
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{stamp}"));
    let aside = PathBuf::from(name);
    fs::rename(log, &aside)?;
    Ok(aside)
}

/// The files that were put aside, the oldest first.
pub(crate) fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::TempDir;

    #[test]
    fn the_oldest_go_first_and_never_too_many_stay() {
        let dir = TempDir::new("rotate");
        let log = dir.0.join("0.log");
        for second in 0..8 {
            fs::write(&log, second.to_string()).unwrap();
            let aside = put_aside(&log, WallTime::from_secs(1_700_000_000 + second)).unwrap();
            assert_eq!(fs::read_to_string(aside).unwrap(), second.to_string());
        }
        fs::write(dir.0.join("1.log"), "another instance").unwrap();
        let texts: Vec<String> =
            rotated(&log).unwrap().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(texts, ["4", "5", "6", "7"]);
        assert!(dir.0.join("0.log.20231114-221327").exists());
    }
}
