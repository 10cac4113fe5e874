//! Fuzzing on stable Rust: every decoder and every engine gets inputs near those it takes well, and keeps its promises.
//!
//! `fuzz run` gives each target its time in a process of its own, which may neither eat the machine's memory nor hang.
//! What broke a promise is written to a file, with how to try it again: `fuzz replay TARGET FILE`.

mod choices;
mod differ;
mod draw;
mod mutate;
mod process;
mod round;
mod target;
mod targets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::process::Plan;
use crate::target::Target;

/// Fuzzes decoders and engines.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Give targets their time, one after the other.
    Run {
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What inputs are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where findings are written.
        #[arg(long, default_value = "target/findings")]
        findings: PathBuf,
        /// Which targets; all if none is named.
        targets: Vec<String>,
    },
    /// Give a target its time in this process.
    #[command(hide = true)]
    Alone {
        target: String,
        #[arg(long)]
        seconds: u64,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        findings: PathBuf,
    },
    /// Try one input again.
    Replay {
        /// The target.
        target: String,
        /// The file with the input.
        file: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().what {
        What::Run { seconds, seed, findings, targets } => {
            let names: Vec<&str> = targets::ALL.iter().map(|make| make().name).collect();
            if let Some(unknown) = targets.iter().find(|name| !names.contains(&name.as_str())) {
                bail!("there is no target {unknown}; there are {}", names.join(", "));
            }
            let asked = |name: &&&str| targets.is_empty() || targets.iter().any(|asked| asked == **name);
            let mut clean = true;
            for name in names.iter().filter(asked) {
                clean &= process::run(name, &Plan { seconds, seed, findings: findings.clone() })?;
            }
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        What::Alone { target, seconds, seed, findings } => {
            process::alone(&find(&target)?, &Plan { seconds, seed, findings })
        }
        What::Replay { target, file } => replay(&find(&target)?, &file),
    }
}

fn find(name: &str) -> Result<Target> {
    let target = targets::ALL.iter().map(|make| make()).find(|target| target.name == name);
    target.with_context(|| format!("there is no target {name}"))
}

fn replay(target: &Target, file: &Path) -> Result<ExitCode> {
    let input = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    match round::judge(target, &input, process::PATIENCE) {
        Ok(outcome) => {
            println!("it keeps its promises ({outcome})");
            Ok(ExitCode::SUCCESS)
        }
        Err(what) => {
            println!("{what}");
            Ok(ExitCode::FAILURE)
        }
    }
}
