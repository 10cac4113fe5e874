//! A node that only pretends: its pods run at once and are gone when asked, and nothing is ever executed. A container
//! whose command is `exit` with a number ends its pod at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Cache, Call, Client, Delete, Key, SharedTransport, Write, resources, time};
use env::Env;
use machinery::{Object, Status};
use serde_json::{Value, json};

/// How long a pod takes to become ready.
const STARTS_IN: Duration = Duration::from_millis(500);
/// How often a node says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A node that only pretends.
#[derive(Clone, Debug)]
pub struct FakeNode {
    name: String,
    client: Client,
    env: Env,
    alive: Arc<AtomicBool>,
}

impl FakeNode {
    /// Registers the node and starts to pretend.
    pub async fn start(name: &str, transport: SharedTransport, env: &Env) -> Result<FakeNode, Status> {
        let node = FakeNode {
            name: name.to_owned(),
            client: Client::new(transport.clone()),
            env: env.child(name),
            alive: Arc::new(AtomicBool::new(true)),
        };
        node.register().await?;
        let pods: Cache =
            Cache::of(resources::PODS).fields(&format!("spec.nodeName={name}")).start(transport, env);
        let worker = node.clone();
        env.tasks.spawn("fake node", async move {
            let mut changes = pods.changes();
            loop {
                let key = changes.next().await;
                if let Some(entry) = pods.get(&key) {
                    worker.env.tasks.spawn("fake pod", worker.clone().pretend(key, entry.object.clone()));
                }
            }
        });
        env.tasks.spawn("fake heartbeat", node.clone().beat());
        Ok(node)
    }

    /// From now on nothing is heard of the node, and nothing is done by it.
    pub fn die(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    async fn register(&self) -> Result<(), Status> {
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": self.name, "labels": { "kubernetes.io/hostname": self.name } },
        });
        let body = node.to_string().into_bytes().into();
        self.client.write(resources::NODES, Call::all(""), Write::Create(body)).await?;
        let now = time::seconds(self.env.clock.now());
        let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastHeartbeatTime": now, "lastTransitionTime": now });
        let amounts = json!({ "cpu": "64", "memory": "256Gi", "pods": "2000", "ephemeral-storage": "1Ti" });
        let status =
            json!({ "status": { "capacity": amounts, "allocatable": amounts, "conditions": [ready] } });
        let key = Key::new("", &self.name);
        self.client.patch_status(resources::NODES, &key, &status).await?;
        // What a kubelet's server would do: the node is ready, so pods may come.
        self.client.patch(resources::NODES, &key, &json!({ "spec": { "taints": null } })).await?;
        Ok(())
    }

    /// Renews the lease, for as long as the node lives.
    async fn beat(self) {
        let key = Key::new("kube-node-lease", &self.name);
        while self.is_alive() {
            let spec = json!({ "holderIdentity": self.name, "leaseDurationSeconds": 40,
                "renewTime": time::micros(self.env.clock.now()) });
            let renewed = self.client.patch(resources::LEASES, &key, &json!({ "spec": spec })).await;
            if renewed.is_err_and(|status| status.code == 404) {
                let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": { "name": self.name, "namespace": "kube-node-lease" }, "spec": spec });
                let write = Write::Create(lease.to_string().into_bytes().into());
                if let Err(status) =
                    self.client.write(resources::LEASES, Call::all("kube-node-lease"), write).await
                {
                    tracing::warn!("a heartbeat is missed: {status}");
                }
            }
            self.env.clock.sleep(HEARTBEAT).await;
        }
    }

    async fn pretend(self, key: Key, pod: Object) {
        let outcome =
            if pod.header().deleting { self.end(&key, &pod).await } else { self.run(&key, &pod).await };
        match outcome {
            Err(status) if status.code != 404 && status.code != 409 => {
                tracing::warn!(pod = %key, "cannot pretend: {status}");
            }
            _ => {}
        }
    }

    async fn run(&self, key: &Key, pod: &Object) -> Result<(), Status> {
        let document = client::plan::tree(pod)?;
        if document["status"]["phase"] != "Pending" {
            return Ok(());
        }
        self.env.clock.sleep(STARTS_IN).await;
        let now = time::seconds(self.env.clock.now());
        let number = self.env.entropy.below(1 << 16);
        let ip = format!("10.244.{}.{}", number >> 8, number & 0xff);
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
        let conditions: Vec<Value> =
            ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
        let status = json!({ "phase": "Running", "startTime": now, "podIP": ip, "podIPs": [{ "ip": ip }],
            "conditions": conditions });
        let patch = json!({ "metadata": { "uid": pod.header().uid.as_str() }, "status": status });
        self.client.patch_status(resources::PODS, key, &patch).await?;
        match exit_code(&document) {
            Some(code) => self.exit(key, pod, code).await,
            None => Ok(()),
        }
    }

    async fn exit(&self, key: &Key, pod: &Object, code: i64) -> Result<(), Status> {
        let now = time::seconds(self.env.clock.now());
        let unready = json!({ "type": "Ready", "status": "False", "lastTransitionTime": now });
        let ended = json!({ "exitCode": code, "finishedAt": now, "startedAt": now, "reason": "Completed" });
        let container = json!({ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": ended } });
        let status = json!({ "phase": if code == 0 { "Succeeded" } else { "Failed" }, "conditions": [unready],
            "containerStatuses": [container] });
        let patch = json!({ "metadata": { "uid": pod.header().uid.as_str() }, "status": status });
        self.client.patch_status(resources::PODS, key, &patch).await.map(drop)
    }

    async fn end(&self, key: &Key, pod: &Object) -> Result<(), Status> {
        let uid = pod.header().uid.to_string();
        let how = Delete { grace_secs: Some(0), uid, ..Delete::default() };
        self.client.delete(resources::PODS, key, how).await.map(drop)
    }
}

/// The code its first container ends with, if it does.
fn exit_code(pod: &Value) -> Option<i64> {
    let command = &pod["spec"]["containers"][0]["command"];
    if command[0] == "exit" { command[1].as_str()?.parse().ok() } else { None }
}
