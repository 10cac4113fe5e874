//! What may go wrong on the way to the API, and how often. Each seed has its own weather: some faults are rare, some
//! frequent, some absent, so that no fault hides another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Entropy;

/// How likely each fault is, for each call or each event.
#[derive(Clone, Debug, Default)]
pub struct Odds {
    /// A call does not reach the server: 503.
    pub refused: f64,
    /// A call is turned away: 429.
    pub throttled: f64,
    /// A change is answered with 409 though nobody else changed anything.
    pub conflicting: f64,
    /// A write is carried out and its answer lost.
    pub lost: f64,
    /// A call takes its time.
    pub slow: f64,
    /// A watch ends: in good order, or not.
    pub broken: f64,
    /// A watch ends because the past is forgotten: 410, and states between are never seen.
    pub forgotten: f64,
    /// A watch stands still for a while: what it told becomes stale.
    pub stalled: f64,
}

/// The weather of a run. Clones share it.
#[derive(Clone, Debug)]
pub struct Weather {
    odds: Arc<Odds>,
    calm: Arc<AtomicBool>,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omen {
    /// Nothing.
    Fair,
    /// As in [`Odds`].
    Refused,
    /// As in [`Odds`].
    Throttled,
    /// As in [`Odds`].
    Conflicting,
    /// As in [`Odds`].
    Lost,
}

/// What becomes of a watch at one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Fair,
    /// It ends in good order.
    Ends,
    /// It breaks.
    Breaks,
    /// It must be begun anew.
    Forgotten,
    /// It stands still for so long.
    Stalls(Duration),
}

/// The longest a call takes to begin, or its answer to arrive.
const SLOWEST: Duration = Duration::from_secs(3);
/// The longest a watch stands still.
const LONGEST_STALL: Duration = Duration::from_secs(20);

impl Weather {
    /// Draws what may go wrong. Half of all faults are absent from a run.
    pub fn draw(entropy: &Entropy) -> Weather {
        let odd = |most: f64| {
            if entropy.below(2) == 0 { 0.0 } else { entropy.fraction() * most }
        };
        let odds = Odds {
            refused: odd(0.1),
            throttled: odd(0.1),
            conflicting: odd(0.1),
            lost: odd(0.1),
            slow: odd(0.5),
            broken: odd(0.02),
            forgotten: odd(0.02),
            stalled: odd(0.05),
        };
        Weather { odds: Arc::new(odds), calm: Arc::default() }
    }

    /// Nothing ever goes wrong.
    pub fn calm() -> Weather {
        Weather { odds: Arc::default(), calm: Arc::new(AtomicBool::new(true)) }
    }

    /// From now on nothing goes wrong.
    pub fn clear_up(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    fn happens(&self, entropy: &Entropy, odd: f64) -> bool {
        !self.calm.load(Ordering::SeqCst) && odd > 0.0 && entropy.fraction() < odd
    }

    /// How long a call, or its answer, is under way.
    pub fn delay(&self, entropy: &Entropy) -> Duration {
        if self.happens(entropy, self.odds.slow) {
            SLOWEST.mul_f64(entropy.fraction().powi(3))
        } else {
            Duration::ZERO
        }
    }

    /// What becomes of a read.
    pub fn of_read(&self, entropy: &Entropy) -> Omen {
        if self.happens(entropy, self.odds.refused) {
            Omen::Refused
        } else if self.happens(entropy, self.odds.throttled) {
            Omen::Throttled
        } else {
            Omen::Fair
        }
    }

    /// What becomes of a write.
    pub fn of_write(&self, entropy: &Entropy) -> Omen {
        match self.of_read(entropy) {
            Omen::Fair if self.happens(entropy, self.odds.conflicting) => Omen::Conflicting,
            Omen::Fair if self.happens(entropy, self.odds.lost) => Omen::Lost,
            omen => omen,
        }
    }

    /// What becomes of a watch.
    pub fn of_watch(&self, entropy: &Entropy) -> Turn {
        if self.happens(entropy, self.odds.broken) {
            if entropy.below(2) == 0 { Turn::Ends } else { Turn::Breaks }
        } else if self.happens(entropy, self.odds.forgotten) {
            Turn::Forgotten
        } else if self.happens(entropy, self.odds.stalled) {
            Turn::Stalls(LONGEST_STALL.mul_f64(entropy.fraction()))
        } else {
            Turn::Fair
        }
    }
}
