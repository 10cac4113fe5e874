//! Keeps one worker for each pod that is bound to this node, and for what is left of pods that are no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use client::{Cache, Key, resources};
use cri::PodId;
use machinery::{Object, Status, Value};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::eviction::{self, Eviction};
use crate::kit::{Kit, about};
use crate::manifests::{Manifests, mirror};
use crate::node::view::NodeView;
use crate::pod::PodView;
use crate::worker::{Desired, Inbox, Worker};

/// How many ends of workers may wait to be noticed; a worker that finds it full waits.
const ENDS: usize = 64;

#[derive(Debug)]
struct Running {
    key: Key,
    inbox: Inbox,
}

/// The pods of this node.
#[derive(Debug)]
pub(crate) struct Agent {
    kit: Arc<Kit>,
    node: NodeView,
    pods: Cache,
    manifests: Manifests,
    /// The static pods that were seen last.
    statics: BTreeSet<Key>,
    workers: BTreeMap<String, Running>,
    /// Pods that have ended here but that the API has not yet let go of in our view.
    ended: BTreeMap<Key, String>,
    ends: (mpsc::Sender<String>, mpsc::Receiver<String>),
    evictions: (mpsc::Sender<Eviction>, mpsc::Receiver<Eviction>),
}

impl Agent {
    /// Begins to watch the node's pods. `labels` are the node's until the API has said more.
    pub fn new(kit: Arc<Kit>, labels: Arc<BTreeMap<String, String>>, manifests: Manifests) -> Agent {
        let node = NodeView::start(&kit, labels);
        let selector = format!("spec.nodeName={}", kit.config.node_name);
        let pods: Cache =
            Cache::of(resources::PODS).fields(&selector).start(kit.client.transport().clone(), &kit.env);
        Agent {
            kit,
            node,
            pods,
            manifests,
            statics: BTreeSet::new(),
            workers: BTreeMap::new(),
            ended: BTreeMap::new(),
            ends: mpsc::channel(ENDS),
            evictions: mpsc::channel(ENDS),
        }
    }

    /// The pods as the API has them.
    pub fn pods(&self) -> Cache {
        self.pods.clone()
    }

    /// Where it is said which pods must go.
    pub fn evictions(&self) -> mpsc::Sender<Eviction> {
        self.evictions.0.clone()
    }

    /// Works for ever.
    pub async fn run(mut self) {
        self.kit.observer.refresh().await;
        // The node's own pods wait for nobody.
        self.update_statics().await;
        self.pods.synced().await;
        // Those that came first are let in first.
        let mut entries = self.pods.list();
        entries.sort_by_cached_key(|entry| born(&entry.object));
        for entry in entries {
            self.update(&Key::of(&entry.object)).await;
        }
        self.adopt_orphans();
        let mut changes = self.pods.changes();
        let manifests = self.manifests.clone();
        loop {
            tokio::select! {
                biased;
                Some(eviction) = self.evictions.1.recv() => self.evict(eviction),
                () = manifests.changed() => {
                    self.update_statics().await;
                    self.kit.repaint.notify_one();
                }
                Some(uid) = self.ends.1.recv() => self.worker_ended(&uid).await,
                key = changes.next() => self.update(&key).await,
            }
        }
    }

    /// Static pods have come, changed or gone.
    async fn update_statics(&mut self) {
        let now: BTreeSet<Key> = self.manifests.pods().into_keys().collect();
        let before = std::mem::replace(&mut self.statics, now.clone());
        for key in before.union(&now) {
            self.update(key).await;
        }
    }

    /// What the pod of this name is to be, and its picture if it is a static one.
    fn wanted(&self, key: &Key) -> Option<(Object, Option<Object>)> {
        let listed = self.pods.get(key).map(|entry| entry.object.clone());
        let shown = listed.as_ref().and_then(mirror::shown);
        match self.manifests.get(key) {
            Some(own) => {
                let picture = listed.filter(|_| shown.is_some_and(|shown| own.header().uid == shown));
                Some((own, picture))
            }
            // A picture of nothing is deleted by those who keep them.
            None => listed.filter(|_| shown.is_none()).map(|object| (object, None)),
        }
    }

