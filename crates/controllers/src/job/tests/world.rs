//! A world of one Job and its pods, in which plans are carried out as far as a test wants.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Write;
use client::plan::{Op, Step};
use env::WallTime;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use crate::job::plan::{View, plan};
use crate::job::tally::FINALIZER;
use crate::pod::Pod;
use crate::tests::fixtures::{NOW, body, merge, object, pod};

/// How a pod's story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Succeeds,
    Fails(i32),
    /// Fails, and the node says that it was told to.
    Disrupted,
    Runs,
}

pub struct World {
    pub job: Value,
    pub pods: BTreeMap<String, Value>,
    pub now: WallTime,
    pub events: Vec<String>,
    /// The uids of all pods that ever reached an end of their own.
    pub ended: BTreeMap<String, Fate>,
    revision: u64,
    /// How many writes each plan gets done before the process dies; in turn.
    pub cuts: Vec<usize>,
    turn: usize,
}

impl World {
    pub fn new(spec: Value) -> World {
        let mut job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": "sum", "namespace": "shop", "uid": "job-1", "resourceVersion": "1" },
            "spec": {
                "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
                "podReplacementPolicy": "TerminatingOrFailed",
                "selector": { "matchLabels": { "job": "sum" } },
                "template": {
                    "metadata": { "labels": { "job": "sum" } },
                    "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] },
                },
            },
        });
        merge(&mut job["spec"], spec);
        World {
            job,
            pods: BTreeMap::new(),
            now: NOW,
            events: Vec::new(),
            ended: BTreeMap::new(),
            revision: 1,
            cuts: Vec::new(),
            turn: 0,
        }
    }

    fn next_revision(&mut self) -> String {
        self.revision += 1;
        self.revision.to_string()
    }

    pub fn view(&self) -> View {
        let object = object(&self.job);
        let job = object.view::<Job>().unwrap();
        let selector = client::selector::of(job.spec.as_ref().unwrap().selector.as_ref()).unwrap();
        let pods: Vec<Pod> = self.pods.values().map(pod).collect();
        View { object, job, selector, pods }
    }

    pub fn status(&self) -> &Value {
        &self.job["status"]
    }

    /// Whether a condition is true.
    pub fn is(&self, kind: &str) -> bool {
        let conditions = self.status()["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
    }

    /// Plans and writes, perhaps not to the end. Answers when to look again; `None` if nothing was to be written.
    pub fn sync(&mut self) -> (bool, Option<Duration>) {
        let plan = plan(&self.view(), self.now);
        assert_eq!(plan.retry, None);
        let again = plan.requeue_after;
        self.events.extend(plan.notes.iter().map(|note| note.reason.to_owned()));
        let cut = if self.cuts.is_empty() { usize::MAX } else { self.cuts[self.turn % self.cuts.len()] };
        self.turn += 1;
        let (mut left, mut wrote) = (cut, false);
        for step in plan.steps {
            let ops = match step {
                Step::Confirm { .. } => Vec::new(),
                Step::Do(op) => vec![*op],
                Step::Together(ops) => ops,
            };
            for op in ops {
                wrote = true;
                if left == 0 {
                    return (true, None);
                }
                left -= 1;
                self.write(&op);
            }
        }
        (wrote, again)
    }

    fn write(&mut self, op: &Op) {
        let name = op.call.name.clone();
        match (&op.write, op.resource.kind) {
            (Write::Update(_), "Job") => {
                let new = body(op);
                assert_eq!(new["metadata"]["resourceVersion"], self.job["metadata"]["resourceVersion"]);
                self.job["status"] = new["status"].clone();
                self.job["metadata"]["resourceVersion"] = json!(self.next_revision());
            }
            (Write::Create(_), "Pod") => self.make(body(op)),
            (Write::StrategicPatch(_), "Pod") => self.patch(&name, &body(op)),
            (Write::Delete(_), "Pod") => {
                if let Some(pod) = self.pods.get_mut(&name) {
                    pod["metadata"]["deletionTimestamp"] = json!(client::time::seconds(self.now));
                }
                self.bury(&name);
            }
            _ => panic!("unexpected {op}"),
        }
        self.events.extend(op.success.as_ref().map(|note| note.reason.to_owned()));
    }

    fn make(&mut self, mut pod: Value) {
        let revision = self.next_revision();
        let prefix = pod["metadata"]["generateName"].as_str().unwrap().to_owned();
        let name = format!("{prefix}{revision:0>4}");
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(format!("uid-{name}"));
        pod["metadata"]["creationTimestamp"] = json!(client::time::seconds(self.now));
        pod["status"] = json!({ "phase": "Running" });
        self.pods.insert(name, pod);
    }

    fn patch(&mut self, name: &str, patch: &Value) {
        let Some(pod) = self.pods.get_mut(name) else { return };
        let metadata = &mut pod["metadata"];
        let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        if patch["metadata"]["$deleteFromPrimitiveList/finalizers"] == json!([FINALIZER]) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        finalizers.extend(patch["metadata"]["finalizers"].as_array().cloned().unwrap_or_default());
        metadata["finalizers"] = Value::Array(finalizers);
        if let Some(references) = patch["metadata"]["ownerReferences"].as_array() {
            let is_release = references[0]["$patch"] == "delete";
            metadata["ownerReferences"] = if is_release { json!([]) } else { json!(references) };
        }
        self.bury(name);
    }

    /// What is deleted and held by nobody is gone, once nothing of it runs.
    fn bury(&mut self, name: &str) {
        let Some(pod) = self.pods.get(name) else { return };
        let is_held = pod["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        let is_deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        if is_deleted && !is_held && pod["status"]["phase"] != "Running" {
            self.pods.remove(name);
        }
    }

    /// The node's part: everything that runs ends as `fate` says.
    pub fn turn(&mut self, fate: impl Fn(&Value) -> Fate) {
        for name in self.pods.keys().cloned().collect::<Vec<String>>() {
            let now = client::time::seconds(self.now);
            let pod = self.pods.get_mut(&name).unwrap();
            if pod["status"]["phase"] != "Running" {
                continue;
            }
            let is_deleted = !pod["metadata"]["deletionTimestamp"].is_null();
            let fate = if is_deleted { Fate::Fails(137) } else { fate(pod) };
            let (phase, code) = match fate {
                Fate::Succeeds => ("Succeeded", 0),
                Fate::Fails(code) => ("Failed", code),
                Fate::Disrupted => ("Failed", 143),
                Fate::Runs => continue,
            };
            let disrupted = json!([{ "type": "DisruptionTarget", "status": "True" }]);
            pod["status"] = json!({ "phase": phase,
                "conditions": if fate == Fate::Disrupted { disrupted } else { json!([]) },
                "containerStatuses": [{ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "terminated": { "exitCode": code, "finishedAt": now } } }] });
            if !is_deleted {
                self.ended.insert(pod["metadata"]["uid"].as_str().unwrap().to_owned(), fate);
            }
            self.bury(&name);
        }
    }

    /// Syncs until nothing is left to write but what must wait.
    pub fn settle(&mut self) -> Option<Duration> {
        for _ in 0..2_000 {
            let (wrote, again) = self.sync();
            self.check();
            if !wrote {
                return again;
            }
        }
        panic!("it never settles: {}", self.job);
    }

    /// Lives until the Job is over, or nothing happens any more.
    pub fn live(&mut self, fate: impl Fn(&Value) -> Fate) {
        for _ in 0..400 {
            let again = self.settle();
            if self.is("Complete") || self.is("Failed") {
                return;
            }
            let before = format!("{:?}", self.pods);
            self.turn(&fate);
            if format!("{:?}", self.pods) == before {
                let Some(wait) = again else { return };
                self.now = self.now.plus(wait);
            }
        }
        panic!("it never ends: {}", self.job);
    }

    /// What holds at every moment: nothing is counted that did not happen.
    fn check(&self) {
        let count = |name: &str| self.status()[name].as_u64().unwrap_or(0) as usize;
        let ended =
            |well: bool| self.ended.values().filter(|fate| (**fate == Fate::Succeeds) == well).count();
        assert!(count("succeeded") <= ended(true), "{}", self.job);
        for pod in self.pods.values() {
            let finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            let is_own = pod["metadata"]["ownerReferences"][0]["uid"] == "job-1";
            let is_over = self.is("Complete") || self.is("Failed");
            assert!(!(is_over && is_own && finalizers.iter().any(|held| held == FINALIZER)), "{pod}");
        }
    }
}

/// The index of a pod.
pub fn index_of(pod: &Value) -> u32 {
    let annotations = &pod["metadata"]["annotations"];
    annotations[crate::job::pods::INDEX].as_str().unwrap().parse().unwrap()
}
