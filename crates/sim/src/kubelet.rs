//! A kubelet that only pretends: it makes its machine's containers what the API says, and the API's status what the
//! machine says, and tries again after whatever goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::cache::Facts;
use client::{Cache, Call, Client, Delete, Entry, Key, Write, resources, time};
use env::Env;
use machinery::{Object, Status};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::life::Life;
use crate::machine::{Machine, Running, exit_of};
use crate::road::Road;

const HEARTBEAT: Duration = Duration::from_secs(10);
/// Between two looks while something is under way.
const SOON: Duration = Duration::from_millis(500);
/// Between two looks otherwise; changes are looked at when they come.
const LATER: Duration = Duration::from_secs(600);
/// The longest a container takes to become ready, or to end.
const SLOWEST: Duration = Duration::from_secs(5);
/// An image that never becomes ready.
pub const BROKEN: &str = "broken";

/// A pod as a tree: it is looked at twice a second while anything is under way, so it is read once per revision.
struct Document(Value);

impl Facts for Document {
    fn of(pod: &Object) -> Result<Document, Status> {
        client::plan::tree(pod).map(Document)
    }
}

impl Document {
    /// The address it is told to have.
    fn address(&self) -> Option<String> {
        self.0["status"]["podIP"].as_str().map(str::to_owned)
    }
}

/// A kubelet.
#[derive(Clone, Debug)]
pub struct Kubelet {
    machine: Arc<Machine>,
    client: Client,
    env: Env,
}

impl Kubelet {
    /// Starts one on a machine; it runs for as long as `life` lasts.
    pub fn start(machine: Arc<Machine>, road: Arc<Road>, life: &Life) {
        let kubelet = Kubelet { machine, client: Client::new(road.clone()), env: life.env.clone() };
        let tasks = life.env.tasks.clone();
        tasks.spawn("heartbeat", kubelet.clone().beat());
        tasks.spawn("kubelet", kubelet.run(road));
    }

    async fn run(self, road: Arc<Road>) {
        while let Err(status) = self.register().await {
            tracing::debug!("cannot register: {status}");
            self.env.clock.sleep(SOON).await;
        }
        let name = &self.machine.name;
        let pods: Cache<Document> =
            Cache::of(resources::PODS).fields(&format!("spec.nodeName={name}")).start(road, &self.env);
        pods.synced().await;
        let mut changes = pods.changes();
        loop {
            let pause = if self.sync(&pods).await { SOON } else { LATER };
            // Either way it looks at everything.
            let _ = self.env.clock.timeout(pause, changes.next_all()).await;
        }
    }

