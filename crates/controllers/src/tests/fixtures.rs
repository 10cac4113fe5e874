//! Objects for tests of plans.

use std::sync::Arc;

use client::cache::Facts;
use client::plan::{Op, Plan};
use client::{Entry, Write};
use env::WallTime;
use machinery::Object;
use serde_json::{Value, json};

use crate::pod::Pod;

/// When tests take place: 2026-01-01T00:00:00Z.
pub const NOW: WallTime = WallTime::from_secs(1_767_225_600);

/// An object as the cache would hold it.
pub fn object(document: &Value) -> Object {
    Object::from_json(&serde_json::to_vec(document).unwrap()).unwrap()
}

/// A pod in the cache.
pub fn pod(document: &Value) -> Pod {
    let object = object(document);
    let facts = Facts::of(&object).unwrap();
    Arc::new(Entry { object, facts })
}

/// The time so many seconds before [`NOW`], as the API writes it.
pub fn ago(secs: i64) -> String {
    client::time::seconds(WallTime::from_secs(NOW.secs() - secs))
}

/// A pod that runs and is ready, with changes merged in.
pub fn running_pod(name: &str, changes: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "creationTimestamp": ago(3_600),
            "labels": { "app": "web" },
        },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "c", "image": "i" }] },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": ago(1_800) }],
        },
    });
    merge(&mut pod, changes);
    pod
}

/// A merge patch, done.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(&name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

/// What a plan writes, in short.
pub fn writes(plan: &Plan) -> Vec<String> {
    plan.ops().map(Op::to_string).collect()
}

/// The body of a write.
pub fn body(op: &Op) -> Value {
    match &op.write {
        Write::Delete(_) => Value::Null,
        _ => serde_json::from_slice(op.body().unwrap()).unwrap(),
    }
}

/// The status a plan writes; null if it writes none.
pub fn status(plan: &Plan) -> Value {
    plan.status.as_ref().map_or(Value::Null, |op| body(op)["status"].clone())
}
