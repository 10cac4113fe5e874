//! Which start is due now, and when to look again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;

/// More missed starts than that are told of.
const MANY: i64 = 100;
/// Starts are looked for this long after they are due, so that clocks that differ a little do not miss them.
const DELTA: SignedDuration = SignedDuration::from_millis(100);

/// What a schedule says of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The last start that is due and was not made; those before it are not made up for.
    pub start: Option<Timestamp>,
    /// Too many were missed.
    pub missed_many: bool,
}

/// Why a schedule says nothing.
pub const TOO_DENSE: &str = "time difference between two schedules is less than 1 second";

/// The last start after `earliest` that is due at `now`.
pub fn due(calendar: &Calendar, earliest: Timestamp, now: Timestamp) -> Result<Due, &'static str> {
    let none = Due { start: None, missed_many: false };
    let Some(first) = calendar.next(earliest) else { return Err(TOO_DENSE) };
    if now < first {
        return Ok(none);
    }
    let Some(second) = calendar.next(first) else {
        return Ok(Due { start: Some(first), missed_many: false });
    };
    if now < second {
        return Ok(Due { start: Some(first), missed_many: false });
    }
    let distance = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / distance + 1;
    // An estimate that leaves out most of them: distances differ, so it begins some before, and goes further back while
    // that finds none.
    let mut back = 2;
    let last = loop {
        let skipped = (missed - back).max(0);
        let from = first.checked_add(SignedDuration::from_secs(skipped.saturating_mul(distance)));
        let from = from.unwrap_or(first).min(now);
        if let Some(last) = last_until(calendar, from, now) {
            break last;
        }
        if skipped == 0 {
            break last_until(calendar, first, now).unwrap_or(first);
        }
        back = back.saturating_mul(2);
    };
    Ok(Due { start: Some(last), missed_many: missed > MANY })
}

/// The last due time after `from` and not after `now`.
fn last_until(calendar: &Calendar, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut last = None;
    let mut next = calendar.next(from);
    while let Some(due) = next.filter(|due| *due <= now) {
        last = Some(due);
        next = calendar.next(due);
    }
    last
}

/// How long until the next start is due; `None` if none ever is.
pub fn wait(calendar: &Calendar, now: Timestamp) -> Option<Duration> {
    let next = calendar.next(now)?.checked_add(DELTA).ok()?;
    Duration::try_from(next.duration_since(now)).ok()
}
