//! Wall and monotonic time, and waiting: the machine's, or virtual.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Time of day: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// A time given in whole seconds since the epoch; the furthest there is, if that cannot be told.
    pub const fn from_secs(secs: i64) -> WallTime {
        WallTime(secs.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds within the second.
    pub const fn subsec_nanos(self) -> i32 {
        self.0.rem_euclid(1_000_000_000) as i32
    }

    /// The time `after` this one.
    pub fn plus(self, after: Duration) -> WallTime {
        WallTime(self.0.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A clock that can be waited on.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    Real { start: std::time::Instant },
    Simulated { wall: AtomicI64, start: tokio::time::Instant },
}

#[expect(clippy::disallowed_methods, reason = "the one door to the operating system's clock")]
impl Clock {
    /// The machine's clock.
    pub fn real() -> Clock {
        Clock { source: Arc::new(Source::Real { start: std::time::Instant::now() }) }
    }

    /// A clock that starts at `wall` and follows tokio's (paused) time. Must be made inside a tokio runtime.
    pub fn simulated(wall: WallTime) -> Clock {
        Clock {
            source: Arc::new(Source::Simulated {
                wall: AtomicI64::new(wall.0),
                start: tokio::time::Instant::now(),
            }),
        }
    }

    /// The time of day.
    pub fn now(&self) -> WallTime {
        match &*self.source {
            Source::Real { .. } => {
                let since_epoch = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or(Duration::ZERO);
                WallTime(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
            }
            Source::Simulated { wall, start } => WallTime(wall.load(Ordering::SeqCst)).plus(start.elapsed()),
        }
    }

    /// Sets the time of day forward, or back, by so many seconds, as an administrator might; those who wait notice
    /// nothing. Only a simulated clock is ours to set: the machine's stays as it is.
    pub fn step(&self, secs: i64) {
        if let Source::Simulated { wall, .. } = &*self.source {
            wall.fetch_add(WallTime::from_secs(secs).0, Ordering::SeqCst);
        }
    }

    /// Time since this clock was made; never steps back.
    pub fn monotonic(&self) -> Duration {
        match &*self.source {
            Source::Real { start } => start.elapsed(),
            Source::Simulated { start, .. } => start.elapsed(),
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Runs `work` for at most `limit`; `None` if it took longer.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(limit, work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_be_told_are_the_furthest_there_are() {
        assert_eq!(WallTime::from_secs(i64::MAX), WallTime(i64::MAX));
        assert_eq!(WallTime::from_secs(i64::MIN), WallTime(i64::MIN));
        assert_eq!(WallTime(i64::MAX).plus(Duration::MAX), WallTime(i64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn virtual_time_advances_only_by_waiting() {
        let clock = Clock::simulated(WallTime::from_secs(1_000));
        assert_eq!(clock.now(), WallTime::from_secs(1_000));
        clock.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now().secs(), 4_600);
        assert!(clock.timeout(Duration::from_secs(1), clock.sleep(Duration::from_secs(2))).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_changes_the_time_of_day_and_nothing_else() {
        let clock = Clock::simulated(WallTime::from_secs(1_000));
        clock.sleep(Duration::from_secs(10)).await;
        clock.step(-500);
        assert_eq!((clock.now().secs(), clock.monotonic()), (510, Duration::from_secs(10)));
        clock.step(90);
        assert_eq!(clock.now().secs(), 600);
    }

    #[test]
    fn differences_do_not_underflow() {
        let (early, late) = (WallTime::from_secs(-5), WallTime::from_secs(7));
        assert_eq!(late.since(early), Duration::from_secs(12));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(WallTime(-1).secs(), -1);
    }
}
