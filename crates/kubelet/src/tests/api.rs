//! An API server of one node's size: objects, patches, graceful deletion, watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use client::transport::BoxFuture;
use client::{Call, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write};
use env::Env;
use machinery::status::GroupName;
use machinery::{Object, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Key = (String, String, String);

#[derive(Debug)]
struct Watcher {
    plural: String,
    call: Call,
    sender: mpsc::UnboundedSender<WatchEvent>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    objects: BTreeMap<Key, Value>,
    watchers: Vec<Watcher>,
    writes: Vec<String>,
    tokens: u64,
    /// What reviews of access are answered.
    allowed: bool,
    /// Events as they were first written: under virtual time several may have one name.
    events: Vec<String>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct FakeApi {
    env: Env,
    state: Mutex<State>,
}

fn matches(call: &Call, object: &Value) -> bool {
    let text = |path: &str| {
        path.split('.').fold(object, |node, name| &node[name]).as_str().unwrap_or_default().to_owned()
    };
    (call.namespace.is_empty() || text("metadata.namespace") == call.namespace)
        && call
            .fields
            .split(',')
            .filter(|field| !field.is_empty())
            .all(|field| field.split_once('=').is_some_and(|(path, value)| text(path) == value))
}

impl FakeApi {
    pub fn new(env: Env) -> Arc<FakeApi> {
        Arc::new(FakeApi { env, state: Mutex::new(State { revision: 10, ..State::default() }) })
    }

    /// What reviews of access are answered from now on.
    pub fn set_allowed(&self, allowed: bool) {
        self.state.lock().unwrap().allowed = allowed;
    }

    pub fn create_pod(&self, name: &str, spec: Value) {
        let uid = self.env.entropy.uuid();
        let created = client::time::seconds(self.env.clock.now());
        self.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1,
                             "creationTimestamp": created},
                "spec": spec,
                "status": {"phase": "Pending", "qosClass": "BestEffort", "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                     "lastTransitionTime": created}]},
            }),
        );
    }

    /// Stores an object and tells the watchers.
    pub fn put(&self, plural: &str, mut object: Value) -> Value {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), text("namespace"), text("name"));
        let old = state.objects.insert(key, object.clone());
        let event = Object::from_json(object.to_string().as_bytes()).unwrap();
        state.watchers.retain(|watcher| {
            if watcher.plural != plural || !matches(&watcher.call, &object) {
                return !watcher.sender.is_closed();
            }
            let event = if old.is_some() {
                WatchEvent::Modified(event.clone())
            } else {
                WatchEvent::Added(event.clone())
            };
            watcher.sender.send(event).is_ok()
        });
        object
    }

    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&key).cloned()
    }

    /// Changes an object in place.
    pub fn change(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(plural, "default", name).or_else(|| self.get(plural, "", name)).unwrap();
        change(&mut object);
        self.put(plural, object);
    }

    /// Asks for the pod's deletion, as a client does.
    pub fn delete_pod(&self, name: &str, grace: i64) {
        if grace == 0 {
            self.remove("pods", "default", name);
            return;
        }
        let at =
            client::time::seconds(self.env.clock.now().plus(std::time::Duration::from_secs(grace as u64)));
        self.change("pods", name, |pod| {
            pod["metadata"]["deletionTimestamp"] = json!(at);
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            pod["metadata"]["generation"] = json!(pod["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        });
    }

    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let mut state = self.state.lock().unwrap();
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let Some(mut object) = state.objects.remove(&key) else { return };
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let event = Object::from_json(object.to_string().as_bytes()).unwrap();
        state.watchers.retain(|watcher| {
            watcher.plural != plural
                || !matches(&watcher.call, &object)
                || watcher.sender.send(WatchEvent::Deleted(event.clone())).is_ok()
        });
    }

    /// Types, reasons and messages of all events, in the order they were first written.
    pub fn events(&self) -> Vec<String> {
        self.state.lock().unwrap().events.clone()
    }

    /// What was written, in order: `<verb> <plural>[/<subresource>] <name>`.
    pub fn writes(&self) -> Vec<String> {
        self.state.lock().unwrap().writes.clone()
    }

    fn write_now(&self, resource: Resource, call: &Call, write: &Write) -> Result<Object, Status> {
        let plural = resource.plural;
        let verb = match write {
            Write::Create(_) => "create",
            Write::Delete(_) => "delete",
            Write::Update(_) => "update",
            _ => "patch",
        };
        let part = if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
        self.state.lock().unwrap().writes.push(format!("{verb} {plural}{part} {}", call.name));
        let not_found = || Status::not_found(GroupName { group: resource.group, name: plural }, &call.name);
        if call.subresource == "token" {
            let mut state = self.state.lock().unwrap();
            state.tokens += 1;
            let Write::Create(body) = write else { return Err(Status::bad_request("no")) };
            let mut request: Value = serde_json::from_slice(body).unwrap();
            let life = request["spec"]["expirationSeconds"].as_u64().unwrap_or(3_600);
            let expires = self.env.clock.now().plus(std::time::Duration::from_secs(life));
            request["status"] = json!({
                "token": format!("token-{}-{}", state.tokens, request["spec"]["audiences"][0].as_str().unwrap_or("api")),
                "expirationTimestamp": client::time::seconds(expires),
            });
            request["metadata"] =
                json!({"name": call.name, "namespace": call.namespace, "resourceVersion": "0"});
            request["apiVersion"] = json!("authentication.k8s.io/v1");
            request["kind"] = json!("TokenRequest");
            return Object::from_json(request.to_string().as_bytes());
        }
        if plural == "subjectaccessreviews" {
            let Write::Create(body) = write else { return Err(Status::bad_request("no")) };
            let mut review: Value = serde_json::from_slice(body).unwrap();
            review["status"] = json!({"allowed": self.state.lock().unwrap().allowed});
            review["metadata"] = json!({"name": "review", "resourceVersion": "0"});
            return Object::from_json(review.to_string().as_bytes());
        }
        if plural == "tokenreviews" {
            let Write::Create(body) = write else { return Err(Status::bad_request("no")) };
            let mut review: Value = serde_json::from_slice(body).unwrap();
            let name = review["spec"]["token"].as_str().and_then(|token| token.strip_prefix("token of "));
            let user = name.map(|name| json!({"username": name, "groups": ["some"], "extra": {"a": ["b"]}}));
            review["status"] = json!({"authenticated": user.is_some(), "user": user});
            review["metadata"] = json!({"name": "review", "resourceVersion": "0"});
            self.state.lock().unwrap().writes.push("review of a token".to_owned());
            return Object::from_json(review.to_string().as_bytes());
        }
        let object = match write {
            Write::Create(body) | Write::Update(body) => {
                let mut object: Value = serde_json::from_slice(body).unwrap();
                let generated = object["metadata"]["generateName"]
                    .as_str()
                    .map(|name| format!("{name}{}", self.env.entropy.name_suffix(5)));
                if let Some(name) = generated {
                    object["metadata"]["name"] = json!(name);
                }
                if !call.namespace.is_empty() {
                    object["metadata"]["namespace"] = json!(call.namespace);
                }
                if plural == "events" {
                    let text = |name: &str| object[name].as_str().unwrap_or_default();
                    let line = format!("{} {}: {}", text("type"), text("reason"), text("message"));
                    self.state.lock().unwrap().events.push(line);
                }
                if object["metadata"]["uid"].is_null() {
                    object["metadata"]["uid"] = json!(self.env.entropy.uuid());
                }
                object
            }
            Write::MergePatch(body) | Write::StrategicPatch(body) => {
                let mut object = self.get(plural, &call.namespace, &call.name).ok_or_else(not_found)?;
                let patch: Value = serde_json::from_slice(body).unwrap();
                if patch["metadata"]["uid"].is_string()
                    && patch["metadata"]["uid"] != object["metadata"]["uid"]
                {
                    return Err(Status::new(409, machinery::Reason::Conflict, "another uid"));
                }
                merge(&mut object, &patch, matches!(write, Write::StrategicPatch(_)));
                object
            }
            Write::Delete(how) => {
                let object = self.get(plural, &call.namespace, &call.name).ok_or_else(not_found)?;
                if !how.uid.is_empty() && object["metadata"]["uid"] != how.uid.as_str() {
                    return Err(Status::new(409, machinery::Reason::Conflict, "another uid"));
                }
                self.remove(plural, &call.namespace, &call.name);
                return Object::from_json(object.to_string().as_bytes());
            }
            other => return Err(Status::bad_request(format!("not known here: {other:?}"))),
        };
        let stored = self.put(plural, object);
        Object::from_json(stored.to_string().as_bytes())
    }
}

fn merge_key(name: &str) -> Option<&'static str> {
    match name {
        "conditions" | "addresses" => Some("type"),
        "podIPs" | "hostIPs" => Some("ip"),
        _ => None,
    }
}

fn merge(target: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with("$setElementOrder")) {
        match (change, merge_key(name).filter(|_| strategic)) {
            (Value::Null, _) => {
                target.as_object_mut().unwrap().remove(name);
            }
            (Value::Array(items), Some(key)) => merge_list(&mut target[name], items, key),
            _ => merge(&mut target[name], change, strategic),
        }
    }
    for (name, order) in
        changes.iter().filter_map(|(name, order)| Some((name.strip_prefix("$setElementOrder/")?, order)))
    {
        let order: Vec<&Value> = order.as_array().unwrap().iter().map(|item| &item["type"]).collect();
        if let Some(list) = target[name].as_array_mut() {
            list.sort_by_key(|item| {
                order.iter().position(|kind| **kind == item["type"]).unwrap_or(usize::MAX)
            });
        }
    }
}