    async fn register(&self) -> Result<(), Status> {
        let name = &self.machine.name;
        let node = json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } } });
        let write = Write::Create(node.to_string().into_bytes().into());
        match self.client.write(resources::NODES, Call::all(""), write).await {
            Err(status) if status.code != 409 => Err(status),
            _ => self.report_node().await,
        }
    }

    /// Says that the node is ready, if the API does not know.
    async fn report_node(&self) -> Result<(), Status> {
        let key = Key::new("", &self.machine.name);
        let node = client::plan::tree(&self.client.object(resources::NODES, &key).await?)?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True") {
            return Ok(());
        }
        let now = time::seconds(self.env.clock.now());
        let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastHeartbeatTime": now, "lastTransitionTime": now });
        let amounts = json!({ "cpu": "24", "memory": "64Gi", "pods": "110", "ephemeral-storage": "1Ti" });
        let status =
            json!({ "status": { "capacity": amounts, "allocatable": amounts, "conditions": [ready] } });
        self.client.patch_status(resources::NODES, &key, &status).await.map(drop)
    }

    async fn beat(self) {
        loop {
            if let Err(status) = self.heartbeat().await {
                tracing::debug!("a heartbeat is missed: {status}");
            }
            self.env.clock.sleep(HEARTBEAT).await;
        }
    }

    async fn heartbeat(&self) -> Result<(), Status> {
        let (name, now) = (&self.machine.name, time::micros(self.env.clock.now()));
        let spec = json!({ "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now });
        let key = Key::new("kube-node-lease", name);
        match self.client.patch(resources::LEASES, &key, &json!({ "spec": spec })).await {
            Err(status) if status.code == 404 => {
                let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": { "name": name, "namespace": "kube-node-lease" }, "spec": spec });
                let write = Write::Create(lease.to_string().into_bytes().into());
                self.client.write(resources::LEASES, Call::all("kube-node-lease"), write).await?;
            }
            outcome => drop(outcome?),
        }
        self.report_node().await
    }

    /// Looks at every pod once; answers with whether something is under way.
    async fn sync(&self, pods: &Cache<Document>) -> bool {
        let entries = pods.list();
        let gone: Vec<SmolStr> = {
            let known = |uid: &SmolStr| entries.iter().any(|entry| entry.object.header().uid == *uid);
            self.machine.pods().keys().filter(|uid| !known(uid)).cloned().collect()
        };
        for uid in gone {
            self.machine.forget(&uid);
        }
        let mut is_busy = false;
        for entry in &entries {
            is_busy |= match self.look_after(entry, &entries).await {
                Ok(is_busy) => is_busy,
                Err(status) => status.code != 404,
            };
        }
        is_busy
    }

    async fn look_after(
        &self,
        entry: &Entry<Document>,
        all: &[Arc<Entry<Document>>],
    ) -> Result<bool, Status> {
        let (pod, document) = (&entry.object, &entry.facts.0);
        let uid = &pod.header().uid;
        let is_terminal = matches!(document["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let known = self.machine.pods().get(uid).cloned();
        match known {
            _ if is_terminal => {
                self.machine.forget(uid);
                if pod.header().deleting { self.finish(pod).await } else { Ok(false) }
            }
            None if pod.header().deleting => {
                self.report_end(pod, 137).await?;
                Ok(true)
            }
            None if document["status"]["podIP"].is_string() && exit_of(document).is_some() => {
                // It ran when the machine lost power, and is not to run twice.
                self.report_end(pod, 137).await?;
                Ok(true)
            }
            None => {
                self.begin(entry, all).await?;
                Ok(true)
            }
            Some(running) => self.go_on(pod, document, running).await,
        }
    }

    /// Starts the containers of a pod.
    async fn begin(&self, entry: &Entry<Document>, all: &[Arc<Entry<Document>>]) -> Result<(), Status> {
        let (pod, document) = (&entry.object, &entry.facts.0);
        let now = self.env.clock.monotonic();
        let node = self.client.object(resources::NODES, &Key::new("", &self.machine.name)).await?;
        let node = client::plan::tree(&node)?;
        let Some(range) = node["spec"]["podCIDR"].as_str() else { return Ok(()) };
        // What had an address before the machine lost power is told to have it until it has another.
        let told: BTreeSet<String> = all.iter().filter_map(|entry| entry.facts.address()).collect();
        let Some(address) = self.machine.address(range, &told) else { return Ok(()) };
        let entropy = &self.env.entropy;
        let is_broken = document["spec"]["containers"][0]["image"] == BROKEN;
        let ready_at = now + SLOWEST.mul_f64(entropy.fraction());
        let exits = exit_of(document).map(|(code, secs)| (now + Duration::from_secs(secs), code));
        let running = Running {
            key: Key::of(pod),
            address,
            ready_at: (!is_broken).then_some(ready_at),
            exits,
            stops_at: None,
            exited: None,
            restarts: u64::from(document["status"]["podIP"].is_string()),
        };
        self.machine.start(&pod.header().uid, running);
        Ok(())
    }

    async fn go_on(&self, pod: &Object, document: &Value, running: Running) -> Result<bool, Status> {
        let (uid, now) = (&pod.header().uid, self.env.clock.monotonic());
        if let Some(code) = running.exited {
            self.report_end(pod, code).await?;
            return Ok(true);
        }
        if let Some((_, code)) = running.exits.filter(|(at, _)| *at <= now) {
            self.machine.stop(uid, code);
            return Ok(true);
        }
        if pod.header().deleting {
            self.stop(pod, document, &running, now);
            return Ok(true);
        }
        self.report_running(pod, document, &running).await?;
        let is_ready = running.ready_at.is_none_or(|at| at <= now);
        Ok(!is_ready || running.exits.is_some())
    }

    /// Ends the containers of a pod within its grace.
    fn stop(&self, pod: &Object, document: &Value, running: &Running, now: Duration) {
        let uid = &pod.header().uid;
        match running.stops_at {
            Some(at) if at <= now => self.machine.stop(uid, 0),
            Some(_) => {}
            None => {
                let grace = document["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
                let grace = Duration::from_secs(grace).min(SLOWEST).mul_f64(self.env.entropy.fraction());
                if let Some(running) = self.machine.pods().get_mut(uid) {
                    running.stops_at = Some(now + grace);
                }
            }
        }
    }

    async fn report_running(&self, pod: &Object, document: &Value, running: &Running) -> Result<(), Status> {
        let is_ready = running.ready_at.is_some_and(|at| at <= self.env.clock.monotonic());
        let known = &document["status"];
        let conditions = known["conditions"].as_array().cloned().unwrap_or_default();
        let says_ready =
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if known["phase"] == "Running" && known["podIP"] == running.address && says_ready == is_ready {
            return Ok(());
        }
        let now = time::seconds(self.env.clock.now());
        let ready = if is_ready { "True" } else { "False" };
        let condition =
            |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": now });
        let conditions = json!([
            condition("PodScheduled", "True"),
            condition("Initialized", "True"),
            condition("ContainersReady", ready),
            condition("Ready", ready),
        ]);
        let container = json!({ "name": "c", "image": "i", "imageID": "", "ready": is_ready, "started": true,
            "restartCount": running.restarts, "state": { "running": { "startedAt": now } } });
        let started = known["startTime"].as_str().unwrap_or(&now);
        let status = json!({ "phase": "Running", "startTime": started, "podIP": running.address,
            "podIPs": [{ "ip": running.address }], "conditions": conditions, "containerStatuses": [container] });
        self.patch_status(pod, status).await
    }

    async fn report_end(&self, pod: &Object, code: i64) -> Result<(), Status> {
        let now = time::seconds(self.env.clock.now());
        let condition = |kind: &str| json!({ "type": kind, "status": "False", "lastTransitionTime": now });
        let ended = json!({ "exitCode": code, "finishedAt": now, "startedAt": now, "reason": "Completed" });
        let container = json!({ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": ended } });
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({ "phase": phase, "conditions": [condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [container] });
        self.patch_status(pod, status).await
    }

    async fn patch_status(&self, pod: &Object, status: Value) -> Result<(), Status> {
        let header = pod.header();
        let patch = json!({ "metadata": { "uid": header.uid.as_str() }, "status": status });
        self.client.patch_status(resources::PODS, &Key::of(pod), &patch).await.map(drop)
    }

    /// Everything of the pod has ended: it may go.
    async fn finish(&self, pod: &Object) -> Result<bool, Status> {
        let uid = pod.header().uid.to_string();
        let how = Delete { grace_secs: Some(0), uid, ..Delete::default() };
        match self.client.delete(resources::PODS, &Key::of(pod), how).await {
            Err(status) if status.code != 404 => Err(status),
            // What keeps it now are finalizers of others.
            _ => Ok(false),
        }
    }
}
