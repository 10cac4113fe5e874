//! The memory that a large body takes while it is read: the most that a process of its own ever had, the body included.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use api::Table;
use machinery::json::{self, Report};

/// How many times its own size the list takes while it is read.
pub fn of_reading(list: &[u8]) -> Result<f64> {
    let file = std::env::temp_dir().join(format!("ironclad-bench-{}.json", std::process::id()));
    std::fs::write(&file, list).context("the list cannot be written")?;
    let program = std::env::current_exe().context("this program cannot be found")?;
    let output = Command::new(program).args(["objects", "read"]).arg(&file).output();
    std::fs::remove_file(&file).context("the list cannot be deleted")?;
    let output = output.context("a process that reads cannot be started")?;
    ensure!(output.status.success(), "reading failed: {}", String::from_utf8_lossy(&output.stderr));
    let taken: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("how much it took")?;
    Ok(taken / list.len() as f64)
}

/// Reads a list of pods from a file; prints how many bytes that took at most.
pub fn read(file: &Path) -> Result<()> {
    let table = Table::load();
    let pods = table.type_of(table.kind("", "v1", "PodList").context("lists of pods exist")?);
    let before = peak()?;
    let body = std::fs::read(file).context("the list cannot be read")?;
    let list = json::decode(&body, pods, &mut Report::new())?;
    let taken = peak()? - before;
    ensure!(!list.get("items").items().is_empty(), "the list is empty");
    println!("{taken}");
    Ok(())
}

/// The most memory this process ever had, in bytes.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM")?;
    Ok(kib * 1024)
}