    /// The pod of this name has changed, come, or gone.
    async fn update(&mut self, key: &Key) {
        let wanted = self.wanted(key);
        let uid = wanted.as_ref().map(|(object, _)| object.header().uid.to_string());
        let mut busy = false;
        for (other, running) in self.workers.iter().filter(|(_, running)| running.key == *key) {
            let mut inbox = running.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            match &wanted {
                Some((object, picture)) if uid.as_ref() == Some(other) => {
                    inbox.object = object.clone();
                    inbox.picture = picture.clone();
                }
                // Another pod has its name: it is no more.
                _ => inbox.gone = true,
            }
            busy = true;
            drop(inbox);
            self.kit.bells.ring(other);
        }
        if self.ended.get(key).is_some_and(|ended| uid.as_ref() != Some(ended)) {
            self.ended.remove(key);
        }
        // A pod waits until the one that had its name before has left nothing behind.
        if let Some((object, picture)) = wanted.filter(|_| !busy && !self.ended.contains_key(key)) {
            self.begin(&object, picture).await;
        }
    }

    fn evict(&self, eviction: Eviction) {
        // It may have ended in between.
        let Some(running) = self.workers.get(&eviction.uid) else { return };
        let uid = eviction.uid.clone();
        tracing::info!(pod = %running.key, reason = eviction.reason, "it must go: {}", eviction.message);
        running.inbox.lock().unwrap_or_else(PoisonError::into_inner).evicted = Some(eviction);
        self.kit.bells.ring(&uid);
    }

    async fn begin(&mut self, object: &Object, picture: Option<Object>) {
        let pod = match PodView::new(object) {
            Ok(pod) => pod,
            Err(error) => {
                tracing::error!(pod = %object.header().key(), "it cannot be read and is left alone: {error}");
                return;
            }
        };
        let refused = self.refuse(&pod).await;
        self.spawn(Desired { object: object.clone(), picture, gone: false, refused, evicted: None });
    }

    /// Whether the pod may not run here. One that already does is not asked again.
    async fn refuse(&self, pod: &PodView) -> Option<(String, String)> {
        let ended = matches!(pod.status().phase.as_deref(), Some("Succeeded" | "Failed"));
        let known = !self.kit.observer.pod(pod.uid()).is_empty();
        if ended || known || pod.object.header().deleting {
            return None;
        }
        let others: Vec<PodView> = self
            .workers
            .iter()
            .filter(|(uid, _)| uid.as_str() != pod.uid())
            .filter_map(|(_, running)| {
                let desired = running.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
                (desired.refused.is_none()).then(|| PodView::new(&desired.object).ok())?
            })
            .filter(|other| !matches!(other.status().phase.as_deref(), Some("Succeeded" | "Failed")))
            .collect();
        if let Some((reason, message)) = self.kit.closing.refusal() {
            self.kit.recorder.warning(&about(pod), reason, message);
            return Some((reason.to_owned(), message.to_owned()));
        }
        if let Some(message) = eviction::refuse(&self.kit.pressures.now(), pod) {
            self.kit.recorder.warning(&about(pod), "Evicted", message.clone());
            return Some(("Evicted".to_owned(), message));
        }
        let mut refusal = self.node.admit(pod, &others)?;
        if refusal.reason == "NodeAffinity" {
            // Labels may be newer than what was seen of them.
            self.node.look().await;
            refusal = self.node.admit(pod, &others)?;
        }
        let reason = KNOWN_REASONS.into_iter().find(|known| *known == refusal.reason).unwrap_or("Rejected");
        self.kit.recorder.warning(&about(pod), reason, refusal.message.clone());
        Some((refusal.reason, refusal.message))
    }

