//! Asks containers whether they have come up, are alive, and want traffic.

mod ask;
mod count;
mod grpc;
pub(crate) mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::{Container, ContainerState};
use env::{TaskHandle, WallTime};
use k8s_openapi::api::core::v1::Probe;

use crate::bell::Bell;
use crate::kit::{Kit, about_member};
use crate::memory::{Memory, Probed};
use crate::observed::Observed;
use crate::pod::{Member, PodView, Role};
use ask::Verdict;
use count::Counter;

/// When a container that just started is asked again after a first no. Most of what starts is up within moments, and
/// would otherwise wait for a whole period until it gets traffic: ten seconds, where nobody said. Of these answers only a
/// good one counts.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700)];
/// How long after its first question was due a container has just started.
const FRESH: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Whether it has come up. Until then nothing else is asked.
    Startup,
    /// Whether it is alive.
    Liveness,
    /// Whether it wants traffic.
    Readiness,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

type Board = Arc<Mutex<BTreeMap<String, Probed>>>;

/// The probes of one pod.
#[derive(Debug)]
pub(crate) struct Prober {
    kit: Arc<Kit>,
    uid: String,
    bell: Arc<Bell>,
    board: Board,
    tasks: BTreeMap<(String, Kind), TaskHandle<()>>,
}

impl Drop for Prober {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
        self.kit.probed.forget(&self.uid);
    }
}

impl Prober {
    /// Asks nothing of the pod of that identity yet.
    pub fn new(kit: Arc<Kit>, bell: Arc<Bell>, uid: &str) -> Prober {
        Prober { uid: uid.to_owned(), kit, bell, board: Board::default(), tasks: BTreeMap::new() }
    }

    /// Takes over what the API says of containers that ran before this kubelet did, so that its start changes nothing.
    pub fn adopt(&self, pod: &PodView) {
        let status = pod.status();
        let lists = [&status.container_statuses, &status.init_container_statuses];
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        for known in lists.into_iter().flatten().flatten() {
            let Some((_, id)) = known.container_id.as_deref().and_then(|id| id.split_once("://")) else {
                continue;
            };
            let runs = known.state.as_ref().is_some_and(|state| state.running.is_some());
            if runs && known.started == Some(true) {
                let readiness = Some(known.ready);
                board.insert(id.to_owned(), Probed { startup: Some(true), liveness: None, readiness });
            }
        }
    }

