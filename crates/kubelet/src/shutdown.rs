//! The machine is about to be shut down: pods are asked to go, the ordinary ones first, while the machine waits.
//!
//! logind holds a shutdown back for whoever asked it to (`systemd-inhibit --list`). When it tells that one is coming the
//! node says that it is not ready, lets no pod in any more, and ends its pods in groups, each within its own time; then
//! it lets the machine go on. A shutdown that is called off makes it an ordinary node again.

mod bus;
mod logind;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Cache;
use tokio::sync::{Notify, mpsc};

use crate::eviction::{Eviction, rank::is_critical};
use crate::kit::Kit;
use crate::manifests::Manifests;
use crate::pod::PodView;
use bus::BusError;
use logind::Logind;

/// What a pod that was let in too late is told.
const REFUSED: (&str, &str) = ("NodeShutdown", "Pod was rejected as the node is shutting down.");
/// What a pod that is ended is told.
const ENDED: (&str, &str) = ("Terminated", "Pod was terminated in response to imminent node shutdown.");
/// What the node says of itself meanwhile.
const OBSTACLE: &str = "node is shutting down";
/// The pause before the bus is tried again.
const PAUSE: Duration = Duration::from_secs(10);
/// How often it is looked whether pods have ended.
const LOOK: Duration = Duration::from_millis(100);

/// How long a shutdown of the machine is held back for pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownGrace {
    /// For all of them together.
    pub total: Duration,
    /// Of that, for the critical ones, which go last.
    pub critical: Duration,
    /// Where the machine's bus is.
    pub bus: PathBuf,
    /// Where logind can be told for how long it may be held back, until the machine's next start.
    pub logind_settings: PathBuf,
}

impl ShutdownGrace {
    /// On a machine as systemd makes it.
    pub fn new(total: Duration, critical: Duration) -> ShutdownGrace {
        ShutdownGrace {
            total,
            critical,
            bus: "/run/dbus/system_bus_socket".into(),
            logind_settings: "/run/systemd/logind.conf.d".into(),
        }
    }

    /// The time of each group, in the order in which they go.
    fn periods(&self) -> [(Group, Duration); 2] {
        [
            (Group::Ordinary, self.total.saturating_sub(self.critical)),
            (Group::Critical, self.critical.min(self.total)),
        ]
    }
}

/// Pods that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Ordinary,
    Critical,
}

impl Group {
    fn of(pod: &PodView) -> Group {
        if is_critical(pod) { Group::Critical } else { Group::Ordinary }
    }
}

/// Whether the machine is about to go, for all who need to know. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing(Arc<(AtomicBool, Notify)>);

impl Closing {
    /// Why the node is not ready, if that is why.
    pub fn obstacle(&self) -> Option<String> {
        self.is_on().then(|| OBSTACLE.to_owned())
    }

    /// Why no pod is let in, if that is why.
    pub fn refusal(&self) -> Option<(&'static str, &'static str)> {
        self.is_on().then_some(REFUSED)
    }

    /// Waits until it begins or is called off.
    pub async fn changed(&self) {
        self.0.1.notified().await;
    }

    fn is_on(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    fn set(&self, on: bool) {
        self.0.0.store(on, Ordering::SeqCst);
        self.0.1.notify_one();
    }
}

/// Holds shutdowns back, for ever, if the node is to.
pub(crate) async fn watch(
    kit: Arc<Kit>,
    pods: Cache,
    manifests: Manifests,
    evictions: mpsc::Sender<Eviction>,
) {
    let Some(grace) = kit.config.shutdown.clone() else { return };
    let keeper = Keeper { kit, pods, manifests, evictions };
    let mut told = String::new();
    loop {
        let Err(error) = keeper.follow(&grace).await;
        if error.to_string() != told {
            tracing::warn!(
                "shutdowns of this machine are not held back for pods: {error}; is systemd-logind there?"
            );
            told = error.to_string();
        }
        keeper.kit.env.clock.sleep(PAUSE).await;
    }
}

struct Keeper {
    kit: Arc<Kit>,
    pods: Cache,
    manifests: Manifests,
    evictions: mpsc::Sender<Eviction>,
}

impl Keeper {
    /// Follows what logind tells until the bus is lost.
    async fn follow(&self, grace: &ShutdownGrace) -> Result<std::convert::Infallible, BusError> {
        let mut logind = Logind::connect(&grace.bus).await?;
        logind.allow(grace.total, &grace.logind_settings, &self.kit.env).await?;
        logind.watch().await?;
        let mut lock = Some(logind.inhibit().await?);
        loop {
            let begins = logind.next().await?;
            self.tell(begins);
            self.kit.closing.set(begins);
            if begins {
                for (group, period) in grace.periods() {
                    self.end(group, period).await;
                }
                // The machine waits no longer.
                lock = None;
            } else if lock.is_none() {
                lock = Some(logind.inhibit().await?);
            }
        }
    }

    fn tell(&self, begins: bool) {
        let what = if begins { "event" } else { "cancellation" };
        let message = format!("Shutdown manager detected shutdown {what}");
        tracing::info!("{message}");
        self.kit.recorder.normal(&self.kit.about_node(), "NodeShutdown", message);
    }

    /// Ends the pods of a group, and waits until they are gone or their time is over.
    async fn end(&self, group: Group, period: Duration) {
        let pods: Vec<PodView> = self.living().into_iter().filter(|pod| Group::of(pod) == group).collect();
        let most = u32::try_from(period.as_secs()).unwrap_or(u32::MAX);
        for pod in &pods {
            let eviction = Eviction {
                uid: pod.uid().to_owned(),
                reason: ENDED.0,
                message: ENDED.1.to_owned(),
                grace_secs: pod.grace_secs().min(most).max(1),
                disrupted: true,
            };
            if self.evictions.send(eviction).await.is_err() {
                return;
            }
        }
        let clock = &self.kit.env.clock;
        let until = clock.now().plus(period);
        while clock.now() < until && pods.iter().any(|pod| self.lives(pod)) {
            clock.sleep(LOOK).await;
        }
    }

    /// The pods of this node that have not ended.
    fn living(&self) -> Vec<PodView> {
        let own = self.manifests.pods().into_values();
        let listed = self.pods.list().into_iter().map(|entry| entry.object.clone());
        let shown = |object: &machinery::Object| crate::manifests::mirror::shown(object).is_some();
        let all = own.chain(listed.filter(|object| !shown(object)));
        all.filter_map(|object| PodView::new(&object).ok()).filter(|pod| !is_over(pod)).collect()
    }

    /// Whether something of a pod runs, or the API does not know yet that it has ended.
    fn lives(&self, pod: &PodView) -> bool {
        let runs = self.kit.observer.pod(pod.uid()).running().next().is_some();
        let key = client::Key::of(&pod.object);
        let there = self.pods.get(&key).and_then(|entry| PodView::new(&entry.object).ok());
        runs || there.is_some_and(|there| there.uid() == pod.uid() && !is_over(&there))
    }
}

fn is_over(pod: &PodView) -> bool {
    matches!(pod.status().phase.as_deref(), Some("Succeeded" | "Failed"))
}
