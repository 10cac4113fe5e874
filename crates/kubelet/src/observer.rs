//! Keeps a picture of what the runtime has: looked at when the runtime says something changed, when somebody who just
//! changed something asks, and now and then in case an event was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::{Container, Event, Events, PodId, Runtime, Sandbox};
use env::Env;
use tokio::sync::{Notify, oneshot};

use crate::bell::Bells;
use crate::observed::Observed;

/// How often everything is looked at although nothing was said to have changed.
const NOW_AND_THEN: Duration = Duration::from_secs(120);
/// The pause after the runtime did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The picture. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Arc<dyn Runtime>,
    env: Env,
    bells: Bells,
    pods: Mutex<BTreeMap<String, Pod>>,
    asked: Mutex<Vec<oneshot::Sender<()>>>,
    wanted: Notify,
}

#[derive(Clone, Debug)]
struct Pod {
    id: PodId,
    observed: Arc<Observed>,
}

impl Observer {
    /// Begins to look. The first picture is there once [`Observer::refresh`] resolves.
    pub fn start(runtime: Arc<dyn Runtime>, env: &Env, bells: Bells) -> Observer {
        let shared = Arc::new(Shared {
            runtime,
            env: env.clone(),
            bells,
            pods: Mutex::default(),
            asked: Mutex::default(),
            wanted: Notify::new(),
        });
        env.tasks.spawn("runtime events", follow(shared.clone()));
        env.tasks.spawn("runtime observer", look_when_asked(shared.clone()));
        Observer { shared }
    }

    /// What there is of a pod.
    pub fn pod(&self, uid: &str) -> Arc<Observed> {
        let pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(uid).map(|pod| pod.observed.clone()).unwrap_or_default()
    }

    /// All pods of which there is something.
    pub fn pods(&self) -> Vec<PodId> {
        let pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.values().map(|pod| pod.id.clone()).collect()
    }

    /// Resolves once the picture is younger than this call.
    pub async fn refresh(&self) {
        let (sender, receiver) = oneshot::channel();
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        self.shared.wanted.notify_one();
        // The sender is only dropped when everything stops.
        let _ = receiver.await;
    }
}

async fn follow(shared: Arc<Shared>) {
    loop {
        match shared.runtime.events().await {
            Ok(mut events) => drain(&shared, events.as_mut()).await,
            Err(error) => tracing::warn!("the runtime's events cannot be followed: {error}"),
        }
        shared.env.clock.sleep(PAUSE).await;
    }
}

async fn drain(shared: &Shared, events: &mut dyn Events) {
    shared.wanted.notify_one();
    // Which pod changed does not matter: one look shows all that changed since the last.
    while let Some(Event::Pod(_) | Event::Lagged) = events.next().await {
        shared.wanted.notify_one();
    }
}

async fn look_when_asked(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.wanted.notified() => {}
            () = shared.env.clock.sleep(NOW_AND_THEN) => {}
        }
        let asked = std::mem::take(&mut *shared.asked.lock().unwrap_or_else(PoisonError::into_inner));
        while let Err(error) = look(&shared).await {
            tracing::warn!("the runtime does not say what it has: {error}");
            shared.env.clock.sleep(PAUSE).await;
        }
        for sender in asked {
            // Whoever asked may have gone.
            let _ = sender.send(());
        }
    }
}

async fn look(shared: &Shared) -> cri::Result<()> {
    // Containers first: a sandbox that is made between the calls is then seen without its containers, never
    // containers without their sandbox.
    let containers = shared.runtime.list_containers().await?;
    let sandboxes = shared.runtime.list_sandboxes().await?;
    let mut found: BTreeMap<String, (PodId, Vec<Sandbox>, Vec<Container>)> = BTreeMap::new();
    for sandbox in sandboxes {
        let entry = found.entry(sandbox.pod.uid.clone()).or_default();
        entry.0 = sandbox.pod.clone();
        entry.1.push(sandbox);
    }
    for container in containers {
        let entry = found.entry(container.pod.uid.clone()).or_default();
        entry.0 = container.pod.clone();
        entry.2.push(container);
    }
    let mut changed = Vec::new();
    {
        let mut pods = shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|uid, _| {
            let there = found.contains_key(uid);
            if !there {
                changed.push(uid.clone());
            }
            there
        });
        for (uid, (id, sandboxes, containers)) in found {
            let observed = Observed::new(sandboxes, containers);
            let same = pods.get(&uid).is_some_and(|pod| *pod.observed == observed);
            if !same {
                pods.insert(uid.clone(), Pod { id, observed: Arc::new(observed) });
                changed.push(uid);
            }
        }
    }
    for uid in changed {
        shared.bells.ring(&uid);
    }
    Ok(())
}
