//! The one writer: plans all transactions that wait, commits them together, tells the result. The database follows on a
//! thread of its own.

mod checkpoint;
mod durable;
mod follower;
mod settler;
mod sweep;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::core::{Core, current};
use crate::embedded::journal::Journal;
use crate::embedded::medium::Medium;
use crate::embedded::pending::Pending;
use crate::embedded::reader::Readers;
use crate::embedded::writer::checkpoint::Checkpoints;
use crate::embedded::writer::durable::{Durable, OtherFile};
use crate::embedded::writer::follower::Follower;
use crate::embedded::writer::settler::{Settler, Task};
use crate::embedded::writer::sweep::Sweep;
use crate::history::Log;
use crate::index::Slot;
use crate::plan::{Planned, Planner};
use crate::row::Row;
use crate::{KeyValue, Outcome, Revision, StoreError, Txn, Write};

/// How many transactions share one fsync at most: what a disk takes in a few milliseconds.
const GROUP: usize = 512;

/// How many bytes of values share one fsync at most, but for a single larger transaction.
const GROUP_BYTES: usize = 4 << 20;

/// How long the writer stays awake for the next job: about what a caller takes to be woken and to ask again.
const AWAKE: Duration = Duration::from_micros(100);

/// From how many callers on it is worth staying awake for the last of them: it costs each a few microseconds of the
/// processor then, and to be woken takes longer than they do.
const MANY: usize = 8;

/// How much the other threads give way: whoever waits for an answer goes first. The database has until the other file of
/// the journal is full, too; then the writer waits for it.
pub(crate) const NICE: i32 = 10;

/// Where an answer goes. Who does not wait for it any more is no concern of the writer's.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Carry a transaction out.
    Commit {
        /// Which one.
        txn: Txn,
        /// Where the outcome goes.
        answer: Answer<Outcome>,
    },
    /// Do something else, after the transactions of the same group.
    Order(Order),
}

/// What the writer does beside transactions.
#[derive(Debug)]
pub(crate) enum Order {
    /// Forget history before a revision.
    Compact {
        /// Which one.
        revision: Revision,
        /// Told when it is forgotten, though its rows may still be on disk.
        answer: Answer<()>,
    },
    /// Bring everything into the database.
    Settle {
        /// Told when it is there.
        answer: Answer<()>,
    },
}

/// What the writer works with.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) journal: Journal,
    pub(crate) pending: Arc<Pending>,
    pub(crate) readers: Arc<Readers>,
    /// See [`crate::Options::log_bytes`].
    pub(crate) log_bytes: u64,
}

