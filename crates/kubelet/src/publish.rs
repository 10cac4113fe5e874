//! Writes pods' status to the API: only what changed, one write per pod at a time, the newest wins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Call, Client, Write, resources};
use env::Env;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use machinery::{Object, Status};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::bell::Bells;
use crate::status::OWN_CONDITIONS;

/// How many writes are under way at once: enough to keep an API server busy, too few to flood it.
const AT_ONCE: usize = 16;
/// The pause after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be written. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    env: Env,
    bells: Bells,
    slots: Mutex<BTreeMap<String, Slot>>,
    wanted: Notify,
}

#[derive(Debug)]
struct Slot {
    /// The newest the API is known to have.
    base: Object,
    /// What it is to have.
    desired: Arc<PodStatus>,
    /// What was written last, and the revision that made: what the server left out of it is not written again. `None` if
    /// more is missing than that.
    written: Option<(Arc<PodStatus>, u64)>,
    due: bool,
    writing: bool,
    /// The API no longer has the pod.
    gone: bool,
}

impl Slot {
    fn is_settled(&self) -> bool {
        let revision = self.base.header().revision;
        self.written.as_ref().is_some_and(|(status, at)| *at == revision && *status == self.desired)
    }

    fn lacks_something(&self) -> bool {
        !self.is_settled() && patch(&self.base, &self.desired).is_some()
    }

    /// Our write was answered. What others changed before it came, and it did not touch, is not what the server left out.
    fn answered(&mut self, newer: Object, writing: Writing) {
        let missing = patch(&newer, &writing.status);
        let is_left_out = missing.is_none_or(|missing| is_part(&missing, &writing.patch));
        self.written = is_left_out.then(|| (writing.status, newer.header().revision));
        if newer.header().revision > self.base.header().revision {
            self.base = newer;
        }
        self.due = self.lacks_something();
    }
}

/// Whether all of a patch is also in another one.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => part.iter().all(|item| whole.contains(item)),
        _ => part == whole,
    }
}

impl Publisher {
    /// Starts to write.
    pub fn start(client: Client, env: &Env, bells: Bells) -> Publisher {
        let shared = Arc::new(Shared {
            client,
            env: env.clone(),
            bells,
            slots: Mutex::default(),
            wanted: Notify::new(),
        });
        env.tasks.spawn("status publisher", write_all(shared.clone()));
        Publisher { shared }
    }

    /// The status that the pod of this object is to have.
    pub fn publish(&self, object: &Object, desired: PodStatus) {
        let uid = object.header().uid.to_string();
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(uid).or_insert_with(|| Slot {
            base: object.clone(),
            desired: Arc::default(),
            written: None,
            due: false,
            writing: false,
            gone: false,
        });
        if object.header().revision > slot.base.header().revision {
            slot.base = object.clone();
        }
        if *slot.desired != desired {
            slot.desired = Arc::new(desired);
        }
        slot.due = slot.lacks_something();
        if slot.due && !slot.writing {
            self.shared.wanted.notify_one();
        }
    }

    /// Whether the API has all that was published of the pod.
    pub fn is_written(&self, uid: &str) -> bool {
        let slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(uid).is_none_or(|slot| slot.gone || (!slot.due && !slot.writing))
    }

    /// The newest object of the pod that an answer to a write showed, if it is newer than `object`.
    pub fn newer(&self, object: &Object) -> Option<Object> {
        let slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(object.header().uid.as_str())?;
        (slot.base.header().revision > object.header().revision).then(|| slot.base.clone())
    }

