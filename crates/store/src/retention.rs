//! Decides how much of history to forget: what is older than a time, and what is more than a size.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Revision;

/// How many moments are remembered. More of them make forgetting finer, not better.
const MOMENTS: u32 = 256;

/// Remembers which revision was newest when.
#[derive(Debug)]
pub(crate) struct Retention {
    keep_secs: u32,
    keep_bytes: u64,
    moments: VecDeque<Moment>,
    forgotten: Revision,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    secs: u32,
    newest: Revision,
    /// Bytes of replaced rows until then.
    replaced: u64,
}

impl Retention {
    pub(crate) fn new(keep: Duration, keep_bytes: u64) -> Retention {
        let keep_secs = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
        Retention { keep_secs, keep_bytes, moments: VecDeque::new(), forgotten: 0 }
    }

    /// Takes note of how the store stood at a time. Times come in order.
    pub(crate) fn remember(&mut self, secs: u32, newest: Revision, replaced: u64) {
        let apart = self.keep_secs / MOMENTS;
        let finest = self.keep_bytes / u64::from(MOMENTS);
        let worth = self.moments.back().is_none_or(|last| {
            secs.saturating_sub(last.secs) > apart || replaced.saturating_sub(last.replaced) > finest
        });
        if worth {
            self.moments.push_back(Moment { secs, newest, replaced });
            self.thin_out();
        }
    }

    /// Up to where history is to be forgotten now, if further than before.
    pub(crate) fn due(&mut self, secs: u32, replaced: u64) -> Option<Revision> {
        let mut target = None;
        while let Some(oldest) = self.moments.front() {
            let too_old = secs.saturating_sub(oldest.secs) >= self.keep_secs;
            let too_much = replaced.saturating_sub(oldest.replaced) > self.keep_bytes;
            if !too_old && !too_much {
                break;
            }
            target = Some(oldest.newest);
            self.moments.pop_front();
        }
        let target = target.filter(|target| *target > self.forgotten)?;
        self.forgotten = target;
        Some(target)
    }

    /// Drops every second moment when there are too many, so that memory stays bounded whatever the interval is.
    fn thin_out(&mut self) {
        if self.moments.len() > 4 * MOMENTS as usize {
            let mut keep = false;
            let newest = self.moments.back().map(|moment| moment.newest);
            self.moments.retain(|moment| {
                keep = !keep;
                keep || Some(moment.newest) == newest
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(retention: &mut Retention, secs: u32, newest: Revision, replaced: u64) -> Option<Revision> {
        retention.remember(secs, newest, replaced);
        retention.due(secs, replaced)
    }

    #[test]
    fn what_is_older_than_the_time_is_forgotten() {
        let mut retention = Retention::new(Duration::from_secs(3600), u64::MAX);
        let seen = [(0, 10), (1800, 20), (3599, 30), (3600, 40), (3610, 40), (5400, 50)];
        let forgotten = seen.map(|(secs, newest)| observe(&mut retention, secs, newest, 0));
        assert_eq!(forgotten, [None, None, None, Some(10), None, Some(20)]);
    }

    #[test]
    fn what_is_more_than_the_size_is_forgotten_however_young() {
        let mut retention = Retention::new(Duration::from_secs(3600), 1000);
        let seen = [(0, 10, 0), (5, 20, 900), (10, 30, 1800), (15, 40, 4000)];
        let forgotten = seen.map(|(secs, newest, replaced)| observe(&mut retention, secs, newest, replaced));
        assert_eq!(forgotten, [None, None, Some(10), Some(30)]);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let mut retention = Retention::new(Duration::from_secs(10), u64::MAX);
        assert_eq!(observe(&mut retention, 1000, 10, 0), None);
        assert_eq!(observe(&mut retention, 0, 20, 0), None);
        assert_eq!(observe(&mut retention, 1010, 30, 0), Some(10));
    }

    #[test]
    fn memory_is_bounded_and_time_still_kept() {
        let mut retention = Retention::new(Duration::from_secs(1_000_000), 1 << 20);
        let mut forgotten = 0;
        for secs in 0..1_200_000u32 {
            // Bytes come in bursts, so moments are finer than the time alone would make them.
            if let Some(target) = observe(&mut retention, secs, u64::from(secs) + 1, u64::from(secs) / 2) {
                assert!(u64::from(secs) >= 1_000_000 && target > forgotten);
                forgotten = target;
            }
            assert!(retention.moments.len() <= 4 * MOMENTS as usize + 1);
        }
        assert!(forgotten > 100_000);
    }
}
