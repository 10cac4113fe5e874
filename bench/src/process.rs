//! What a process costs, as the kernel tells it.

use anyhow::{Context, Result};

/// CPU time of a process, all its threads together, those that ended included.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything; what follows it is numbers.
    let (_, numbers) = text.rsplit_once(')').context("stat")?;
    let ticks: u64 =
        numbers.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // The kernel counts in hundredths of a second, whatever it runs at.
    Ok(ticks as f64 / 100.0)
}

/// Resident memory of a process.
pub fn resident_mib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .context("VmRSS")?;
    Ok(kib / 1024.0)
}
