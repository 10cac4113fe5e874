//! How many seats each priority level has: its nominal share, and what levels lend each other.

/// What a level could do with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// It keeps this many in any case.
    pub least: f64,
    /// It gets no more.
    pub most: f64,
    /// What it needed lately.
    pub target: f64,
}

/// How often the fair level is halved towards: far beyond what a float tells apart.
const STEPS: usize = 60;

/// A level's share of all seats, rounded up.
pub fn nominal(seats: u32, shares: u32, all: u64) -> u32 {
    let part = (u64::from(seats) * u64::from(shares)).div_ceil(all.max(1));
    u32::try_from(part).unwrap_or(seats)
}

/// Divides seats: everybody gets the same multiple of what he needs, within his bounds.
pub fn allocate(seats: u32, wanted: &[Wanted]) -> Vec<u32> {
    let seats = f64::from(seats);
    let given =
        |one: &Wanted, times: f64| (one.target.max(1.0) * times).clamp(one.least, one.most.max(one.least));
    let sum = |times: f64| wanted.iter().map(|one| given(one, times)).sum::<f64>();
    let (mut low, mut high) = (0.0, seats.max(1.0));
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if sum(middle) < seats { low = middle } else { high = middle }
    }
    // Rounded to whole seats, and never to none. The numbers are small and not negative.
    wanted.iter().map(|one| given(one, high).round().max(1.0) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(least: u32, most: u32, target: u32) -> Wanted {
        Wanted { least: least.into(), most: most.into(), target: target.into() }
    }

    #[test]
    fn shares_are_rounded_up() {
        assert_eq!(nominal(600, 40, 245), 98);
        assert_eq!(nominal(600, 5, 245), 13);
        assert_eq!(nominal(600, 0, 0), 0);
    }

    #[test]
    fn who_needs_more_borrows_what_others_do_not_need() {
        // Two levels of 50 that may lend half: the busy one gets what the idle one can spare.
        assert_eq!(allocate(100, &[wanted(25, 100, 80), wanted(25, 100, 25)]), [75, 25]);
        // Both busy: each has its half.
        assert_eq!(allocate(100, &[wanted(25, 100, 50), wanted(25, 100, 50)]), [50, 50]);
        // Who may not borrow gets no more than its own.
        assert_eq!(allocate(100, &[wanted(25, 50, 80), wanted(25, 100, 25)]), [50, 50]);
        // Nobody is left with nothing.
        assert_eq!(allocate(1, &[wanted(0, 1, 0), wanted(0, 1, 0)]), [1, 1]);
        assert!(allocate(10, &[]).is_empty());
    }
}
