//! `bench watch [BINARY]`: 10,000 watchers of the same objects, 200 changes a second, for a minute. Each watcher must see
//! each change once and in order; one more watcher never reads, which nobody may notice. First in process, where nothing
//! but the server's own work takes time; then over TLS, on the processors that the watchers share with the server.

mod conversation;
mod follower;
mod frames;
mod remote;
mod wire;
mod within;

use std::time::Duration;

use anyhow::{Context, Result};
use env::Env;

use self::follower::Seen;
use crate::cluster::{enter_namespaces, measured_binary, until};
use crate::report::{Figure, print};

const WATCHERS: u64 = 10_000;
const CHANGES_A_SECOND: u64 = 200;
const SECONDS: u64 = 60;
/// Objects that are changed in turn, so that no change waits for the one before.
const OBJECTS: u64 = 50;
/// Changes under way at a time.
const WRITERS: u64 = 8;

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    // First, as memory that something else gave back would hide what this takes.
    let within = env.tasks.blocking(within::measure).await.context("the measurement in process failed")??;
    print(&within);
    print(&remote::measure(&binary, &env).await?);
    Ok(())
}

/// What was changed.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    count: u64,
    /// Of all revisions, so that a lost one shows.
    sum: u64,
}

impl Made {
    fn add(&mut self, other: Made) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Events that somebody did not see.
    lost: u64,
    /// Events that somebody saw twice or too late.
    disorder: u64,
    /// Watches that ended.
    closed: u64,
}

impl Tally {
    fn of(made: Made, all: &[Seen]) -> Tally {
        let mut tally = Tally::default();
        for seen in all {
            tally.lost += made.count.saturating_sub(seen.count)
                + u64::from(seen.sum != made.sum && seen.count == made.count);
            tally.disorder += seen.disorder;
            tally.closed += u64::from(seen.closed);
        }
        tally.lost += made.count * WATCHERS.saturating_sub(all.len() as u64);
        tally
    }
}

/// What happened, in process or over the wire.
struct Outcome {
    made: Made,
    /// How long the changes took, and how long after them the last event came.
    changing: Duration,
    behind: Duration,
    tally: Tally,
}

impl Outcome {
    /// What holds in either way: changes, what was lost, what came twice or out of order, what closed, how late it was.
    fn figures(&self, [changes, lost, disorder, closed, behind]: [&'static str; 5]) -> Vec<Figure> {
        let Outcome { made, changing, tally, .. } = self;
        let rate = made.count as f64 / changing.as_secs_f64();
        vec![
            Figure::at_least(changes, rate, "/s", 0.95 * CHANGES_A_SECOND as f64),
            Figure::at_most(lost, tally.lost as f64, "events", 0.0),
            Figure::at_most(disorder, tally.disorder as f64, "events", 0.0),
            Figure::at_most(closed, tally.closed as f64, "watches", 0.0),
            Figure::at_most(behind, self.behind.as_secs_f64(), "s", 5.0),
        ]
    }
}

/// Makes all changes, each when it is due; `change` makes one and answers its revision.
async fn make_changes<F>(env: &Env, change: impl Fn(u64) -> F + Clone + Send + Sync + 'static) -> Result<Made>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let begin = env.clock.monotonic();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (change, clock) = (change.clone(), env.clock.clone());
        let work = async move {
            let mut made = Made::default();
            let mut number = writer;
            while number < CHANGES_A_SECOND * SECONDS {
                let due = begin + Duration::from_secs(1) * u32::try_from(number)? / CHANGES_A_SECOND as u32;
                clock.sleep(due.saturating_sub(clock.monotonic())).await;
                made.add(Made { count: 1, sum: change(number).await? });
                number += WRITERS;
            }
            anyhow::Ok(made)
        };
        writers.push(env.tasks.spawn("writer", work));
    }
    let mut all = Made::default();
    for writer in writers {
        all.add(writer.join().await.context("a writer ended early")??);
    }
    Ok(all)
}

/// Waits until all events came. Some may never, which is told as a loss.
async fn all_came(env: &Env, came: impl Fn() -> bool) {
    let _ = until(env, env.clock.monotonic(), || std::future::ready(came())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_did_not_see_or_saw_twice_is_told() {
        let made = Made { count: 3, sum: 60 };
        let whole = Seen { count: 3, sum: 60, last: 30, disorder: 0, closed: false };
        let mut all = vec![whole; WATCHERS as usize];
        assert_eq!(Tally::of(made, &all), Tally::default());
        all[0] = Seen { count: 2, sum: 30, ..whole };
        all[1] = Seen { sum: 61, ..whole };
        all[2] = Seen { count: 4, sum: 90, disorder: 1, ..whole };
        all[3] = Seen { closed: true, ..whole };
        all.pop();
        assert_eq!(Tally::of(made, &all), Tally { lost: 2 + 3, disorder: 1, closed: 1 });
    }
}
