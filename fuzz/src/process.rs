//! Each target in a process of its own: one that runs out of memory, of stack or of time takes nothing with it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use env::Clock;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::round::{Finding, Round};
use crate::target::Target;

/// How long one input may be worked on. The longest that is right takes a tenth of it.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How much memory one process may have. Bodies are at most 64 KiB; what they become is a hundredth of this.
const MEMORY: u64 = 2 << 30;
/// A process that works longer than it was told to hangs.
const HANGS_AFTER: u64 = 60;
/// As much as a thread of the server has.
const STACK: usize = 2 << 20;
/// How many inputs are tried between two looks at the clock.
const BATCH: u64 = 16;

/// How long, from what, and where findings go.
pub struct Plan {
    pub seconds: u64,
    pub seed: u64,
    pub findings: PathBuf,
}

/// Runs a target in a process and tells in a line how it went; answers whether all promises were kept.
pub fn run(name: &str, plan: &Plan) -> Result<bool> {
    fs::create_dir_all(&plan.findings).context("there is no place for findings")?;
    let program = std::env::current_exe().context("this program cannot be found")?;
    let output = Command::new(program)
        .args(["alone", name, "--seconds", &plan.seconds.to_string(), "--seed", &plan.seed.to_string()])
        .arg("--findings")
        .arg(&plan.findings)
        .stderr(Stdio::null())
        .output()
        .context("a process for the target cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.code().is_some_and(|code| code < 2) {
        println!("{name:<16} {said}");
        return Ok(output.status.success());
    }
    // It died, and what it was given last is in its file.
    let input = fs::read(current(name, plan)).unwrap_or_default();
    let what = format!("the process ended with {} (memory, stack or time ran out)", output.status);
    println!("{name:<16} {}", write(name, plan, &Finding { input, what })?);
    Ok(false)
}

/// Fuzzes a target in this process.
pub fn alone(target: &Target, plan: &Plan) -> Result<ExitCode> {
    let limit =
        |resource, most: u64| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::As, MEMORY).context("memory cannot be limited")?;
    limit(Resource::Cpu, plan.seconds + HANGS_AFTER).context("time cannot be limited")?;
    limit(Resource::Core, 0).context("core dumps cannot be switched off")?;
    let name = target.name;
    // Targets are not sent between threads: the thread with the small stack makes its own.
    let (plan_seconds, plan_seed, file) = (plan.seconds, plan.seed, current(name, plan));
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let target = crate::find(name)?;
        fuzz(&target, (plan_seconds, plan_seed), &file)
    });
    let ended = thread.context("a thread cannot be started")?.join();
    let (summary, finding) = ended.map_err(|_| anyhow!("the thread of the target panicked"))??;
    let Some(finding) = finding else {
        println!("{summary}  no finding");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{summary}  {}", write(name, plan, &finding)?);
    Ok(ExitCode::FAILURE)
}

/// Where a process keeps the input that it is about to take.
fn current(name: &str, plan: &Plan) -> PathBuf {
    plan.findings.join(format!("{name}.current"))
}

fn fuzz(target: &Target, (seconds, seed): (u64, u64), file: &Path) -> Result<(String, Option<Finding>)> {
    let clock = Clock::real();
    let start = clock.monotonic();
    let now = File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
    let mut round = Round::new(target, seed, PATIENCE);
    let mut finding = None;
    while finding.is_none() && clock.monotonic() - start < Duration::from_secs(seconds) {
        for _ in 0..BATCH {
            let input = round.next_input();
            now.set_len(input.len() as u64)?;
            now.write_all_at(&input, 0)?;
            finding = round.take(input).err();
            if finding.is_some() {
                break;
            }
        }
    }
    fs::remove_file(file)?;
    let taken = (clock.monotonic() - start).as_secs_f64();
    let pace = round.inputs as f64 / taken.max(0.001);
    let summary =
        format!("{:>10} inputs {pace:>8.0}/s {:>5} outcomes {taken:>6.0} s", round.inputs, round.outcomes());
    Ok((summary, finding))
}

/// Writes a finding beside what is needed to try it again; answers the line that tells of it.
fn write(name: &str, plan: &Plan, finding: &Finding) -> Result<String> {
    let hash = finding.input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let file = plan.findings.join(format!("{name}-{hash:016x}"));
    fs::write(&file, &finding.input).context("a finding cannot be written")?;
    let how = format!("cargo run --profile fuzz -p fuzz -- replay {name} {}", file.display());
    let story = format!("{}\nseed: {}\nagain: {how}\n", finding.what, plan.seed);
    fs::write(file.with_extension("txt"), &story).context("a finding cannot be written")?;
    let first = finding.what.lines().next().unwrap_or_default();
    Ok(format!("FINDING {first}\n{:17}{how}", ""))
}
