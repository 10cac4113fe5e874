//! A world for tests: an API server and a container runtime that are small, honest, and live in virtual time.

mod api;
mod pki;
mod runtime;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Env, WallTime};
use machinery::Object;
use serde_json::{Value, json};

use crate::config::{Config, Reserved, Services};
use crate::pod::PodView;

pub(crate) use api::FakeApi;
pub(crate) use pki::{Pair, Pki};
pub(crate) use runtime::FakeRuntime;

/// When every simulated world begins.
pub(crate) const START: WallTime = WallTime::from_secs(1_700_000_000);

/// A directory that is gone with its holder.
#[derive(Debug)]
pub(crate) struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(label: &str) -> TempDir {
        let unique = Env::real().entropy.uuid();
        let path = std::env::temp_dir().join(format!("kubelet-test-{label}-{unique}"));
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = crate::volumes::subpath::unmount_below(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An object from JSON.
pub(crate) fn object(value: &Value) -> Object {
    Object::from_json(value.to_string().as_bytes()).unwrap()
}

/// A pod from its specification and status.
pub(crate) fn pod(spec: Value, status: Value) -> PodView {
    let metadata = json!({
        "name": "web",
        "namespace": "default",
        "uid": "u1",
        "resourceVersion": "5",
        "generation": 1,
        "creationTimestamp": "2023-11-14T22:13:20Z",
    });
    let document =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status});
    PodView::new(&object(&document)).unwrap()
}

/// Another pod, by its identity.
pub(crate) fn other_pod(uid: &str, spec: Value) -> PodView {
    let metadata = json!({"name": uid, "namespace": "default", "uid": uid, "resourceVersion": "5"});
    PodView::new(&object(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})))
        .unwrap()
}

/// A kubelet with all it needs.
pub(crate) struct World {
    pub api: Arc<FakeApi>,
    pub runtime: Arc<FakeRuntime>,
    pub env: Env,
    pub root: Arc<TempDir>,
    pub pki: Pki,
    pub kubelet: crate::Kubelet,
}

impl World {
    /// Starts one.
    pub async fn start(label: &str) -> World {
        World::with_config(label, |_| {}).await
    }

    /// Starts one whose configuration is changed first.
    pub async fn with_config(label: &str, change: impl FnOnce(&mut Config)) -> World {
        let env = Env::simulated(START, 7);
        let (api, runtime) = (FakeApi::new(env.clone()), FakeRuntime::new(env.clone()));
        let root = Arc::new(TempDir::new(label));
        let pki = Pki::new();
        let mut config = config(&root.0);
        change(&mut config);
        let kubelet = begin(config, &pki, &env, (&api, &runtime)).await;
        World { api, runtime, env, root, pki, kubelet }
    }

    /// Kills the kubelet and starts another: the API, the runtime and the disk stay.
    pub async fn restart(&mut self) {
        self.env.tasks.stop(Duration::from_secs(1)).await;
        self.env = Env { tasks: env::Tasks::new(), ..self.env.clone() };
        let config = config(&self.root.0);
        self.kubelet = begin(config, &self.pki, &self.env, (&self.api, &self.runtime)).await;
    }

    /// Makes a pod, bound to the node.
    pub fn create(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("node-1");
        self.api.create_pod(name, spec);
    }

    /// The pod as the API has it.
    pub fn pod(&self, name: &str) -> Value {
        self.api.get("pods", "default", name).unwrap_or(Value::Null)
    }

    /// Waits, in virtual time, until the pod is as `wanted` says.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6_000 {
            let pod = self.pod(name);
            if wanted(&pod) {
                return pod;
            }
            self.env.clock.sleep(Duration::from_millis(100)).await;
        }
        panic!("pod {name} did not become as wanted: {:#}\nevents: {:#?}", self.pod(name), self.api.events());
    }

    /// Lets virtual time pass.
    pub async fn pass(&self, secs: u64) {
        self.env.clock.sleep(Duration::from_secs(secs)).await;
    }
}

async fn begin(
    config: Config,
    pki: &Pki,
    env: &Env,
    (api, runtime): (&Arc<FakeApi>, &Arc<FakeRuntime>),
) -> crate::Kubelet {
    let config = Config {
        certificate: pki.server.certificate.clone(),
        key: pki.server.key.clone(),
        client_ca: pki.ca.clone(),
        ..config
    };
    let services = Services { transport: api.clone(), runtime: runtime.clone() };
    crate::start(config, services, env.clone()).await.unwrap()
}

/// A configuration below a directory.
pub(crate) fn config(root: &std::path::Path) -> Config {
    let resolv_conf = root.join("node-resolv.conf");
    std::fs::write(&resolv_conf, "nameserver 192.0.2.53\nsearch example.net\n").unwrap();
    Config {
        node_name: "node-1".to_owned(),
        node_ips: vec!["192.0.2.1".parse().unwrap()],
        labels: Default::default(),
        taints: Vec::new(),
        root: root.join("kubelet"),
        manifests: Some(root.join("manifests")),
        pod_logs: root.join("logs"),
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate: Vec::new(),
        key: Vec::new(),
        client_ca: Vec::new(),
        cluster_dns: vec!["10.96.0.10".parse().unwrap()],
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf,
        max_pods: 110,
        cgroup_root: "/test".to_owned(),
        reserved: Reserved::default(),
        version: "v1.36.2".to_owned(),
        allowed_unsafe_sysctls: Vec::new(),
        // The machine that tests run on may be short of anything.
        eviction: Vec::new(),
        shutdown: None,
    }
}
