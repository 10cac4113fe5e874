//! `sim`: runs seeds, and explains those that break a promise.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;

/// The allocator of the program that is simulated; with the system's a seed takes a fifth longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a whole cluster under everything that can go wrong, once for each seed.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed only
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
    /// How many runs at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// How many of the last lines of a failed run are shown.
const SHOWN: usize = 60;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, count) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = sim::run(seed, arguments.trace);
                    if outcome.broken.is_some() {
                        explain(&outcome, arguments.trace);
                        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.sort_unstable();
    if failed.is_empty() {
        println!("{count} seeds from {first} on: every promise was kept");
        return ExitCode::SUCCESS;
    }
    println!("{} of {count} seeds broke a promise: {failed:?}", failed.len());
    ExitCode::FAILURE
}

fn explain(outcome: &sim::Outcome, is_shown: bool) {
    let Some(broken) = &outcome.broken else { return };
    let mut text = format!("seed {}: {broken}\n", outcome.seed);
    if !is_shown {
        let skipped = outcome.story().count().saturating_sub(SHOWN);
        outcome.story().skip(skipped).for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    outcome.reasons.iter().for_each(|reason| text.push_str(&format!("  {reason}\n")));
    text.push_str(&format!("replay it with: cargo run --package sim -- --seed {} --trace", outcome.seed));
    println!("{text}");
}
