//! The doors to the outside: clock, randomness and tasks, each real or simulated.
//!
//! Nothing else in rings 0 to 2 reads the time of day, draws random numbers or spawns tasks. What a component may
//! touch is handed to it as an [`Env`]; a test hands it one whose clock is virtual and whose randomness has a seed,
//! and the same code then runs the same way twice.

mod clock;
mod entropy;
mod news;
mod tasks;

pub use clock::{Clock, WallTime};
pub use entropy::Entropy;
pub use news::News;
pub use tasks::{TaskHandle, Tasks};

/// Everything a component may use of the world outside.
#[derive(Clone, Debug)]
pub struct Env {
    /// Wall and monotonic time, and waiting.
    pub clock: Clock,
    /// Random numbers, identifiers and name suffixes.
    pub entropy: Entropy,
    /// Where background work is started and, at the end, stopped.
    pub tasks: Tasks,
}

impl Env {
    /// The machine's own clock and randomness.
    pub fn real() -> Env {
        Env { clock: Clock::real(), entropy: Entropy::from_os(), tasks: Tasks::new() }
    }

    /// A virtual clock that starts at `start` and advances with tokio's paused time, and randomness from `seed`.
    pub fn simulated(start: WallTime, seed: u64) -> Env {
        Env { clock: Clock::simulated(start), entropy: Entropy::from_seed(seed), tasks: Tasks::new() }
    }

    /// The same world with a branch of randomness of its own, so that one component's draws do not shift another's.
    pub fn child(&self, label: &str) -> Env {
        Env { clock: self.clock.clone(), entropy: self.entropy.child(label), tasks: self.tasks.clone() }
    }
}
