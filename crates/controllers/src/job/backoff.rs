//! How long a Job waits before it tries again: the more failures in a row, the longer.
//!
//! The row is read off the pods themselves, so that it is the same after a restart.

use std::time::Duration;

use env::WallTime;

use super::tally::{Member, Tally};

/// After the first failure.
const FIRST: Duration = Duration::from_secs(10);
/// However many there were.
const LONGEST: Duration = Duration::from_secs(600);

/// How long after so many failures in a row.
pub fn delay(failures: usize) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    if failures == 0 { Duration::ZERO } else { (FIRST * (1 << doublings)).min(LONGEST) }
}

/// How long still, after failures of which the last was at `last`.
fn left(failures: usize, last: WallTime, now: WallTime) -> Duration {
    delay(failures).saturating_sub(now.since(last))
}

/// How long no pod is made.
pub fn of_job(tally: &Tally, now: WallTime) -> Duration {
    let ended = |member: &Member| member.ending().at;
    let last_success = tally.members.iter().filter(|member| member.has_succeeded()).map(ended).max();
    // A pod on its way out that was counted already was removed on purpose.
    let has_failed =
        |member: &&Member| member.failure.is_some() && (member.is_tracked || !member.is_terminating());
    let since: Vec<WallTime> = tally
        .members
        .iter()
        .filter(has_failed)
        .map(ended)
        .filter(|at| last_success.is_none_or(|success| *at > success))
        .collect();
    since.iter().max().map_or(Duration::ZERO, |last| left(since.len(), *last, now))
}

/// How long no pod is made for an index whose last pod was this.
pub fn of_index(last: Option<&Member>, now: WallTime) -> Duration {
    let Some(last) = last else { return Duration::ZERO };
    let failures = usize::try_from(last.failures_before()).unwrap_or(0).saturating_add(1);
    left(failures, last.ending().at, now)
}