/// The writer, before and while it runs.
#[derive(Debug)]
pub(crate) struct Writer {
    core: Arc<Core>,
    durable: Durable,
    readers: Arc<Readers>,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>, files: Files, swept: Revision) -> std::io::Result<Writer> {
        let Files { connection, path, medium, journal, pending, readers, log_bytes } = files;
        let checkpoints = Checkpoints::start(core.clone(), path.clone(), medium, log_bytes)?;
        let follower =
            Follower { core: core.clone(), connection, path: path.clone(), pending: pending.clone() };
        let settler = Settler::start(follower, checkpoints, Sweep { swept })?;
        let durable = Durable { core: core.clone(), path, journal, pending, settler, other: OtherFile::Free };
        Ok(Writer { core, durable, readers })
    }

    /// Works until nobody can ask any more.
    pub(crate) fn start(self, jobs: mpsc::Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || self.run(jobs))
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut pace = Pace::default();
        while let Some(first) = self.next(&mut jobs) {
            let group = self.gather(first, &mut jobs, &pace);
            pace.expected = group.answers.len();
            let start = self.core.monotonic();
            if !group.answers.is_empty() {
                self.commit(group.rows, group.answers);
            }
            pace.patience = (self.core.monotonic() - start) / 2;
            for order in group.orders {
                self.carry_out(order);
            }
            self.core.state_mut().trim();
        }
    }

    /// The next job; `None` when nobody can ask any more. Who was answered often asks again at once: the writer waits a
    /// moment without sleeping, because to be woken takes as long as half an fsync.
    fn next(&self, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let until = self.core.monotonic() + AWAKE;
        loop {
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if self.core.monotonic() < until => std::thread::yield_now(),
                Err(TryRecvError::Empty) => return jobs.blocking_recv(),
            }
        }
    }

    fn carry_out(&self, order: Order) {
        match order {
            Order::Compact { revision, answer } => {
                // Waited for, so that no row is removed that an answer is made of.
                let compacted = self.durable.settler.carry_out(|answer| Task::Compact { revision, answer });
                // An error means that the caller has gone, which changes nothing.
                drop(answer.send(compacted));
            }
            Order::Settle { answer } => self.durable.settler.send(Task::Settle { answer }),
        }
    }

    /// A group of `first` and what waits in the queue. Those who were answered last often ask again at once: they are
    /// waited for a moment, or one would get an fsync for itself and the others would wait for it. Whoever needs the
    /// processor to ask gets it meanwhile: a few, for whom staying awake would cost too much, while the writer sleeps.
    fn gather(&self, first: Job, jobs: &mut mpsc::Receiver<Job>, pace: &Pace) -> Group {
        let mut group = Group::new(self.core.state().newest, self.core.now());
        group.add(first, &self.core);
        let until = self.core.monotonic() + pace.patience;
        while group.answers.len() < GROUP && group.bytes < GROUP_BYTES {
            match jobs.try_recv() {
                Ok(job) => group.add(job, &self.core),
                Err(TryRecvError::Empty)
                    if group.answers.len() < pace.expected && self.core.monotonic() < until =>
                {
                    if pace.expected >= MANY {
                        std::thread::yield_now();
                    } else {
                        std::thread::sleep(pace.patience / 2);
                    }
                }
                Err(_) => break,
            }
        }
        group
    }

    fn commit(&mut self, rows: Vec<Row>, answers: Vec<Planning>) {
        let written = self.core.check().and_then(|()| self.durable.write(&rows));
        let left = if written.is_ok() { self.publish(rows, answers) } else { answers };
        for (planned, answer) in left {
            let outcome = written.clone().and_then(|()| match planned? {
                Planned::Conflict { guard, current: found } => {
                    Ok(Outcome::Conflict { guard, current: self.current(found)? })
                }
                Planned::Unchanged(revision) => Ok(Outcome::Committed(revision)),
                Planned::Rows(_) => unreachable!("rows were taken out when they were planned"),
            });
            // An error means that the caller has gone; the transaction has happened all the same.
            let _ = answer.send(outcome);
        }
    }

    /// Shows what is written to readers, and answers those who wrote. They are told first, because to be woken takes
    /// longer than this: who reads meanwhile waits for the lock. Gives back those who have something else to be told.
    fn publish(&self, rows: Vec<Row>, answers: Vec<Planning>) -> Vec<Planning> {
        let mut left = Vec::new();
        let mut state = self.core.state_mut();
        for (planned, answer) in answers {
            match planned {
                // Rows that were planned are written by now; their revision is left.
                Ok(Planned::Unchanged(revision)) => drop(answer.send(Ok(Outcome::Committed(revision)))),
                other => left.push((other, answer)),
            }
        }
        state.publish(rows);
        let newest = state.newest;
        drop(state);
        self.core.announce(newest);
        left
    }

    /// How the key of a guard stands. Nobody else removes rows, so its row is there.
    fn current(&self, found: Option<(Bytes, Slot)>) -> Result<Option<KeyValue>, StoreError> {
        current(found, |id| self.readers.fetch(&[id]))
    }
}

/// Ends the store, and answers what is told to those whose writes may or may not have happened. After a failed fsync the
/// kernel may have dropped what it could not write, and a second fsync would say nothing of it. Only reading everything
/// again, at a new start, shows what is there.
fn stop(core: &Core, error: StoreError) -> StoreError {
    tracing::error!(%error, "the store stops; start again to see what is on the disk");
    let unknown = StoreError::Unknown { detail: error.to_string() };
    core.fail(error);
    unknown
}

/// What a transaction comes to, and who is to be told.
type Planning = (Result<Planned, StoreError>, Answer<Outcome>);

/// What is done at once. Each transaction is planned as it comes, while others are on their way.
#[derive(Debug)]
struct Group {
    planner: Planner,
    rows: Vec<Row>,
    answers: Vec<Planning>,
    orders: Vec<Order>,
    bytes: usize,
}

/// What the group before tells of the next one.
#[derive(Debug, Default)]
struct Pace {
    /// How many transactions it had.
    expected: usize,
    /// How long waiting for as many is worth it: half of what committing took.
    patience: Duration,
}

impl Group {
    fn new(newest: Revision, now: u32) -> Group {
        let planner = Planner::new(newest, now);
        Group { planner, rows: Vec::new(), answers: Vec::new(), orders: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, job: Job, core: &Core) {
        match job {
            Job::Commit { txn, answer } => {
                self.bytes += txn.all_writes().map(size).sum::<usize>();
                let planned = self.plan(core, txn);
                self.answers.push((planned, answer));
            }
            Job::Order(order) => self.orders.push(order),
        }
    }

    /// Nobody but the writer changes the index, so it is the same for the whole group.
    fn plan(&mut self, core: &Core, txn: Txn) -> Result<Planned, StoreError> {
        self.planner.plan(&core.state().index, txn).map(|planned| match planned {
            Planned::Rows(more) => {
                let revision = more[more.len() - 1].id.revision();
                self.rows.extend(more);
                Planned::Unchanged(revision)
            }
            other => other,
        })
    }
}

fn size(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    }
}