    /// What all probes said last.
    pub fn snapshot(&self) -> BTreeMap<String, Probed> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the probes that are needed now, and ends those that are not.
    pub fn sync(&mut self, pod: &PodView, observed: &Observed, memory: &Memory) {
        let mut wanted: BTreeMap<(String, Kind), (Member<'_>, &Container, Probe)> = BTreeMap::new();
        for member in pod.init_members().chain(pod.app_members()) {
            if member.role == Role::Init {
                continue;
            }
            let Some(container) = observed.latest(member.name()) else { continue };
            if container.state != ContainerState::Running || memory.is_starting(member.name()) {
                continue;
            }
            for (kind, probe) in due(&member, memory, container) {
                wanted.insert((container.id.clone(), kind), (member.clone(), container, probe));
            }
        }
        self.tasks.retain(|key, task| {
            let keep = wanted.contains_key(key);
            if !keep {
                task.abort();
            }
            keep
        });
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.retain(|id, _| observed.container(id).is_some());
        drop(board);
        for (key, (member, container, probe)) in wanted {
            if !self.tasks.contains_key(&key) {
                let task = self.start(pod, &member, container, (key.1, probe));
                self.tasks.insert(key, task);
            }
        }
    }

    fn start(
        &self,
        pod: &PodView,
        member: &Member<'_>,
        container: &Container,
        what: (Kind, Probe),
    ) -> TaskHandle<()> {
        let (kind, probe) = what;
        let ip = if pod.host_network() {
            self.kit.place.ips.first().map(ToString::to_string)
        } else {
            self.kit.observer.pod(pod.uid()).ips().first().map(ToString::to_string)
        };
        let worker = Worker {
            kit: self.kit.clone(),
            bell: self.bell.clone(),
            board: self.board.clone(),
            kind,
            subject: ask::Subject {
                container: member.spec.clone().into_owned(),
                id: container.id.clone(),
                ip: ip.unwrap_or_default(),
            },
            pod: pod.id(),
            about: about_member(pod, member),
            counter: Counter::new(&probe),
            first: WallTime(container.started_at).plus(secs(probe.initial_delay_seconds, 0)),
            probe,
        };
        self.kit.env.tasks.spawn("probe", worker.run())
    }
}

/// The probes that a running container needs now.
fn due(member: &Member<'_>, memory: &Memory, container: &Container) -> Vec<(Kind, Probe)> {
    let probed = memory.probed(&container.id);
    let ending = memory.end.is_some() || memory.busy.contains_key(member.name());
    let mut due = Vec::new();
    if let Some(probe) = &member.spec.startup_probe
        && probed.startup != Some(true)
    {
        // The others wait until this one went well.
        if !ending && probed.startup.is_none() {
            due.push((Kind::Startup, probe.clone()));
        }
        return due;
    }
    if let Some(probe) = &member.spec.liveness_probe
        && !ending
        && probed.liveness != Some(false)
    {
        due.push((Kind::Liveness, probe.clone()));
    }
    if let Some(probe) = &member.spec.readiness_probe {
        due.push((Kind::Readiness, probe.clone()));
    }
    due
}

fn secs(given: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(given.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(default))
}

struct Worker {
    kit: Arc<Kit>,
    bell: Arc<Bell>,
    board: Board,
    kind: Kind,
    probe: Probe,
    subject: ask::Subject,
    pod: cri::PodId,
    about: client::About,
    counter: Counter,
    first: WallTime,
}

impl Worker {
    async fn run(mut self) {
        let clock = self.kit.env.clock.clone();
        let period = secs(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        clock.sleep(self.first.since(clock.now())).await;
        let mut is_first = self.asks_again();
        loop {
            let began = clock.monotonic();
            let verdict = self.ask().await;
            if self.take(&verdict) {
                return;
            }
            if std::mem::take(&mut is_first)
                && verdict.says() != Some(true)
                && let Some(good) = self.ask_again(began).await
                && self.take(&good)
            {
                return;
            }
            let took = clock.monotonic().saturating_sub(began);
            clock.sleep(period.saturating_sub(took)).await;
        }
    }

    async fn ask(&self) -> Verdict {
        let limit = secs(self.probe.timeout_seconds, 1).max(Duration::from_secs(1));
        ask::ask(&self.kit, &self.probe, &self.subject, limit).await
    }

    /// Tells and counts an answer. Answers whether nothing more is to be asked.
    fn take(&mut self, verdict: &Verdict) -> bool {
        self.tell(verdict);
        self.tally(verdict);
        let Some(holds) = verdict.says().and_then(|good| self.counter.count(good)) else { return false };
        self.note(holds);
        self.kind != Kind::Readiness && (!holds || self.kind == Kind::Startup)
    }

    /// Whether one good answer of a container that just started makes a difference.
    fn asks_again(&self) -> bool {
        let is_fresh = self.kit.env.clock.now().since(self.first) < FRESH;
        is_fresh && self.kind != Kind::Liveness && self.probe.success_threshold.unwrap_or(1) <= 1
    }

    /// Asks a few times more, not long after the first question. Answers the first good answer.
    async fn ask_again(&self, began: Duration) -> Option<Verdict> {
        let clock = &self.kit.env.clock;
        for at in AGAIN {
            // A question may take longer than the pause before the next.
            let Some(left) = at.checked_sub(clock.monotonic().saturating_sub(began)) else { continue };
            clock.sleep(left).await;
            let verdict = self.ask().await;
            if verdict.says() == Some(true) {
                return Some(verdict);
            }
        }
        None
    }

    fn tell(&self, verdict: &Verdict) {
        let word = self.kind.word();
        match verdict {
            Verdict::Yes => {}
            Verdict::Warning(text) => {
                self.kit.recorder.warning(
                    &self.about,
                    "ProbeWarning",
                    format!("{word} probe warning: {text}"),
                );
            }
            Verdict::No(text) => {
                self.kit.recorder.warning(&self.about, "Unhealthy", format!("{word} probe failed: {text}"));
            }
            Verdict::Error(text) => {
                let message = format!("{word} probe errored and resulted in unknown state: {text}");
                self.kit.recorder.warning(&self.about, "Unhealthy", message);
            }
        }
    }

    fn tally(&self, verdict: &Verdict) {
        let cri::PodId { namespace, name, uid } = self.pod.clone();
        let container = self.subject.container.name.clone();
        let (kind, result) = (self.kind.word(), tally::result(verdict));
        self.kit.probed.count(tally::Answered { uid, namespace, pod: name, container, kind, result });
    }

    fn note(&self, holds: bool) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let probed = board.entry(self.subject.id.clone()).or_default();
        let slot = match self.kind {
            Kind::Startup => &mut probed.startup,
            Kind::Liveness => &mut probed.liveness,
            Kind::Readiness => &mut probed.readiness,
        };
        if slot.replace(holds) != Some(holds) {
            drop(board);
            self.bell.ring();
        }
    }
}
