//! What the machine has left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Reading, Readings, Signal};

/// Measures everything. What cannot be measured is left out, and nothing is done about it.
pub(crate) fn read(root: &Path) -> Readings {
    let mut readings = Readings::new();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(reading) = memory(&meminfo) {
        readings.insert(Signal::MemoryAvailable, reading);
    }
    match rustix::fs::statvfs(root) {
        Ok(space) => {
            let bytes =
                |blocks: u64| i64::try_from(blocks.saturating_mul(space.f_frsize)).unwrap_or(i64::MAX);
            let reading = Reading { available: bytes(space.f_bavail), capacity: bytes(space.f_blocks) };
            readings.insert(Signal::NodefsAvailable, reading);
            let count = |files: u64| i64::try_from(files).unwrap_or(i64::MAX);
            // Some file systems do not count them.
            if space.f_files > 0 {
                let reading = Reading { available: count(space.f_ffree), capacity: count(space.f_files) };
                readings.insert(Signal::NodefsInodesFree, reading);
            }
        }
        Err(error) => tracing::warn!("the space that is left cannot be measured: {error}"),
    }
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if let Some(reading) = pids(&most, &load) {
        readings.insert(Signal::PidAvailable, reading);
    }
    readings
}

fn memory(meminfo: &str) -> Option<Reading> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().next()?.parse::<i64>().ok()? * 1_024)
    };
    Some(Reading { available: bytes("MemAvailable")?, capacity: bytes("MemTotal")? })
}

/// `0.00 0.01 0.05 2/345 6789`: of 345 threads two run.
fn pids(most: &str, load: &str) -> Option<Reading> {
    let capacity: i64 = most.trim().parse().ok()?;
    let running: i64 = load.split_whitespace().nth(3)?.split('/').nth(1)?.parse().ok()?;
    Some(Reading { available: capacity - running, capacity })
}

/// Bytes and files below a directory, the directory itself not counted.
pub(crate) fn usage(path: &Path) -> (i64, i64) {
    let (mut bytes, mut files) = (0i64, 0i64);
    let mut left = vec![path.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // What has gone in between counts nothing.
            let Ok(metadata) = entry.metadata() else { continue };
            files += 1;
            bytes = bytes.saturating_add(i64::try_from(metadata.blocks() * 512).unwrap_or(i64::MAX));
            if metadata.is_dir() {
                left.push(entry.path());
            }
        }
    }
    (bytes, files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let meminfo = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    4096 kB\n";
        assert_eq!(memory(meminfo), Some(Reading { available: 4 << 20, capacity: 16 << 20 }));
        assert_eq!(memory("MemTotal: 1 kB\n"), None);
        let reading = Reading { available: 32_768 - 345, capacity: 32_768 };
        assert_eq!(pids("32768\n", "0.00 0.01 0.05 2/345 6789\n"), Some(reading));
        assert_eq!(pids("", ""), None);
        let readings = read(Path::new("/"));
        for signal in [Signal::MemoryAvailable, Signal::NodefsAvailable, Signal::PidAvailable] {
            let reading = readings[&signal];
            assert!(0 < reading.available && reading.available <= reading.capacity, "{signal:?} {reading:?}");
        }
    }

    #[test]
    fn files_are_counted_with_all_that_is_below() {
        let root = crate::tests::TempDir::new("usage");
        fs::create_dir(root.0.join("below")).unwrap();
        fs::write(root.0.join("below/file"), vec![1; 100_000]).unwrap();
        let (bytes, files) = usage(&root.0);
        assert_eq!(files, 2);
        assert!(bytes >= 100_000, "{bytes}");
        assert_eq!(usage(&root.0.join("nothing")), (0, 0));
    }
}
