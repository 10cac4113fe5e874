//! ConfigMaps and Secrets that pods on this node refer to, each watched for as long as somebody does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use client::{Cache, Key, SharedTransport, resources};
use env::{Env, Tasks};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use machinery::{Object, Status};

use crate::bell::Bells;
use crate::environment::{Data, SourceKind};

/// How long the first answer about an object is waited for.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

type Name = (SourceKind, String, String);

/// What is watched. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: SharedTransport,
    env: Env,
    bells: Bells,
    watched: Mutex<BTreeMap<Name, Watched>>,
}

#[derive(Debug)]
struct Watched {
    cache: Cache,
    /// A group of its own, so that the watch can be ended.
    tasks: Tasks,
    /// Pods that refer to it.
    users: BTreeSet<String>,
}

impl Sources {
    /// Watches nothing yet. `bells` are rung when something changes.
    pub fn new(transport: SharedTransport, env: Env, bells: Bells) -> Sources {
        let shared = Shared { transport, env, bells, watched: Mutex::default() };
        Sources { shared: Arc::new(shared) }
    }

    /// The pod refers to these objects, and to no others.
    pub fn set(&self, uid: &str, namespace: &str, wanted: &BTreeSet<(SourceKind, String)>) {
        let mut ended = Vec::new();
        let mut watched = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, name) in wanted {
            let key = (*kind, namespace.to_owned(), name.clone());
            let entry = watched.entry(key.clone()).or_insert_with(|| self.watch(key));
            entry.users.insert(uid.to_owned());
        }
        watched.retain(|(kind, _, name), entry| {
            if !wanted.contains(&(*kind, name.clone())) {
                entry.users.remove(uid);
            }
            let used = !entry.users.is_empty();
            if !used {
                ended.push(entry.tasks.clone());
            }
            used
        });
        drop(watched);
        for tasks in ended {
            self.shared.env.tasks.spawn("end of a watch", async move { tasks.stop(FIRST_ANSWER).await });
        }
    }

    fn watch(&self, name: Name) -> Watched {
        let tasks = Tasks::new();
        let env = Env { tasks: tasks.clone(), ..self.shared.env.child(&name.2) };
        let resource = match name.0 {
            SourceKind::ConfigMap => resources::CONFIG_MAPS,
            SourceKind::Secret => resources::SECRETS,
        };
        let cache: Cache = Cache::of(resource)
            .namespace(&name.1)
            .fields(&format!("metadata.name={}", name.2))
            .start(self.shared.transport.clone(), &env);
        let weak = Arc::downgrade(&self.shared);
        cache.subscribe(move |_| Shared::ring(&weak, &name));
        Watched { cache, tasks, users: BTreeSet::new() }
    }

    /// The data of an object that was announced with [`Sources::set`]; `None` if it does not exist.
    pub async fn data(&self, kind: SourceKind, namespace: &str, name: &str) -> Result<Option<Data>, Status> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let cache = {
            let watched = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.get(&key).map(|entry| entry.cache.clone())
        };
        let Some(cache) = cache else {
            return Err(Status::internal(format!("{} {namespace}/{name} is not watched", kind.word())));
        };
        if self.shared.env.clock.timeout(FIRST_ANSWER, cache.synced()).await.is_none() {
            let text = format!("failed to sync {} cache: timed out waiting for the condition", kind.word());
            return Err(Status::internal(text));
        }
        match cache.get(&Key::new(namespace, name)) {
            Some(entry) => data(kind, &entry.object).map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let watched = self.watched.get_mut().unwrap_or_else(PoisonError::into_inner);
        for tasks in watched.values().map(|entry| entry.tasks.clone()) {
            self.env.tasks.spawn("end of a watch", async move { tasks.stop(FIRST_ANSWER).await });
        }
    }
}

impl Shared {
    fn ring(shared: &Weak<Shared>, name: &Name) {
        let Some(shared) = shared.upgrade() else { return };
        let users: Vec<String> = {
            let watched = shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.get(name).map(|entry| entry.users.iter().cloned().collect()).unwrap_or_default()
        };
        for uid in users {
            shared.bells.content_changed(&uid);
        }
    }
}

/// The data of a ConfigMap or Secret.
pub(crate) fn data(kind: SourceKind, object: &Object) -> Result<Data, Status> {
    let mut data = Data::new();
    match kind {
        SourceKind::ConfigMap => {
            let map = object.view::<ConfigMap>()?;
            data.extend(
                map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes())),
            );
            data.extend(map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())));
        }
        SourceKind::Secret => {
            let secret = object.view::<Secret>()?;
            data.extend(secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())));
        }
    }
    Ok(data)
}