fn merge_list(target: &mut Value, items: &[Value], key: &str) {
    let replace = items.iter().any(|item| item["$patch"] == "replace");
    if replace || !target.is_array() {
        *target = json!([]);
    }
    let list = target.as_array_mut().unwrap();
    for item in items.iter().filter(|item| item["$patch"] != "replace") {
        if item["$patch"] == "delete" {
            list.retain(|there| there[key] != item[key]);
            continue;
        }
        match list.iter_mut().find(|there| there[key] == item[key]) {
            Some(there) => merge(there, item, true),
            None => list.push(item.clone()),
        }
    }
}

struct Stream(mpsc::UnboundedReceiver<WatchEvent>);

impl WatchStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(async move { Ok(self.0.recv().await) })
    }
}

impl Transport for FakeApi {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(async move {
            let found = FakeApi::get(self, resource.plural, &call.namespace, &call.name);
            let found = found.ok_or_else(|| {
                Status::not_found(GroupName { group: resource.group, name: resource.plural }, &call.name)
            })?;
            Object::from_json(found.to_string().as_bytes())
        })
    }

    fn list(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let items = state
                .objects
                .iter()
                .filter(|((plural, _, _), object)| plural == resource.plural && matches(&call, object));
            let items = items
                .map(|(_, object)| Object::from_json(object.to_string().as_bytes()))
                .collect::<Result<_, _>>()?;
            Ok(ListAnswer { items, revision: state.revision })
        })
    }

    fn watch(
        &self,
        resource: Resource,
        call: Call,
        _revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        Box::pin(async move {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut state = self.state.lock().unwrap();
            state.watchers.push(Watcher { plural: resource.plural.to_owned(), call, sender });
            Ok(Box::new(Stream(receiver)) as Box<dyn WatchStream>)
        })
    }

    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(async move { self.write_now(resource, &call, &write) })
    }
}