    /// Nothing more is written of the pod.
    pub fn forget(&self, uid: &str) {
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

async fn write_all(shared: Arc<Shared>) {
    let mut writes = FuturesUnordered::new();
    loop {
        while writes.len() < AT_ONCE {
            let Some((uid, object, writing)) = next(&shared) else { break };
            writes.push(write_one(shared.clone(), uid, object, writing));
        }
        tokio::select! {
            biased;
            Some(()) = writes.next(), if !writes.is_empty() => {}
            () = shared.wanted.notified(), if writes.len() < AT_ONCE => {}
        }
    }
}

fn next(shared: &Shared) -> Option<(String, Object, Writing)> {
    let mut slots = shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
    for (uid, slot) in slots.iter_mut().filter(|(_, slot)| slot.due && !slot.writing && !slot.gone) {
        slot.due = false;
        if let Some(patch) = patch(&slot.base, &slot.desired) {
            slot.writing = true;
            return Some((uid.clone(), slot.base.clone(), Writing { patch, status: slot.desired.clone() }));
        }
    }
    None
}

struct Writing {
    patch: Value,
    status: Arc<PodStatus>,
}

async fn write_one(shared: Arc<Shared>, uid: String, object: Object, writing: Writing) {
    let header = object.header();
    let call = Call::object(&header.namespace, &header.name).subresource("status");
    let write = Write::StrategicPatch(writing.patch.to_string().into());
    let answer = shared.client.write(resources::PODS, call, write).await;
    if let Err(status) = &answer
        && !is_gone(status)
    {
        tracing::warn!(pod = %header.key(), "its status could not be written, will be tried again: {status}");
        shared.env.clock.sleep(PAUSE).await;
    }
    {
        let mut slots = shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = slots.get_mut(&uid) else { return };
        slot.writing = false;
        match answer {
            Ok(newer) => slot.answered(newer, writing),
            Err(status) if is_gone(&status) => slot.gone = true,
            Err(_) => slot.due = true,
        }
    }
    // Whoever waits for the write, to delete the pod, goes on.
    shared.bells.ring(&uid);
}

/// The pod is no more, or is another one of the same name.
fn is_gone(status: &Status) -> bool {
    status.code == 404 || status.code == 409
}

/// The strategic merge patch that gives the object this status; `None` if it has it.
pub(crate) fn patch(base: &Object, desired: &PodStatus) -> Option<Value> {
    let pod = base.view::<Pod>().ok()?;
    let before = serde_json::to_value(pod.status.clone().unwrap_or_default()).ok()?;
    let after = serde_json::to_value(desired).ok()?;
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return None };
    let mut changes = Map::new();
    for field in FIELDS {
        let (old, new) = (before.get(field), after.get(field));
        if old == new {
            continue;
        }
        match (field, new) {
            ("conditions", Some(Value::Array(new))) => {
                conditions(old, new, &mut changes);
            }
            // Lists whose items merge are replaced as a whole.
            ("podIPs" | "hostIPs", Some(Value::Array(new))) => {
                let mut list = vec![json!({"$patch": "replace"})];
                list.extend(new.iter().cloned());
                changes.insert(field.to_owned(), Value::Array(list));
            }
            (_, new) => {
                changes.insert(field.to_owned(), new.cloned().unwrap_or(Value::Null));
            }
        }
    }
    if changes.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": base.header().uid.as_str()}, "status": changes}))
}

/// The fields of a pod's status that are the kubelet's to write.
const FIELDS: [&str; 15] = [
    "observedGeneration",
    "phase",
    "conditions",
    "message",
    "reason",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "qosClass",
    "ephemeralContainerStatuses",
    "resize",
];

/// Only conditions that are ours and changed; the order of all.
fn conditions(old: Option<&Value>, new: &[Value], changes: &mut Map<String, Value>) {
    let empty = Vec::new();
    let old = old.and_then(Value::as_array).unwrap_or(&empty);
    let changed: Vec<Value> = new
        .iter()
        .filter(|condition| condition["type"].as_str().is_some_and(|kind| OWN_CONDITIONS.contains(&kind)))
        .filter(|condition| !old.contains(condition))
        .map(|condition| {
            let mut condition = condition.clone();
            let before = old.iter().find(|before| before["type"] == condition["type"]);
            // What is no longer there must be said to be gone.
            for field in ["reason", "message"] {
                if condition.get(field).is_none() && before.is_some_and(|before| before.get(field).is_some())
                {
                    condition[field] = Value::Null;
                }
            }
            condition
        })
        .collect();
    let is_own =
        |condition: &Value| condition["type"].as_str().is_some_and(|kind| OWN_CONDITIONS.contains(&kind));
    let gone = old
        .iter()
        .filter(|before| is_own(before) && !new.iter().any(|condition| condition["type"] == before["type"]));
    let mut changed = changed;
    changed.extend(gone.map(|before| json!({"$patch": "delete", "type": before["type"]})));
    if changed.is_empty() {
        return;
    }
    let order: Vec<Value> = new.iter().map(|condition| json!({"type": condition["type"]})).collect();
    changes.insert("$setElementOrder/conditions".to_owned(), Value::Array(order));
    changes.insert("conditions".to_owned(), Value::Array(changed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{FakeApi, START, object};

    fn status(ready: &str, message: Option<&str>) -> PodStatus {
        let condition =
            json!({"type": "Ready", "status": ready, "lastTransitionTime": "2023-11-14T22:13:20Z"});
        let status = json!({"phase": "Running", "conditions": [condition], "message": message});
        serde_json::from_value(status).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_changed_before_a_write_came_is_put_right() {
        let env = Env::simulated(START, 7);
        let api = FakeApi::new(env.clone());
        let publisher = Publisher::start(Client::new(api.clone()), &env, Bells::default());
        api.create_pod("web", json!({"containers": []}));
        let pod = || api.get("pods", "default", "web").unwrap();
        let ready = || {
            let conditions = pod()["status"]["conditions"].clone();
            conditions.as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap().clone()
        };
        publisher.publish(&object(&pod()), status("True", None));
        env.clock.sleep(Duration::from_secs(5)).await;
        let seen = object(&pod());
        assert_eq!(ready()["status"], "True");
        // Somebody says otherwise; the node has not seen it, and has something else to tell.
        api.change("pods", "web", |pod| {
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            for condition in conditions.iter_mut().filter(|one| one["type"] == "Ready") {
                condition["status"] = json!("False");
                condition["reason"] = json!("said");
            }
        });
        publisher.publish(&seen, status("True", Some("new")));
        env.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(pod()["status"]["message"], "new");
        assert_eq!((&ready()["status"], &ready()["reason"]), (&json!("True"), &Value::Null));
        assert!(publisher.is_written(seen.header().uid.as_str()));
        assert_eq!(api.writes().iter().filter(|write| write.contains("pods/status")).count(), 3);
    }

    /// A patch, one that was written, and whether the server left all of the first one out of the other.
    #[test]
    fn what_was_written_and_is_still_missing_was_left_out() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1}), json!({"b": 2}), false),
            (json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}}), true),
            (json!({"list": [{"type": "x"}]}), json!({"list": [{"type": "y"}, {"type": "x"}]}), true),
            (json!({"list": [{"type": "z"}]}), json!({"list": [{"type": "y"}, {"type": "x"}]}), false),
            (json!({"a": 1}), json!({"a": 2}), false),
        ];
        for (missing, written, expected) in cases {
            assert_eq!(is_part(&missing, &written), expected, "{missing} of {written}");
        }
    }
}
