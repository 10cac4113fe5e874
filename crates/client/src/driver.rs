//! Executes plans. It decides nothing: controllers look and plan, the driver writes, retries, and keeps each key
//! parked until the caches have seen what was written for it.

mod decisions;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use env::{Env, WallTime};
use futures_util::StreamExt;
use machinery::{Object, Status};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use decisions::{Decision, Decisions};

use crate::cache::Facts;
use crate::plan::{Note, Op, Plan, Step};
use crate::transport::{BoxFuture, Write};
use crate::{Cache, Client, Key, Queue, Recorder, Resource};

/// How many keys of one controller are worked on at the same time. Writes wait for the disk, so more keys than cores
/// make one flush serve many.
const CONCURRENT_KEYS: usize = 64;
/// How many writes of one step are under way at the same time.
const CONCURRENT_WRITES: usize = 64;
/// How long a key waits for caches to see its writes: twice as long as a watch is silent. Then they list anew. Whoever
/// went on without would make again what it just made, as nothing that is only made anew is caught by preconditions.
const PARKED_AT_MOST: Duration = Duration::from_secs(120);

/// A loop that makes some declared state real.
pub trait Controller: Send + Sync + 'static {
    /// What it works on, usually the name of an object.
    type Key: Ord + Clone + fmt::Display + Send + Sync + 'static;
    /// What a plan is made of.
    type View: Send;

    /// As upstream calls it: `replicaset-controller`.
    fn name(&self) -> &'static str;

    /// Gathers what there is to know about a key, from caches or, where it must be certain, from the server. `None`
    /// if there is nothing to do.
    fn look(&self, key: &Self::Key) -> impl Future<Output = Result<Option<Self::View>, Status>> + Send;

    /// Decides. It must not depend on anything but its arguments.
    fn plan(&self, view: Self::View, now: WallTime) -> Plan;
}

/// A cache, as far as parking needs to know it.
pub trait Sees: Send + Sync {
    /// What it holds.
    fn resource(&self) -> Resource;
    /// Resolves once it has seen everything up to `revision`.
    fn seen(&self, revision: u64) -> BoxFuture<'_, ()>;
    /// Resolves once the object is gone or going.
    fn gone<'a>(&'a self, key: &'a Key, uid: &'a str) -> BoxFuture<'a, ()>;
    /// Lists anew; resolves once that is in.
    fn list_anew(&self) -> BoxFuture<'_, ()>;
    /// Resolves once its first list is in.
    fn ready(&self) -> BoxFuture<'_, ()>;
}

impl<F: Facts> Sees for Cache<F> {
    fn resource(&self) -> Resource {
        Cache::resource(self)
    }

    fn seen(&self, revision: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_for_revision(revision))
    }

    fn gone<'a>(&'a self, key: &'a Key, uid: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(self.wait_gone(key, uid))
    }

    fn list_anew(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.list_anew())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.synced())
    }
}

/// A write that a cache has yet to see.
enum Own {
    Written { resource: Resource, revision: u64 },
    Deleted { resource: Resource, key: Key, uid: String },
}

/// Runs a controller.
pub struct Driver<C: Controller> {
    controller: C,
    queue: Queue<C::Key>,
    client: Client,
    recorder: Recorder,
    env: Env,
    caches: Vec<Arc<dyn Sees>>,
    concurrency: usize,
    decisions: Decisions,
}

impl<C: Controller> Driver<C> {
    /// A driver that takes keys from `queue`, which somebody fills from caches.
    pub fn new(
        controller: C,
        queue: Queue<C::Key>,
        client: Client,
        recorder: Recorder,
        env: &Env,
    ) -> Driver<C> {
        let env = env.child(controller.name());
        Driver {
            controller,
            queue,
            client,
            recorder,
            env,
            caches: Vec::new(),
            concurrency: CONCURRENT_KEYS,
            decisions: Decisions::default(),
        }
    }