    fn spawn(&mut self, desired: Desired) {
        let uid = desired.object.header().uid.to_string();
        let key = Key::of(&desired.object);
        let inbox: Inbox = Arc::new(Mutex::new(desired));
        let worker = Worker::new(self.kit.clone(), inbox.clone(), &uid);
        let ends = self.ends.0.clone();
        self.workers.insert(uid.clone(), Running { key, inbox });
        self.kit.env.tasks.spawn("pod worker", async move {
            worker.run().await;
            // Nobody listens only when everything stops.
            let _ = ends.send(uid).await;
        });
    }

    async fn worker_ended(&mut self, uid: &str) {
        let Some(running) = self.workers.remove(uid) else { return };
        let wanted = self.wanted(&running.key);
        if wanted.is_some_and(|(object, _)| object.header().uid == uid) {
            self.ended.insert(running.key, uid.to_owned());
        } else {
            self.update(&running.key).await;
        }
    }

    /// Ends what the API no longer knows: containers, sandboxes and directories that were left behind.
    fn adopt_orphans(&mut self) {
        let mut orphans = self.kit.observer.pods();
        for left in left_on_disk(&self.kit.config) {
            if !orphans.iter().any(|orphan| orphan.uid == left.uid) {
                orphans.push(left);
            }
        }
        orphans.retain(|orphan| !self.workers.contains_key(&orphan.uid));
        for orphan in orphans {
            tracing::info!(pod = %orphan.name, uid = %orphan.uid, "the API does not know it any more; it is ended");
            match stand_in(&orphan) {
                Ok(object) => {
                    self.spawn(Desired { object, picture: None, gone: true, refused: None, evicted: None });
                }
                Err(error) => tracing::error!(uid = %orphan.uid, "it cannot be ended: {error}"),
            }
        }
    }
}

/// Reasons of refusal, which events need to know beforehand.
const KNOWN_REASONS: [&str; 9] = [
    "OutOfpods",
    "OutOfcpu",
    "OutOfmemory",
    "OutOfephemeral-storage",
    "NodeAffinity",
    "NodePorts",
    "PodOSNotSupported",
    "SysctlForbidden",
    "TaintToleration",
];

/// The pods of which there is something on the disk. Directories of logs tell whose they are.
fn left_on_disk(config: &Config) -> Vec<PodId> {
    let names = |directory: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let of_logs = names(&config.pod_logs).into_iter().filter_map(|name| {
        let mut parts = name.split('_').map(str::to_owned);
        Some(PodId { namespace: parts.next()?, name: parts.next()?, uid: parts.next()? })
    });
    let of_volumes = names(&config.root.join("pods")).into_iter();
    let nameless = |uid: String| PodId { namespace: "orphaned".to_owned(), name: uid.clone(), uid };
    of_logs.chain(of_volumes.map(nameless)).collect()
}

fn born(object: &Object) -> (String, String) {
    let created = object
        .view::<k8s_openapi::api::core::v1::Pod>()
        .ok()
        .and_then(|pod| pod.metadata.creation_timestamp.as_ref().map(|at| at.0.to_string()));
    (created.unwrap_or_default(), object.header().key())
}

/// An object for a pod of which nothing but its name is known.
fn stand_in(pod: &PodId) -> Result<Object, Status> {
    let metadata = Value::from([
        ("name", Value::from(pod.name.as_str())),
        ("namespace", Value::from(pod.namespace.as_str())),
        ("uid", Value::from(pod.uid.as_str())),
        ("resourceVersion", Value::from("0")),
    ]);
    let document = Value::from([
        ("kind", Value::from("Pod")),
        ("apiVersion", Value::from("v1")),
        ("metadata", metadata),
        ("spec", Value::from([("containers", Value::from(Vec::new()))])),
    ]);
    Object::from_value(&document)
}
