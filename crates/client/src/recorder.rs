//! Events: what happened to an object, told to people. Similar events are counted instead of repeated, as upstream
//! does it, so that a loop that fails all day leaves a few lines and not a flood.

mod correlate;
mod forms;
mod recent;
#[cfg(test)]
mod tests;

use std::time::Duration;

use env::{Clock, Env, WallTime};
use machinery::Object;
use tokio::sync::mpsc;

use crate::plan::Note;
use crate::transport::{Call, Write};
use crate::{Client, Key, Resource, resources};
use correlate::{Correlator, Sending};

/// Events that wait to be written. What comes when it is full is dropped: events are news, not records.
const QUEUED_AT_MOST: usize = 10_000;
/// Events that are written as they come, and how long each takes its turn after so many: when thousands of pods are made at
/// a time, the pods come first, and the news of them when there is time.
const AT_ONCE: u32 = 100;
const EACH: Duration = Duration::from_millis(5);

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look at it.
    Warning,
}

impl EventKind {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        }
    }
}

/// The object an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for what belongs to the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its revision, as text; empty if it does not matter.
    pub resource_version: String,
    /// Which part of it: `spec.containers{web}`; empty for the whole.
    pub field_path: String,
}

impl About {
    /// The whole of an object.
    pub fn object(object: &Object) -> About {
        let header = object.header();
        About {
            api_version: header.api_version.to_string(),
            kind: header.kind.to_string(),
            namespace: header.namespace.to_string(),
            name: header.name.to_string(),
            uid: header.uid.to_string(),
            resource_version: if header.revision == 0 { String::new() } else { header.revision.to_string() },
            field_path: String::new(),
        }
    }

    /// An object nobody has at hand.
    pub fn named(resource: Resource, key: &Key, uid: &str) -> About {
        About {
            api_version: resource.api_version(),
            kind: resource.kind.to_owned(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            uid: uid.to_owned(),
            ..About::default()
        }
    }

    /// The same, but only a part of it.
    pub fn part(mut self, field_path: impl Into<String>) -> About {
        self.field_path = field_path.into();
        self
    }
}

/// Who tells.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The component: `replicaset-controller`.
    pub component: &'static str,
    /// The machine it runs on; empty where that does not matter.
    pub host: String,
    /// What it was doing (`Binding`): given, repeated events become a series, as `events.k8s.io` has it; empty, they are
    /// counted, as the core form has it. Upstream's components differ in this, and clients look for what they know.
    pub action: &'static str,
}

/// Writes events in the background. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Events, and when they happened.
    sender: mpsc::Sender<(WallTime, Note)>,
    clock: Clock,
}

impl Recorder {
    /// Starts a recorder that writes as `client`.
    pub fn start(client: Client, source: Source, env: &Env) -> Recorder {
        let (sender, receiver) = mpsc::channel(QUEUED_AT_MOST);
        env.tasks.spawn("event recorder", write_all(client, Correlator::new(source), env.clone(), receiver));
        Recorder { sender, clock: env.clock.clone() }
    }

    /// Records an event.
    pub fn note(&self, note: Note) {
        if let Err(error) = self.sender.try_send((self.clock.now(), note)) {
            tracing::debug!("an event is dropped: {error}");
        }
    }

    /// Records good news.
    pub fn normal(&self, about: &About, reason: &'static str, message: impl Into<String>) {
        self.note(Note::normal(about, reason, message));
    }

    /// Records something somebody should look at.
    pub fn warning(&self, about: &About, reason: &'static str, message: impl Into<String>) {
        self.note(Note::warning(about, reason, message));
    }
}

/// Keeps the pace of one who writes.
#[derive(Debug, Default)]
struct Pace {
    /// When all that was written had had its turn, if each had waited for its own.
    done: Duration,
}

impl Pace {
    /// How long the next has to wait.
    fn wait(&mut self, now: Duration) -> Duration {
        self.done = self.done.max(now) + EACH;
        self.done.saturating_sub(now + AT_ONCE * EACH)
    }
}

async fn write_all(
    client: Client,
    mut correlator: Correlator,
    env: Env,
    mut receiver: mpsc::Receiver<(WallTime, Note)>,
) {
    let mut pace = Pace::default();
    while let Some((when, note)) = receiver.recv().await {
        let Some(sending) = correlator.observe(&note, when) else { continue };
        let wait = pace.wait(env.clock.monotonic());
        if !wait.is_zero() {
            env.clock.sleep(wait).await;
        }
        if let Err(status) = send(&client, sending).await {
            // A namespace that is being emptied takes no more events; everything else is worth a line.
            if status.code != 403 {
                tracing::debug!(reason = note.reason, "an event could not be written: {status}");
            }
        }
    }
}

async fn send(client: &Client, sending: Sending) -> Result<(), machinery::Status> {
    let resource = resources::EVENTS;
    if let Some(patch) = &sending.patch {
        match client.patch(resource, &sending.key, patch).await {
            // Expired in the meantime: begin a new one.
            Err(status) if status.code == 404 => {}
            other => return other.map(drop),
        }
    }
    let body = crate::typed::json(&sending.create)?;
    let created = client.write(resource, Call::all(&sending.key.namespace), Write::Create(body)).await;
    created.map(drop)
}