    /// The controller looks at this cache: work begins when it is filled, and keys wait until it has seen their writes.
    pub fn sees<F: Facts>(mut self, cache: &Cache<F>) -> Driver<C> {
        self.caches.push(Arc::new(cache.clone()));
        self
    }

    /// At most so many keys at the same time.
    pub fn concurrency(mut self, keys: usize) -> Driver<C> {
        self.concurrency = keys;
        self
    }

    /// Adds the keys of `list` to the queue every `period`, for what changes without an event.
    pub fn resync(self, period: Duration, list: impl Fn() -> Vec<C::Key> + Send + 'static) -> Driver<C> {
        let (queue, clock) = (self.queue.clone(), self.env.clock.clone());
        self.env.tasks.spawn("resync", async move {
            loop {
                clock.sleep(period).await;
                list().into_iter().for_each(|key| queue.add(key));
            }
        });
        self
    }

    /// Starts to work, and answers with where the last decisions can be looked up.
    pub fn start(self) -> Decisions {
        let decisions = self.decisions.clone();
        let tasks = self.env.tasks.clone();
        let name = self.controller.name();
        let driver = Arc::new(self);
        tasks.spawn(name, async move {
            for cache in &driver.caches {
                cache.ready().await;
            }
            let permits = Arc::new(Semaphore::new(driver.concurrency));
            loop {
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                let key = driver.queue.next().await;
                driver.env.tasks.spawn(name, driver.clone().work(key, permit));
            }
        });
        decisions
    }

    /// Works on one key, from looking to being parked.
    async fn work(self: Arc<Self>, key: C::Key, permit: OwnedSemaphorePermit) {
        let working = Working { queue: &self.queue, key: &key };
        let mut own = Vec::new();
        let outcome = self.attempt(&key, &mut own).await;
        drop(permit);
        self.park(own).await;
        match outcome {
            Ok(requeue_after) => {
                self.queue.forget(&key);
                if let Some(delay) = requeue_after {
                    self.queue.add_after(key.clone(), delay);
                }
            }
            Err(status) => self.retry(&key, &status),
        }
        drop(working);
    }

    fn retry(&self, key: &C::Key, status: &Status) {
        let asked = status.details.as_ref().map_or(0, |details| details.retry_after_secs);
        let delay = self.queue.retry(key.clone());
        let controller = self.controller.name();
        // Somebody else was faster, or the server is busy: ordinary, and settled by the next attempt.
        if matches!(status.code, 409 | 429) {
            tracing::debug!(controller, %key, ?delay, asked, "will be tried again: {status}");
        } else {
            tracing::warn!(controller, %key, ?delay, asked, "failed, will be tried again: {status}");
        }
    }

    async fn attempt(&self, key: &C::Key, own: &mut Vec<Own>) -> Result<Option<Duration>, Status> {
        let Some(view) = self.controller.look(key).await? else {
            self.decisions.forget(&key.to_string());
            return Ok(None);
        };
        let now = self.env.clock.now();
        let mut plan = self.controller.plan(view, now);
        let (after_failure, status) = (plan.after_failure.take(), plan.status.take());
        self.decisions.keep(key.to_string(), now, &plan);
        for note in plan.notes.drain(..) {
            self.recorder.note(note);
        }
        let mut failed = None;
        for step in plan.steps {
            if let Err(status) = self.execute(step, own).await {
                failed = Some(status);
                break;
            }
        }
        let last = match &failed {
            None => status,
            Some(failure) => after_failure.and_then(|decide| decide(failure)),
        };
        if let Some(op) = last {
            self.write(op, own).await?;
        }
        match (failed, plan.retry) {
            (Some(failure), _) => Err(failure),
            (None, Some(why)) => Err(Status::internal(why)),
            (None, None) => Ok(plan.requeue_after),
        }
    }

