//! An API made of a list of objects, enough for caches: list and watch.

use std::collections::BTreeMap;
use std::sync::Mutex;

use client::transport::BoxFuture;
use client::{Call, Key, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write};
use machinery::{Object, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    objects: BTreeMap<(String, Key), Object>,
    watchers: Vec<(String, mpsc::UnboundedSender<WatchEvent>)>,
}

/// The API.
#[derive(Debug, Default)]
pub struct Api {
    inner: Mutex<Inner>,
}

impl Api {
    /// Creates or replaces an object, given as JSON without its revision.
    pub fn put(&self, plural: &str, mut object: Value) {
        let mut inner = self.inner.lock().unwrap();
        inner.revision += 1;
        object["metadata"]["resourceVersion"] = json!(inner.revision.to_string());
        let object = object_of(&object);
        let key = (plural.to_owned(), Key::of(&object));
        let event = match inner.objects.insert(key, object.clone()) {
            None => WatchEvent::Added(object),
            Some(_) => WatchEvent::Modified(object),
        };
        inner.tell(plural, event);
    }

    /// Removes an object.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.revision += 1;
        let mut gone: Value = {
            let object = inner.objects.remove(&(plural.to_owned(), Key::new(namespace, name))).unwrap();
            serde_json::from_slice(object.body()).unwrap()
        };
        gone["metadata"]["resourceVersion"] = json!(inner.revision.to_string());
        let object = object_of(&gone);
        inner.tell(plural, WatchEvent::Deleted(object));
    }

    /// Pods that nobody has to wait for: the API knows them.
    pub fn pods(&self, names: &[&str]) {
        for name in names {
            let metadata = json!({"name": name, "namespace": "default", "uid": format!("uid-{name}")});
            self.put("pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}));
        }
    }

    /// A Service from its spec.
    pub fn service(&self, name: &str, spec: Value) {
        let metadata = json!({"name": name, "namespace": "default", "uid": name});
        self.put(
            "services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}),
        );
    }

    /// A Service's endpoints: addresses with the node they are on, and the port with its protocol.
    pub fn endpoints(&self, service: &str, addresses: &[(std::net::IpAddr, &str)], port: (&str, &str, u16)) {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|(address, node)| {
                json!({"addresses": [address.to_string()], "conditions": {"ready": true}, "nodeName": node})
            })
            .collect();
        let family =
            if addresses.first().is_some_and(|(address, _)| address.is_ipv6()) { "IPv6" } else { "IPv4" };
        let (port_name, protocol, number) = port;
        self.put(
            "endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{service}-{}", family.to_lowercase()),
                    "namespace": "default",
                    "uid": format!("{service}-slice"),
                    "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": [{"name": port_name, "protocol": protocol, "port": number}],
            }),
        );
    }
}

fn object_of(json: &Value) -> Object {
    Object::from_json(&serde_json::to_vec(json).unwrap()).unwrap()
}

impl Inner {
    fn tell(&mut self, plural: &str, event: WatchEvent) {
        self.watchers.retain(|(watched, watcher)| watched != plural || watcher.send(event.clone()).is_ok());
    }
}

struct Stream(mpsc::UnboundedReceiver<WatchEvent>);

impl WatchStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(async { Ok(self.0.recv().await) })
    }
}

impl Transport for Api {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        let key = (resource.plural.to_owned(), Key::new(&call.namespace, &call.name));
        let found = self.inner.lock().unwrap().objects.get(&key).cloned();
        Box::pin(async move { found.ok_or_else(|| Status::internal("not found")) })
    }

    fn list(&self, resource: Resource, _call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        let inner = self.inner.lock().unwrap();
        let wanted = inner.objects.iter().filter(|((plural, _), _)| plural == resource.plural);
        let items = wanted.map(|(_, object)| object.clone()).collect();
        let answer = ListAnswer { items, revision: inner.revision };
        Box::pin(async move { Ok(answer) })
    }

    fn watch(
        &self,
        resource: Resource,
        _call: Call,
        revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.inner.lock().unwrap();
        // What came between the list and the watch; removals in between do not occur in these tests.
        for ((plural, _), object) in &inner.objects {
            if plural == resource.plural && object.header().revision > revision {
                sender.send(WatchEvent::Modified(object.clone())).unwrap();
            }
        }
        inner.watchers.push((resource.plural.to_owned(), sender));
        Box::pin(async move { Ok(Box::new(Stream(receiver)) as Box<dyn WatchStream>) })
    }

    fn write(&self, _: Resource, _: Call, _: Write) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(async { Err(Status::internal("this API cannot be written to")) })
    }
}
