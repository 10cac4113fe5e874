//! The settler: brings what the journal has into the database, on a thread of its own, so that the writer only appends,
//! waits for the disk and answers. While a store is open nobody else changes the database.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::core::Core;
use crate::embedded::database::{self, Meta};
use crate::embedded::writer::checkpoint::{CALM, Checkpoints};
use crate::embedded::writer::follower::{Follower, insert};
use crate::embedded::writer::sweep::Sweep;
use crate::embedded::writer::{Answer, NICE, stop};
use crate::row::Row;
use crate::{Revision, StoreError};

/// What is done to the database.
#[derive(Debug)]
pub(crate) enum Task {
    /// Bring over what waits, because there is enough of it.
    Follow,
    /// Bring over what waits, because somebody needs it there.
    Settle {
        /// Told when it is there.
        answer: Answer<()>,
    },
    /// Bring over what waits, and have all that was brought over made durable.
    MakeDurable {
        /// Told when it is durable.
        answer: Answer<()>,
    },
    /// Write rows for which the journal has no room.
    WriteThrough {
        /// Which ones.
        rows: Vec<Row>,
        /// Told when they are durable.
        answer: Answer<()>,
    },
    /// Forget history before a revision.
    Compact {
        /// Which one.
        revision: Revision,
        /// Told when it is forgotten, though its rows may still be on disk.
        answer: Answer<()>,
    },
}

/// The answer to a task, which is still to come.
pub(crate) type Asked = oneshot::Receiver<Result<(), StoreError>>;

/// The thread, as the writer knows it.
#[derive(Debug)]
pub(crate) struct Settler {
    core: Arc<Core>,
    path: PathBuf,
    signals: Arc<Signals>,
    thread: Option<(Sender<Task>, JoinHandle<()>)>,
}

/// What is told without a task.
#[derive(Debug, Default)]
struct Signals {
    /// The thread was told that there is enough to be brought over, and has not looked yet.
    woken: AtomicBool,
    /// The database did not take rows when it was their time.
    behind: AtomicBool,
}

impl Settler {
    /// Starts the thread.
    pub(crate) fn start(
        follower: Follower,
        checkpoints: Checkpoints,
        sweep: Sweep,
    ) -> std::io::Result<Settler> {
        let signals = Arc::new(Signals::default());
        let (core, path) = (follower.core.clone(), follower.path.clone());
        let work = Work { follower, checkpoints, sweep, signals: signals.clone() };
        let (tasks, waiting) = channel();
        let thread = std::thread::Builder::new().name("store-settler".to_owned());
        let handle = thread.spawn(move || work.run(&waiting))?;
        Ok(Settler { core, path, signals, thread: Some((tasks, handle)) })
    }

    /// Whether the database did not take rows when it was their time.
    pub(crate) fn is_behind(&self) -> bool {
        self.signals.behind.load(Ordering::Relaxed)
    }

    /// There is enough to be brought over.
    pub(crate) fn wake(&self) {
        if !self.signals.woken.swap(true, Ordering::AcqRel) {
            self.send(Task::Follow);
        }
    }

    /// Asks for something. The answer is to be waited for.
    pub(crate) fn ask(&self, task: impl FnOnce(Answer<()>) -> Task) -> Asked {
        let (answer, asked) = oneshot::channel();
        self.send(task(answer));
        asked
    }