    async fn execute(&self, step: Step, own: &mut Vec<Own>) -> Result<(), Status> {
        match step {
            Step::Do(op) => self.write(*op, own).await,
            Step::Together(ops) => {
                let writes = futures_util::stream::iter(ops).map(|op| async {
                    let mut own = Vec::new();
                    let result = self.write(op, &mut own).await;
                    (result, own)
                });
                let mut writes = std::pin::pin!(writes.buffer_unordered(CONCURRENT_WRITES));
                let mut first_failure = Ok(());
                while let Some((result, mut written)) = writes.next().await {
                    own.append(&mut written);
                    first_failure = first_failure.and(result);
                }
                first_failure
            }
            Step::Confirm { resource, key, uid } => {
                let object = self.client.object(resource, &key).await?;
                let header = object.header();
                if header.uid == uid && !header.deleting {
                    return Ok(());
                }
                let subject = machinery::status::GroupName { group: resource.group, name: resource.plural };
                Err(Status::conflict(
                    subject,
                    &key.name,
                    "the object was deleted or replaced in the meantime",
                ))
            }
        }
    }

    async fn write(&self, op: Op, own: &mut Vec<Own>) -> Result<(), Status> {
        let result = self.client.write(op.resource, op.call.clone(), op.write.clone()).await;
        match result {
            Ok(object) => {
                own.extend(Own::of(&op, &object));
                if let Some(note) = op.success {
                    self.recorder.note(filled(note, "{name}", &object.header().name));
                }
                Ok(())
            }
            Err(status) if op.tolerated.contains(&status.code) || is_namespace_ending(&op, &status) => Ok(()),
            Err(status) => {
                if let Some(note) = op.failure {
                    self.recorder.note(filled(note, "{error}", &status.message));
                }
                Err(status)
            }
        }
    }

    async fn park(&self, own: Vec<Own>) {
        if own.is_empty() {
            return;
        }
        let all = async {
            for own in &own {
                own.wait(&self.caches).await;
            }
        };
        if self.env.clock.timeout(PARKED_AT_MOST, all).await.is_some() {
            return;
        }
        tracing::debug!(
            controller = self.controller.name(),
            "a cache is slow to show what was written; it lists anew"
        );
        let written: BTreeSet<Resource> = own.iter().map(Own::resource).collect();
        for cache in self.caches.iter().filter(|cache| written.contains(&cache.resource())) {
            cache.list_anew().await;
        }
    }
}

impl Own {
    fn of(op: &Op, answer: &Object) -> Option<Own> {
        let header = answer.header();
        match &op.write {
            Write::Delete(how) => Some(Own::Deleted {
                resource: op.resource,
                key: Key::new(&op.call.namespace, &op.call.name),
                uid: how.uid.clone(),
            }),
            _ if header.revision == 0 || header.kind != op.resource.kind => None,
            _ => Some(Own::Written { resource: op.resource, revision: header.revision }),
        }
    }

    fn resource(&self) -> Resource {
        match self {
            Own::Written { resource, .. } | Own::Deleted { resource, .. } => *resource,
        }
    }

    async fn wait(&self, caches: &[Arc<dyn Sees>]) {
        match self {
            Own::Written { resource, revision } => {
                for cache in caches.iter().filter(|cache| cache.resource() == *resource) {
                    cache.seen(*revision).await;
                }
            }
            Own::Deleted { resource, key, uid } => {
                for cache in caches.iter().filter(|cache| cache.resource() == *resource) {
                    cache.gone(key, uid).await;
                }
            }
        }
    }
}

/// Nothing can be made in a namespace that is being emptied, and nothing needs to be.
fn is_namespace_ending(op: &Op, status: &Status) -> bool {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    matches!(op.write, Write::Create(_)) && causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn filled(mut note: Note, placeholder: &str, text: &str) -> Note {
    note.message = note.message.replace(placeholder, text);
    note
}

/// Hands a key back however the work on it ends.
struct Working<'a, K: Ord + Clone> {
    queue: &'a Queue<K>,
    key: &'a K,
}

impl<K: Ord + Clone> Drop for Working<'_, K> {
    fn drop(&mut self) {
        self.queue.done(self.key);
    }
}
