//! An API in memory for the tests of this crate: real enough to list, watch and write, and to fail when told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use machinery::status::GroupName;
use machinery::{Object, Reason, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Key;
use crate::transport::{BoxFuture, Call, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write};

#[derive(Debug, Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(Resource, Key), Object>,
    watchers: Vec<(Resource, mpsc::UnboundedSender<Result<WatchEvent, Status>>)>,
    failures: VecDeque<Status>,
    lists: usize,
    writes: usize,
    /// Events that are kept back until they are released.
    held: Option<Vec<(Resource, WatchEvent)>>,
}

/// An API in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
}

struct Events {
    receiver: mpsc::UnboundedReceiver<Result<WatchEvent, Status>>,
}

impl WatchStream for Events {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(async move { self.receiver.recv().await.transpose() })
    }
}

impl FakeApi {
    pub(crate) fn fail_next(&self, status: Status) {
        self.state.lock().unwrap().failures.push_back(status);
    }

    pub(crate) fn lists(&self) -> usize {
        self.state.lock().unwrap().lists
    }

    pub(crate) fn writes(&self) -> usize {
        self.state.lock().unwrap().writes
    }

    pub(crate) fn revision(&self) -> u64 {
        self.state.lock().unwrap().revision
    }

    /// Ends all watches: with a failure, or in good order.
    pub(crate) fn end_watches(&self, failure: Option<Status>) {
        for (_, watcher) in self.state.lock().unwrap().watchers.drain(..) {
            if let Some(failure) = &failure {
                let _ = watcher.send(Err(failure.clone()));
            }
        }
    }

    /// From now on nobody hears of changes.
    pub(crate) fn hold_events(&self) {
        self.state.lock().unwrap().held = Some(Vec::new());
    }

    /// Tells all that was held back.
    pub(crate) fn release_events(&self) {
        let state = &mut *self.state.lock().unwrap();
        for (resource, event) in state.held.take().unwrap_or_default() {
            state.tell(resource, event);
        }
    }

    pub(crate) fn put(&self, resource: Resource, document: Value) -> Object {
        self.state.lock().unwrap().put(resource, document)
    }

    pub(crate) fn remove(&self, resource: Resource, key: &Key) -> Option<Object> {
        self.state.lock().unwrap().remove(resource, key)
    }
}

/// A pod of a name.
pub(crate) fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop", "uid": name } })
}

fn object(document: &Value) -> Object {
    Object::from_json(&serde_json::to_vec(document).unwrap()).unwrap()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        merge(&mut target[name.as_str()], value);
    }
}

impl State {
    fn tell(&mut self, resource: Resource, event: WatchEvent) {
        match &mut self.held {
            Some(held) => held.push((resource, event)),
            None => self
                .watchers
                .retain(|(watched, watcher)| *watched != resource || watcher.send(Ok(event.clone())).is_ok()),
        }
    }

    fn put(&mut self, resource: Resource, mut document: Value) -> Object {
        self.revision += 1;
        document["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let object = object(&document);
        let known = self.objects.insert((resource, Key::of(&object)), object.clone());
        let event = if known.is_some() { WatchEvent::Modified } else { WatchEvent::Added };
        self.tell(resource, event(object.clone()));
        object
    }

    fn remove(&mut self, resource: Resource, key: &Key) -> Option<Object> {
        let object = self.objects.remove(&(resource, key.clone()))?;
        self.revision += 1;
        let mut document: Value = serde_json::from_slice(object.body()).unwrap();
        document["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let last = self::object(&document);
        self.tell(resource, WatchEvent::Deleted(last.clone()));
        Some(last)
    }

    fn write(&mut self, resource: Resource, call: &Call, write: &Write) -> Result<Object, Status> {
        self.writes += 1;
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        let key = Key::new(&call.namespace, &call.name);
        let subject = GroupName { group: resource.group, name: resource.plural };
        let missing = || Status::not_found(subject, &call.name);
        match write {
            Write::Create(body) => {
                let document: Value = serde_json::from_slice(body).unwrap();
                let name = document["metadata"]["name"].as_str().unwrap();
                if self.objects.contains_key(&(resource, Key::new(&call.namespace, name))) {
                    return Err(Status::already_exists(subject, name));
                }
                Ok(self.put(resource, document))
            }
            Write::Delete(_) => self.remove(resource, &key).ok_or_else(missing),
            Write::MergePatch(body) => {
                let patch: Value = serde_json::from_slice(body).unwrap();
                let known = self.objects.get(&(resource, key)).ok_or_else(missing)?;
                let wanted = &patch["metadata"]["resourceVersion"];
                if wanted.is_string() && *wanted != json!(known.header().revision.to_string()) {
                    return Err(Status::conflict(subject, &call.name, "it changed"));
                }
                let mut document: Value = serde_json::from_slice(known.body()).unwrap();
                merge(&mut document, &patch);
                Ok(self.put(resource, document))
            }
            other => panic!("{other:?} is not pretended"),
        }
    }
}

impl Transport for FakeApi {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        let key = (resource, Key::new(&call.namespace, &call.name));
        let found = self.state.lock().unwrap().objects.get(&key).cloned();
        let subject = GroupName { group: resource.group, name: resource.plural };
        Box::pin(async move { found.ok_or_else(|| Status::not_found(subject, &call.name)) })
    }

    fn list(&self, resource: Resource, _call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        let state = &mut *self.state.lock().unwrap();
        state.lists += 1;
        let answer = match state.failures.pop_front() {
            Some(failure) => Err(failure),
            None => {
                let items = state.objects.iter().filter(|((of, _), _)| *of == resource);
                Ok(ListAnswer {
                    items: items.map(|(_, object)| object.clone()).collect(),
                    revision: state.revision,
                })
            }
        };
        Box::pin(async move { answer })
    }

    fn watch(
        &self,
        resource: Resource,
        _call: Call,
        _revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().watchers.push((resource, sender));
        Box::pin(async move { Ok(Box::new(Events { receiver }) as Box<dyn WatchStream>) })
    }

    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>> {
        let answer = self.state.lock().unwrap().write(resource, &call, &write);
        Box::pin(async move { answer })
    }
}

/// 410.
pub(crate) fn forgotten() -> Status {
    Status::new(410, Reason::Expired, "too old")
}

/// The way to the API for somebody.
pub(crate) fn shared(api: &FakeApi) -> crate::SharedTransport {
    Arc::new(api.clone())
}
