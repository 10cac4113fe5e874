//! One pod's worker: looks, plans, starts what the plan says, and waits for whatever happens next.
//!
//! It decides nothing; [`crate::plan`] does. What takes time runs beside it as operations, so that a pod that is being
//! pulled for can be deleted, and one that is being stopped can be told to hurry.

mod mounts;
mod ops;
mod results;
mod start;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::ContainerState;
use env::WallTime;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture};
use futures_util::stream::FuturesUnordered;
use machinery::Object;

use crate::bell::Bell;
use crate::eviction::Eviction;
use crate::kit::{Kit, about_member};
use crate::launch;
use crate::memory::{BackOff, Busy, Cause, End, Memory, Volumes, Waiting};
use crate::observed::Observed;
use crate::plan::{Action, Kill, PodPlan, View, plan_pod};
use crate::pod::PodView;
use crate::probes::Prober;
use crate::resize::Allocation;
use crate::status::{self, Scene};
use crate::termination;
use crate::volumes::{TokenStore, content};
use ops::{Done, Outcome};

/// The first pause before volumes are tried again, and the longest.
const FIRST_MOUNT_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_MOUNT_PAUSE: Duration = Duration::from_secs(122);

/// What the API says of the pod: the newest that was seen, and whether it is gone.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// The newest object.
    pub object: Object,
    /// The API's picture of it, if it is a static pod's.
    pub picture: Option<Object>,
    /// The API no longer has it.
    pub gone: bool,
    /// It may not run here: reason and message.
    pub refused: Option<(String, String)>,
    /// It must go.
    pub evicted: Option<Eviction>,
}

/// Where a worker is told what the API says.
pub(crate) type Inbox = Arc<Mutex<Desired>>;

/// A start that is under way.
#[derive(Debug)]
struct Start {
    abort: AbortHandle,
    /// Whether it can be given up without leaving something half done.
    loose: Arc<AtomicBool>,
}

/// The worker of one pod.
pub(crate) struct Worker {
    kit: Arc<Kit>,
    bell: Arc<Bell>,
    inbox: Inbox,
    uid: String,
    memory: Memory,
    prober: Prober,
    tokens: Option<TokenStore>,
    messages: BTreeMap<String, String>,
    starts: BTreeMap<String, Start>,
    ops: FuturesUnordered<BoxFuture<'static, Outcome>>,
    finished: bool,
}

impl Worker {
    /// A worker for the pod in the inbox.
    pub fn new(kit: Arc<Kit>, inbox: Inbox, uid: &str) -> Worker {
        let bell = kit.bells.of(uid);
        Worker {
            prober: Prober::new(kit.clone(), bell.clone(), uid),
            kit,
            bell,
            inbox,
            uid: uid.to_owned(),
            memory: Memory::default(),
            tokens: Some(TokenStore::default()),
            messages: BTreeMap::new(),
            starts: BTreeMap::new(),
            ops: FuturesUnordered::new(),
            finished: false,
        }
    }

    /// Works until nothing of the pod is left.
    pub async fn run(mut self) {
        let first = self.desired();
        match PodView::new(&first.object) {
            Ok(pod) => {
                self.prober.adopt(&pod);
                self.memory.adopt_pauses(&pod);
            }
            Err(error) => tracing::error!(uid = %self.uid, "a pod cannot be read: {error}"),
        }
        while !self.finished {
            let requeue = self.step();
            if !self.finished {
                self.wait(requeue).await;
            }
        }
        self.kit.ledger.remove(&self.uid);
        self.kit.sources.set(&self.uid, "", &Default::default());
        self.kit.publisher.forget(&self.uid);
        if let Some(picture) = self.desired().picture {
            self.kit.publisher.forget(&picture.header().uid);
        }
        self.kit.bells.remove(&self.uid);
    }

