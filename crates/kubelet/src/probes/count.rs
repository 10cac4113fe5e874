//! How many answers in a row make a result.

use k8s_openapi::api::core::v1::Probe;

/// Counts answers of one probe.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    good: u32,
    bad: u32,
    last: Option<bool>,
    run: u32,
}

impl Counter {
    /// With the probe's thresholds.
    pub fn new(probe: &Probe) -> Counter {
        let at_least = |given: Option<i32>, default: u32| {
            given.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0).unwrap_or(default)
        };
        Counter {
            good: at_least(probe.success_threshold, 1),
            bad: at_least(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// Counts an answer. Answers the result, once there were enough in a row.
    pub fn count(&mut self, good: bool) -> Option<bool> {
        if self.last == Some(good) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(good);
            self.run = 1;
        }
        let enough = if good { self.good } else { self.bad };
        (self.run >= enough).then_some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_needs_enough_answers_in_a_row() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut counter = Counter::new(&probe);
        let answers = [false, false, true, false, false, false, false, true, true, true, false];
        let results: Vec<Option<bool>> = answers.into_iter().map(|answer| counter.count(answer)).collect();
        assert_eq!(
            results,
            [None, None, None, None, None, Some(false), Some(false), None, Some(true), Some(true), None]
        );
        let mut counter = Counter::new(&Probe::default());
        assert_eq!(counter.count(true), Some(true));
        assert_eq!(
            [counter.count(false), counter.count(false), counter.count(false)],
            [None, None, Some(false)]
        );
    }
}
