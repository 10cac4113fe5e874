//! A world that plans are carried out in: a few objects, a server that knows the rules that matter, and nodes that run
//! pods at once. A plan can be cut off after any number of writes, as a crash does it.

use std::collections::BTreeMap;

use client::plan::{Op, Plan, Step};
use client::{Key, Resource, Write, resources};
use machinery::Object;
use serde_json::{Value, json};

use super::fixtures::{NOW, ago, body, merge, object, pod};
use crate::pod::Pod;

/// The objects there are.
#[derive(Clone, Debug, Default)]
pub struct World {
    objects: BTreeMap<(&'static str, Key), Value>,
    serial: u64,
    /// What was written, in short.
    pub log: Vec<String>,
}

impl World {
    /// Adds an object as it is.
    pub fn put(&mut self, resource: Resource, mut document: Value) {
        self.serial += 1;
        let metadata = &mut document["metadata"];
        metadata["resourceVersion"] = json!(self.serial.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.serial));
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!(ago(10_000 - self.serial as i64));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = Key::new(&text(&metadata["namespace"]), &text(&metadata["name"]));
        self.objects.insert((resource.plural, key), document);
    }

    /// One object.
    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(resource.plural, Key::new(namespace, name)))
    }

    /// One object, to be changed.
    pub fn edit(&mut self, resource: Resource, namespace: &str, name: &str, patch: Value) {
        let key = (resource.plural, Key::new(namespace, name));
        let mut document = self.objects.get(&key).expect("what is edited is there").clone();
        merge(&mut document, patch);
        self.put(resource, document);
    }

    /// Removes an object at once.
    pub fn remove(&mut self, resource: Resource, namespace: &str, name: &str) {
        self.objects.remove(&(resource.plural, Key::new(namespace, name)));
    }

    /// All objects of a resource.
    pub fn list(&self, resource: Resource) -> Vec<&Value> {
        self.objects.iter().filter(|((plural, _), _)| *plural == resource.plural).map(|(_, o)| o).collect()
    }

    /// All objects of a resource, as the cache would hold them.
    pub fn objects(&self, resource: Resource) -> Vec<Object> {
        self.list(resource).into_iter().map(object).collect()
    }

    /// All pods, as the cache would hold them.
    pub fn pods(&self) -> Vec<Pod> {
        self.list(resources::PODS).into_iter().map(pod).collect()
    }

    /// The names of a resource's objects.
    pub fn names(&self, resource: Resource) -> Vec<String> {
        self.list(resource).iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Carries out the first `limit` writes of a plan; the status is written only if nothing was cut off and nothing
    /// failed. Answers with how many writes were done.
    pub fn carry_out(&mut self, plan: &Plan, limit: usize) -> usize {
        let mut done = 0;
        for step in &plan.steps {
            let ops: &[Op] = match step {
                Step::Confirm { .. } => &[],
                Step::Do(op) => std::slice::from_ref(&**op),
                Step::Together(ops) => ops,
            };
            for op in ops {
                if done == limit {
                    return done;
                }
                done += 1;
                if !self.write(op) {
                    return done;
                }
            }
        }
        if let Some(status) = plan.status.as_ref().filter(|_| done < limit) {
            self.write(status);
            done += 1;
        }
        done
    }

    /// One write. `false` if the server refuses it.
    fn write(&mut self, op: &Op) -> bool {
        self.log.push(op.to_string());
        let key = (op.resource.plural, Key::new(&op.call.namespace, &op.call.name));
        match &op.write {
            Write::Create(_) => self.create(op),
            Write::Delete(how) => {
                let Some(document) = self.objects.get_mut(&key) else { return true };
                if !how.uid.is_empty() && document["metadata"]["uid"] != how.uid.as_str() {
                    return false;
                }
                // A pod ends in its own time.
                if op.resource == resources::PODS {
                    document["metadata"]["deletionTimestamp"] = json!(ago(0));
                } else {
                    self.objects.remove(&key);
                }
                true
            }
            Write::Update(_) => {
                let Some(mut document) = self.objects.get(&key).cloned() else { return false };
                let new = body(op);
                if new["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"] {
                    return false;
                }
                let part = if op.call.subresource == "status" { "status" } else { "spec" };
                document[part] = new[part].clone();
                self.put(op.resource, document);
                true
            }
            _ => self.patch(op, &key),
        }
    }

    fn create(&mut self, op: &Op) -> bool {
        let mut document = body(op);
        if document["metadata"]["name"].is_null() {
            let prefix = document["metadata"]["generateName"].as_str().unwrap().to_owned();
            document["metadata"]["name"] = json!(format!("{prefix}{:05}", self.serial));
        }
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        if self.get(op.resource, &op.call.namespace, &name).is_some() {
            return op.tolerated.contains(&409);
        }
        document["metadata"]["namespace"] = json!(op.call.namespace);
        if op.resource == resources::PODS {
            document["status"] = json!({ "phase": "Pending" });
            document["metadata"]["creationTimestamp"] = json!(ago(0));
        }
        self.put(op.resource, document);
        true
    }

    fn patch(&mut self, op: &Op, key: &(&'static str, Key)) -> bool {
        let Some(mut document) = self.objects.get(key).cloned() else { return op.tolerated.contains(&404) };
        let mut patch = body(op);
        for precondition in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][precondition];
            if !wanted.is_null() && *wanted != document["metadata"][precondition] {
                return false;
            }
        }
        // Lists of owners are merged by identity in strategic patches, and replaced in others.
        let owners =
            patch["metadata"].as_object_mut().and_then(|metadata| metadata.remove("ownerReferences"));
        if let Some(Value::Array(owners)) = owners {
            let mut all = match &op.write {
                Write::StrategicPatch(_) => {
                    document["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default()
                }
                _ => Vec::new(),
            };
            for owner in owners {
                all.retain(|old| old["uid"] != owner["uid"]);
                if owner["$patch"] != "delete" {
                    all.push(owner);
                }
            }
            document["metadata"]["ownerReferences"] = json!(all);
        }
        merge(&mut document, patch);
        self.put(op.resource, document);
        true
    }

    /// What nodes do: pods that are to end are gone, and others run.
    pub fn run_pods(&mut self) {
        self.end_pods();
        self.start_pods(|_| true);
    }

    /// Pods that are to end are gone.
    pub fn end_pods(&mut self) {
        self.objects.retain(|(plural, _), document| {
            *plural != resources::PODS.plural || document["metadata"]["deletionTimestamp"].is_null()
        });
    }

    /// The pods of which `starts` says so run and are ready.
    pub fn start_pods(&mut self, starts: impl Fn(&Value) -> bool) {
        let pending: Vec<Value> = self
            .list(resources::PODS)
            .into_iter()
            .filter(|pod| pod["status"]["phase"] == "Pending" && starts(pod))
            .cloned()
            .collect();
        for mut pod in pending {
            pod["status"] = json!({
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True",
                    "lastTransitionTime": client::time::seconds(NOW) }],
            });
            self.put(resources::PODS, pod);
        }
    }
}