    async fn wait(&mut self, requeue: Option<WallTime>) {
        let clock = self.kit.env.clock.clone();
        let until = async {
            match requeue {
                Some(at) => clock.sleep(at.since(clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(outcome) = self.ops.next(), if !self.ops.is_empty() => {
                if outcome.changed_runtime {
                    // What was just done must be seen before anything else is planned.
                    self.kit.observer.refresh().await;
                }
                self.apply(outcome.done);
            }
            () = self.bell.rung() => {}
            () = until => {}
        }
    }

    fn desired(&self) -> Desired {
        let mut desired = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shown = desired.picture.as_mut().unwrap_or(&mut desired.object);
        if let Some(newer) = self.kit.publisher.newer(shown) {
            *shown = newer;
        }
        desired
    }

    /// Looks, plans, and starts what the plan says. Answers when to look again although nothing changed.
    fn step(&mut self) -> Option<WallTime> {
        let desired = self.desired();
        let pod = match PodView::new(&desired.object) {
            Ok(pod) => pod,
            Err(error) => {
                tracing::error!(uid = %self.uid, "a pod cannot be read: {error}");
                self.finished = desired.gone;
                return None;
            }
        };
        let pod = match &desired.picture {
            Some(picture) => pod.with_status_of(picture),
            None => pod,
        };
        let now = self.kit.env.clock.now();
        self.memory.began.get_or_insert(now);
        let pod = self.allocate(pod);
        self.note_end(&pod, &desired, now);
        self.memory.volumes_stale |= self.bell.take_content_changed();
        let told = content::told(&pod);
        if self.memory.told != told {
            self.memory.volumes_stale |= self.memory.told.is_some();
            self.memory.told = told;
        }
        if self.memory.volumes_stale {
            // What was missing may be there now.
            self.memory.retries.clear();
        }
        self.memory.probes = self.prober.snapshot();
        let observed = self.kit.observer.pod(&self.uid);
        self.collect_messages(&pod, &observed);
        self.give_up_starts();
        let plan = plan_pod(&View { pod: &pod, observed: &observed, memory: &self.memory, now });
        tracing::trace!(pod = %pod.long_name(), reasons = ?plan.reasons, "planned");
        self.act(&pod, &observed, &plan, now);
        self.prober.sync(&pod, &observed, &self.memory);
        self.publish(&pod, desired.picture.as_ref(), &observed, now);
        // An end that was just decided is acted on at once.
        if plan.actions.iter().any(|action| matches!(action, Action::End(_))) {
            Some(now)
        } else {
            plan.requeue
        }
    }

    /// The pod with what is allocated to it, which follows what it asks for where there is room.
    fn allocate(&mut self, pod: PodView) -> PodView {
        if self.memory.end.is_some() || self.memory.refused.is_some() {
            self.kit.ledger.remove(&self.uid);
            return pod;
        }
        let wanted = Allocation::wanted(&pod);
        let pod_dir = self.kit.config.pod_dir(&self.uid);
        let known = self.memory.allocation.take().or_else(|| Allocation::load(&pod_dir));
        let (pod, allocation) = match known {
            None => {
                if wanted.asks_for_something() {
                    self.remember(&wanted);
                }
                (pod, wanted)
            }
            Some(known) if known == wanted => {
                self.memory.resize_pending = None;
                (pod, known)
            }
            Some(known) => match self.kit.ledger.check(&pod, &self.kit.machine.allocatable) {
                Ok(()) => {
                    self.memory.resize_pending = None;
                    self.remember(&wanted);
                    (pod, wanted)
                }
                Err(pending) => {
                    self.memory.resize_pending = Some(pending);
                    (pod.with_resources(&known), known)
                }
            },
        };
        self.memory.allocation = Some(allocation);
        self.kit.ledger.set(&pod);
        pod
    }

    fn remember(&self, allocation: &Allocation) {
        if let Err(error) = allocation.save(&self.kit.config.pod_dir(&self.uid)) {
            tracing::warn!(uid = %self.uid, "what is allocated cannot be remembered: {error}");
        }
    }

    /// Takes in that the pod was deleted, is gone, or may not run here.
    fn note_end(&mut self, pod: &PodView, desired: &Desired, now: WallTime) {
        if self.memory.refused.is_none()
            && let Some((reason, message)) = &desired.refused
        {
            self.memory.refused = Some((reason.clone(), message.clone()));
            let cause = Cause::Failed { reason: reason.clone(), message: message.clone() };
            self.memory.end = Some(End { cause, since: now, grace_secs: 1 });
        }
        if self.memory.end.is_none()
            && let Some(eviction) = &desired.evicted
        {
            self.memory.disrupted = eviction.disrupted;
            let cause =
                Cause::Failed { reason: eviction.reason.to_owned(), message: eviction.message.clone() };
            self.memory.end = Some(End { cause, since: now, grace_secs: eviction.grace_secs });
        }
        let cause = match (desired.gone, desired.object.header().deleting) {
            (true, _) => Cause::Removed,
            (false, true) => Cause::Deleted,
            (false, false) => return,
        };
        let asked = pod.pod().metadata.deletion_grace_period_seconds;
        let asked = asked.and_then(|secs| u32::try_from(secs).ok()).unwrap_or(pod.grace_secs());
        // Everybody gets the time to notice.
        let hurry = cause == Cause::Removed && !pod.is_static();
        let grace_secs = if hurry { asked.min(1) } else { asked }.max(1);
        let wanted = End { cause, since: now, grace_secs };
        match &mut self.memory.end {
            Some(end) if end.cause == wanted.cause && end.grace_secs <= wanted.grace_secs => {}
            Some(end) => {
                // Time only ever gets shorter.
                if wanted.deadline() < end.deadline() || !end.leaves_nothing() {
                    end.since = wanted.since;
                    end.grace_secs = wanted.grace_secs;
                }
                end.cause = wanted.cause;
            }
            none => *none = Some(wanted),
        }
    }

    /// Of a pod that is to end nothing is pulled any more, and no first hook is waited for.
    fn give_up_starts(&mut self) {
        if self.memory.end.is_none() {
            return;
        }
        for start in self.starts.values().filter(|start| start.loose.load(Ordering::SeqCst)) {
            start.abort.abort();
        }
    }

    /// Reads the last words of containers that ended since the last look.
    fn collect_messages(&mut self, pod: &PodView, observed: &Observed) {
        self.messages.retain(|id, _| observed.container(id).is_some());
        let mut left =
            termination::MOST_PER_POD.saturating_sub(self.messages.values().map(String::len).sum());
        for container in observed.containers() {
            if container.state != ContainerState::Exited || self.messages.contains_key(&container.id) {
                continue;
            }
            let pod_dir = self.kit.config.pod_dir(&self.uid);
            let file = launch::message_file(&pod_dir, &container.name, container.attempt);
            let mut message = termination::from_file(&file);
            let from_log = pod.member(&container.name).is_some_and(|member| {
                member.spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError")
            });
            if message.is_empty() && from_log && container.exit_code != 0 {
                message = termination::from_log(&container.log_path);
            }
            let message = termination::cut(&message, left).to_owned();
            left = left.saturating_sub(message.len());
            self.messages.insert(container.id.clone(), message);
        }
    }

    fn act(&mut self, pod: &PodView, observed: &Arc<Observed>, plan: &PodPlan, now: WallTime) {
        for action in &plan.actions {
            match action {
                Action::Mount => {
                    self.memory.pod_busy |= !matches!(self.memory.volumes, Volumes::Mounted { .. });
                    self.memory.volumes_stale = false;
                    if let Some(tokens) = self.tokens.take() {
                        let work = ops::mount(self.kit.clone(), pod.clone(), observed.clone(), tokens);
                        self.ops.push(Box::pin(work));
                    }
                }
                Action::StartSandbox { attempt } => {
                    self.memory.pod_busy = true;
                    self.ops.push(Box::pin(ops::start_sandbox(self.kit.clone(), pod.clone(), *attempt)));
                }
                Action::StopSandbox { id } => {
                    self.memory.pod_busy = true;
                    self.ops.push(Box::pin(ops::stop_sandbox(self.kit.clone(), id.clone())));
                }
                Action::ResizePod { id, resources } => {
                    self.memory.pod_busy = true;
                    self.memory.pod_resized = Some(resources.clone());
                    let work = ops::resize_pod(self.kit.clone(), pod.clone(), id.clone(), resources.clone());
                    self.ops.push(Box::pin(work));
                }
                Action::RemoveSandbox { id } => {
                    self.memory.sealed |= self.memory.end.is_some();
                    self.memory.pod_busy = true;
                    self.ops.push(Box::pin(ops::remove_sandbox(self.kit.clone(), id.clone())));
                }
                Action::Start { name, attempt } => self.start(pod, observed, (name, *attempt), now),
                Action::Wait { name, waiting } => self.note_waiting(pod, name, waiting),
                Action::Resize { id, name, resources } => {
                    self.memory.resized.retain(|known, _| observed.container(known).is_some());
                    self.memory.resized.insert(id.clone(), resources.clone());
                    self.memory.busy.insert(name.clone(), Busy::Resizing);
                    let work = ops::resize(
                        self.kit.clone(),
                        pod.clone(),
                        (id.clone(), name.clone(), resources.clone()),
                    );
                    self.ops.push(Box::pin(work));
                }
                Action::Kill(kill) => self.kill(pod, observed, kill, now),
                Action::Remove { id } => {
                    if let Some(container) = observed.container(id) {
                        self.ops.push(Box::pin(ops::remove(self.kit.clone(), container.clone())));
                    }
                }
                Action::End(end) => self.memory.end = Some(end.clone()),
                Action::Unmount => {
                    self.memory.pod_busy = true;
                    self.ops.push(Box::pin(ops::unmount(self.kit.clone(), self.uid.clone())));
                }
                Action::Clean => {
                    self.memory.sealed = true;
                    self.memory.pod_busy = true;
                    self.ops.push(Box::pin(ops::clean(self.kit.clone(), pod.id())));
                }
                Action::Finish => self.finish(pod),
            }
        }
    }

    fn start(&mut self, pod: &PodView, observed: &Arc<Observed>, what: (&str, u32), now: WallTime) {
        let (name, attempt) = what;
        let Some(member) = pod.member(name) else { return };
        if let Some(last) = observed.latest(name).filter(|last| last.state == ContainerState::Exited) {
            let finished = WallTime(last.finished_at);
            let before = self.memory.restarts.get(name);
            let grown = BackOff::grown(before, &member.hash(), finished, now);
            self.memory.restarts.insert(name.to_owned(), grown);
        }
        self.memory.busy.insert(name.to_owned(), Busy::Starting);
        let loose = Arc::new(AtomicBool::new(true));
        let order = start::Order {
            pod: pod.clone(),
            observed: observed.clone(),
            name: name.to_owned(),
            attempt,
            loose: loose.clone(),
        };
        let (work, abort) = futures_util::future::abortable(start::start(self.kit.clone(), order));
        self.starts.insert(name.to_owned(), Start { abort, loose });
        let name = name.to_owned();
        self.ops.push(Box::pin(async move {
            let result = work.await.unwrap_or(Ok(()));
            Outcome { done: Done::Started { name, result }, changed_runtime: true }
        }));
    }

    fn note_waiting(&mut self, pod: &PodView, name: &str, waiting: &Waiting) {
        if self.memory.waiting.get(name) == Some(waiting) {
            return;
        }
        if let Some(member) = pod.member(name) {
            let about = about_member(pod, &member);
            match waiting.reason.as_str() {
                "CrashLoopBackOff" => {
                    let message =
                        format!("Back-off restarting failed container {name} in pod {}", pod.long_name());
                    self.kit.recorder.warning(&about, "BackOff", message);
                }
                "ImagePullBackOff" => {
                    let image = member.spec.image.as_deref().unwrap_or_default();
                    let message = format!("Back-off pulling image {}", machinery::field::go_quote(image));
                    self.kit.recorder.normal(&about, "BackOff", message);
                    self.kit.recorder.warning(&about, "Failed", "Error: ImagePullBackOff");
                }
                _ => {}
            }
        }
        self.memory.waiting.insert(name.to_owned(), waiting.clone());
    }

    fn kill(&mut self, pod: &PodView, observed: &Observed, kill: &Kill, now: WallTime) {
        let deadline = now.plus(Duration::from_secs(u64::from(kill.grace_secs)));
        let before = self.memory.busy.insert(kill.name.clone(), Busy::Stopping { deadline });
        if kill.restart {
            self.memory.must_restart.insert(kill.name.clone());
        }
        let order = ops::KillOrder {
            pod: pod.clone(),
            ip: observed.ips().first().map(ToString::to_string).unwrap_or_default(),
            kill: kill.clone(),
            // Whoever is told to hurry has been told to stop before.
            again: matches!(before, Some(Busy::Stopping { .. })),
        };
        self.ops.push(Box::pin(ops::kill(self.kit.clone(), order)));
    }

    fn finish(&mut self, pod: &PodView) {
        self.memory.sealed = true;
        let Some(end) = &self.memory.end else { return };
        if end.cause == Cause::Removed {
            self.finished = true;
        } else if self.kit.publisher.is_written(&self.uid) {
            self.memory.pod_busy = true;
            self.ops.push(Box::pin(ops::delete(self.kit.clone(), pod.clone())));
        }
    }

    fn publish(&mut self, pod: &PodView, picture: Option<&Object>, observed: &Observed, now: WallTime) {
        let gone = self.memory.end.as_ref().is_some_and(|end| end.cause == Cause::Removed);
        if self.memory.sealed || gone {
            return;
        }
        let status = match &self.memory.refused {
            Some((reason, message)) => status::rejected(pod, reason, message, now),
            None => status::compute(&Scene {
                pod,
                observed,
                memory: &self.memory,
                place: &self.kit.place,
                messages: &self.messages,
                now,
            }),
        };
        self.memory.conditions = status.conditions.clone().unwrap_or_default();
        match picture {
            Some(picture) => self.kit.publisher.publish(picture, status),
            // Nobody sees a static pod that has no picture.
            None if pod.is_static() => {}
            None => self.kit.publisher.publish(&pod.object, status),
        }
    }
}
