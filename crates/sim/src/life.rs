//! The life of one process: its tasks run until it ends, which may be between any two of its operations.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use env::{Env, News, Tasks};

/// Where an operation stands when a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was not begun.
    Before,
    /// It was carried out, and its answer is never seen.
    After,
}

/// A process. Clones are the same one.
#[derive(Clone)]
pub struct Life {
    /// What the process may touch; its tasks are its own.
    pub env: Env,
    name: Arc<str>,
    doom: Arc<Mutex<Option<(u64, Moment)>>>,
    over: Arc<News>,
}

impl fmt::Debug for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Life({})", self.name)
    }
}

impl Life {
    /// A process begins. The name is a branch of randomness, too.
    pub fn begin(world: &Env, name: &str) -> Life {
        let env = Env { tasks: Tasks::new(), ..world.child(name) };
        Life { env, name: Arc::from(name), doom: Arc::default(), over: Arc::default() }
    }

    /// It will end at its so-manieth operation from now.
    pub fn doom(&self, operations: u64, moment: Moment) {
        *self.doom.lock().unwrap_or_else(PoisonError::into_inner) = Some((operations, moment));
    }

    /// It is doomed no more.
    pub fn spare(&self) {
        *self.doom.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// An operation is at this moment. The process may end here: then this never returns.
    pub async fn passes(&self, moment: Moment) {
        if self.is_doomed(moment) {
            self.end();
        }
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    fn is_doomed(&self, moment: Moment) -> bool {
        let mut doom = self.doom.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *doom {
            Some((left, when)) if *when == moment => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        }
    }

    /// Ends it.
    pub fn end(&self) {
        self.over.tell(1);
        self.env.tasks.cancel();
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.over.newest() > 0
    }

    /// Resolves when it has ended.
    pub async fn over(&self) {
        self.over.after(0).await;
    }
}