    /// Waits for an answer.
    pub(crate) fn wait(&self, asked: Asked) -> Result<(), StoreError> {
        asked.blocking_recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Asks for something, and waits until it is done.
    pub(crate) fn carry_out(&self, task: impl FnOnce(Answer<()>) -> Task) -> Result<(), StoreError> {
        self.wait(self.ask(task))
    }

    /// Passes a task on. Who asked sees the end of the thread when the answer does not come.
    pub(crate) fn send(&self, task: Task) {
        if self.thread.as_ref().is_none_or(|(tasks, _)| tasks.send(task).is_err()) {
            self.ended();
        }
    }

    /// The thread only ends before the writer by a defect. Nothing gets into the database without it.
    fn ended(&self) -> StoreError {
        let detail = format!("the thread that writes {} has ended; this is a defect", self.path.display());
        stop(&self.core, StoreError::Unavailable { detail })
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        let Some((tasks, handle)) = self.thread.take() else { return };
        drop(tasks);
        if handle.join().is_err() {
            tracing::error!(path = %self.path.display(), "the thread that writes the database panicked");
        }
    }
}

/// What the thread works with.
struct Work {
    follower: Follower,
    checkpoints: Checkpoints,
    sweep: Sweep,
    signals: Arc<Signals>,
}

impl Work {
    fn run(mut self, tasks: &Receiver<Task>) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "bringing rows into the database may hold up those who write");
        }
        while let Some(task) = self.next(tasks) {
            self.carry_out(task);
            self.checkpoints.finish(&self.follower.connection);
            self.sweep.step(&self.follower);
        }
        // After a failure nothing is written any more; the next start reads the journal.
        if self.follower.core.check().is_err() {
            return;
        }
        match self.follower.write_through(database::end_epoch) {
            Ok(()) => self.checkpoints.end(&self.follower.connection),
            Err(error) => {
                tracing::warn!(%error, "the database does not have all yet; it will at the next start");
            }
        }
    }

    /// The next task; `None` when there will be none any more. Without one, forgotten history is removed, and what a burst
    /// has left to do is begun.
    fn next(&mut self, tasks: &Receiver<Task>) -> Option<Task> {
        loop {
            match tasks.try_recv() {
                Ok(task) => return Some(task),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if self.sweep.step(&self.follower) => {}
                Err(TryRecvError::Empty) if self.checkpoints.are_put_off() => {
                    match tasks.recv_timeout(CALM) {
                        Ok(task) => return Some(task),
                        Err(RecvTimeoutError::Disconnected) => return None,
                        // What could not be begun was told of.
                        Err(RecvTimeoutError::Timeout) => drop(self.checkpoints.begin()),
                    }
                }
                Err(TryRecvError::Empty) => return tasks.recv().ok(),
            }
        }
    }

    fn carry_out(&mut self, task: Task) {
        let sound = self.follower.core.check();
        // An answer that cannot be sent means that the caller has gone, which changes nothing.
        match task {
            Task::Follow => self.follow(sound),
            Task::Settle { answer } => drop(answer.send(sound.and_then(|()| self.settle()))),
            Task::MakeDurable { answer } => {
                let settled = sound.and_then(|()| self.settle());
                drop(answer.send(settled.and_then(|()| self.checkpoints.make_durable())));
            }
            Task::WriteThrough { rows, answer } => {
                let write = |()| self.follower.write_through(|connection| insert(connection, &rows));
                drop(answer.send(sound.and_then(write)));
            }
            Task::Compact { revision, answer } => {
                drop(answer.send(sound.and_then(|()| self.compact(revision))))
            }
        }
    }

    /// Rows are safe in the journal, so a failure is for the next writer to see.
    fn follow(&self, sound: Result<(), StoreError>) {
        // Before looking: who adds something afterwards tells of it anew.
        self.signals.woken.store(false, Ordering::Release);
        let was_behind = self.signals.behind.load(Ordering::Relaxed);
        if let Err(error) = sound.and_then(|()| self.settle())
            && !was_behind
        {
            tracing::warn!(%error, "the database does not follow the journal; trying again at each write");
        }
    }

    fn settle(&self) -> Result<(), StoreError> {
        let settled = self.follower.settle();
        self.signals.behind.store(settled.is_err(), Ordering::Relaxed);
        settled
    }

    fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let core = &self.follower.core;
        let (newest, compacted) = {
            let state = core.state();
            (state.newest, state.compacted)
        };
        if revision > compacted && revision <= newest {
            // First on disk: what was once refused as forgotten must not come back after a crash.
            self.follower
                .write_through(|connection| database::set_meta(connection, Meta::Compacted, revision))?;
        }
        core.begin_compaction(revision).map(drop)
    }
}
