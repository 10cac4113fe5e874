//! ConfigMaps and Secrets that pods on this node refer to, each watched for as long as somebody does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
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
    users: Users,
}

/// Pods that refer to an object. Under a lock of its own: the cache tells of changes from any thread, also while another
/// one begins a watch and so holds [`Shared::watched`]; who has this lock takes no other.
#[derive(Clone, Debug, Default)]
struct Users {
    uids: Arc<Mutex<BTreeSet<String>>>,
}

impl Users {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        work(&mut self.uids.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
            entry.users.with(|users| users.insert(uid.to_owned()));
        }
        watched.retain(|(kind, _, name), entry| {
            let used = entry.users.with(|users| {
                if !wanted.contains(&(*kind, name.clone())) {
                    users.remove(uid);
                }
                !users.is_empty()
            });
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
        let (users, bells) = (Users::default(), self.shared.bells.clone());
        let told = users.clone();
        cache.subscribe(move |_| {
            for uid in told.with(|users| users.clone()) {
                bells.content_changed(&uid);
            }
        });
        Watched { cache, tasks, users }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::*;
    use crate::tests::FakeApi;

    const MAPS: usize = 1_500;
    const THREADS: usize = 8;

    /// An answer may be in, on another thread, before it is said who wants to hear of it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn an_answer_that_comes_at_once_holds_nobody_up() {
        let env = Env::real();
        let api = FakeApi::new(env.clone());
        let sources = Sources::new(api.clone(), env.clone(), Bells::default());
        for number in 0..MAPS {
            let metadata =
                json!({"name": format!("m{number}"), "namespace": "default", "uid": number.to_string()});
            api.put("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        }
        let (done, all_set) = mpsc::channel();
        for thread in 0..THREADS {
            // Threads of the test's own, so that those that wait for each other are found out.
            let (sources, done, runtime) = (sources.clone(), done.clone(), tokio::runtime::Handle::current());
            std::thread::spawn(move || {
                let _inside = runtime.enter();
                for number in (thread..MAPS).step_by(THREADS) {
                    let wanted = BTreeSet::from([(SourceKind::ConfigMap, format!("m{number}"))]);
                    sources.set(&format!("pod-{number}"), "default", &wanted);
                }
                done.send(()).unwrap();
            });
        }
        let waited = tokio::task::spawn_blocking(move || {
            (0..THREADS).try_for_each(|_| all_set.recv_timeout(Duration::from_secs(60)))
        });
        assert_eq!(waited.await.unwrap(), Ok(()), "a lock is never given back");
        env.tasks.stop(Duration::from_secs(10)).await;
    }
}
