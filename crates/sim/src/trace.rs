//! What happened, in order: a line for each call, each commit, each thing that went wrong. Two runs of one seed have
//! the same lines, and the first broken promise ends a run.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use env::Clock;
use tokio::sync::watch;

/// The lines of a run. Clones share them.
#[derive(Clone)]
pub struct Trace {
    clock: Clock,
    lines: Arc<Mutex<Vec<String>>>,
    broken: Arc<watch::Sender<Option<String>>>,
    is_loud: bool,
}

impl fmt::Debug for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Trace({} lines)", self.lines().len())
    }
}

impl Trace {
    /// No lines yet. A loud one prints each as it comes.
    pub fn new(clock: Clock, is_loud: bool) -> Trace {
        Trace { clock, lines: Arc::default(), broken: Arc::new(watch::Sender::new(None)), is_loud }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the run began.
    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Adds a line.
    pub fn say(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:>10.3} {what}", self.clock.monotonic().as_secs_f64());
        if self.is_loud {
            println!("{line}");
        }
        self.lines().push(line);
    }

    /// A promise was broken. Only the first one counts: what follows is often its consequence.
    pub fn broken(&self, promise: &str) {
        self.say(format_args!("BROKEN {promise}"));
        self.broken.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                *known = Some(promise.to_owned());
            }
            is_first
        });
    }

    /// The promise that was broken, if one was.
    pub fn verdict(&self) -> Option<String> {
        self.broken.borrow().clone()
    }

    /// Waits, but not longer than until a promise is broken.
    pub async fn wait(&self, duration: Duration) {
        let mut broken = self.broken.subscribe();
        // Either way the caller looks at the verdict.
        let _ = self.clock.timeout(duration, broken.wait_for(Option::is_some)).await;
    }

    /// All lines.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines())
    }
}
