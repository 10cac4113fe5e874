//! Background work: started in one place, named, and stopped together.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Where tasks are started. Clones share one fate: [`Tasks::stop`] ends them all.
#[derive(Clone, Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stopping: watch::Sender<bool>,
    running: AtomicUsize,
    changed: watch::Sender<()>,
}

/// A started task. Dropping the handle lets the task run on.
#[derive(Debug)]
pub struct TaskHandle<T> {
    join: tokio::task::JoinHandle<Option<T>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks::new()
    }
}

impl Tasks {
    /// A group without tasks.
    pub fn new() -> Tasks {
        let shared = Shared {
            stopping: watch::Sender::new(false),
            running: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        };
        Tasks { shared: Arc::new(shared) }
    }

    /// Starts `work` under a name that appears in logs. It is dropped at its next wait when the group stops; work
    /// that must finish something first watches [`Tasks::stopping`] and is started with [`Tasks::spawn_until_done`].
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> TaskHandle<T> {
        let stopping = self.stopping();
        self.start(name, async move {
            tokio::select! {
                biased;
                () = stopping => None,
                result = work => Some(result),
            }
        })
    }

    /// Starts `work` that ends by itself soon after the group stops.
    pub fn spawn_until_done<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> TaskHandle<T> {
        self.start(name, async move { Some(work.await) })
    }

    /// Starts a part of a task: it is not counted, so whoever starts it must end it, or wait for it, before its own end.
    #[expect(clippy::disallowed_methods, reason = "the one door to the runtime's tasks")]
    pub fn spawn_part<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> TaskHandle<T> {
        TaskHandle { join: tokio::spawn(async move { Some(work.await) }) }
    }

    /// Runs blocking work on a thread of its own and waits for it. `None` if it panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Resolves when the group stops.
    pub fn stopping(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let mut stopping = self.shared.stopping.subscribe();
        Box::pin(async move {
            // The sender lives in `shared`; when it is gone the group is gone too, which is a stop.
            let _ = stopping.wait_for(|stop| *stop).await;
        })
    }

    /// Whether the group was asked to stop.
    pub fn is_stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Asks every task to stop, and does not wait for it.
    pub fn cancel(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// Asks every task to stop and waits until all have, at most `limit`. Returns how many were still running.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.cancel();
        let mut changed = self.shared.changed.subscribe();
        let all_done = async {
            while self.shared.running.load(Ordering::SeqCst) > 0 {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(limit, all_done).await;
        self.shared.running.load(Ordering::SeqCst)
    }

    #[expect(clippy::disallowed_methods, reason = "the one door to the runtime's tasks")]
    fn start<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Option<T>> + Send + 'static,
    ) -> TaskHandle<T> {
        let running = Running::enter(self.shared.clone(), name);
        let join = tokio::spawn(async move {
            let mut running = running;
            let result = work.await;
            running.finished = true;
            result
        });
        TaskHandle { join }
    }
}

/// Counts a task for as long as it exists, and says so when it ended by a panic.
struct Running {
    shared: Arc<Shared>,
    name: &'static str,
    finished: bool,
}

impl Running {
    fn enter(shared: Arc<Shared>, name: &'static str) -> Running {
        shared.running.fetch_add(1, Ordering::SeqCst);
        Running { shared, name, finished: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished && std::thread::panicking() {
            tracing::error!(
                task = self.name,
                "a background task panicked; this is a defect, please report it"
            );
        }
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
        self.shared.changed.send_replace(());
    }
}

impl<T> TaskHandle<T> {
    /// Waits for the task. `None` if it was stopped or panicked.
    pub async fn join(self) -> Option<T> {
        self.join.await.ok().flatten()
    }

    /// Ends the task at its next wait.
    pub fn abort(&self) {
        self.join.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_waiting_tasks_and_lets_others_finish() {
        let tasks = Tasks::new();
        let waiting = tasks.spawn("waits for ever", std::future::pending::<()>());
        let stopping = tasks.stopping();
        let finishing = tasks.spawn_until_done("finishes", async move {
            stopping.await;
            7
        });
        assert!(!tasks.is_stopping());
        assert_eq!(tasks.stop(Duration::from_secs(1)).await, 0);
        assert_eq!(waiting.join().await, None);
        assert_eq!(finishing.join().await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_end_is_counted() {
        let tasks = Tasks::new();
        let stuck = tasks.spawn_until_done("stuck", std::future::pending::<()>());
        assert_eq!(tasks.stop(Duration::from_secs(1)).await, 1);
        stuck.abort();
    }
}
