//! A whole cluster in one process: the server on a store in memory, the controllers, the scheduler, and nodes that only
//! pretend. Under tokio's paused time an hour passes in a moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Identity, KeyPair, Server};
use client::{Call, Client, Key, Resource, Write, resources};
use env::{Env, WallTime};
use machinery::Object;
use serde_json::Value;
use store::memory::Memory;

use crate::FakeNode;

/// When the cluster begins: 2026-01-01T00:00:00Z.
const START: WallTime = WallTime::from_secs(1_767_225_600);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A whole cluster in one process. Its calls panic where a test could only fail.
#[derive(Debug)]
pub struct Cluster {
    /// The world it lives in.
    pub env: Env,
    /// The API as an administrator.
    pub client: Client,
    /// What the controllers decided.
    pub controllers: controllers::Controllers,
    server: Arc<Server>,
}

/// A server on any free port of this machine, with a certificate nobody knows: everybody is in process.
pub fn settings() -> apiserver::Config {
    let mut config = apiserver::Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate can be made");
    let key = made.signing_key.serialize_pem().into_bytes();
    config.token_key = key.clone();
    config.serving = KeyPair { chain: made.cert.pem().into_bytes(), key };
    config
}

fn masters(name: &str) -> Identity {
    Identity::new(name, &["system:masters"])
}

impl Cluster {
    /// Starts one with so many nodes. The same seed gives the same cluster.
    pub async fn start(seed: u64, nodes: usize) -> Cluster {
        let env = Env::simulated(START, seed);
        let store = Memory::new(store::Options::default(), env.child("store"));
        let config = settings();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (root_ca, root_key) = (text(&config.serving.chain), text(&config.serving.key));
        let server = apiserver::start(config, env.clone(), store).await.expect("the server starts");
        server.ready().await;
        let server = Arc::new(server);
        let transports = server.clone();
        let settings = controllers::Config {
            root_ca,
            root_key: controllers::Secret(root_key),
            pod_cidrs: vec!["10.244.0.0/16".to_owned()],
        };
        let transport_for = move |name: &str| transports.transport(masters(name));
        let controllers = controllers::start(transport_for, settings, env.child("controllers"));
        scheduler::start(server.transport(masters("system:kube-scheduler")), env.child("scheduler"));
        let client = Client::new(server.transport(masters("admin")));
        let cluster = Cluster { env, client, controllers, server };
        for number in 0..nodes {
            cluster.add_node(&format!("node-{number}")).await;
        }
        cluster
    }

    /// Adds a node.
    pub async fn add_node(&self, name: &str) -> FakeNode {
        let transport = self.server.transport(masters(&format!("system:node:{name}")));
        FakeNode::start(name, transport, &self.env).await.expect("the node registers")
    }

    /// Makes an object.
    pub async fn create(&self, resource: Resource, namespace: &str, document: Value) -> Object {
        let write = Write::Create(document.to_string().into_bytes().into());
        let created = self.client.write(resource, Call::all(namespace), write).await;
        created.unwrap_or_else(|status| panic!("{document} cannot be made: {status}"))
    }

    /// Changes an object.
    pub async fn patch(&self, resource: Resource, key: &Key, patch: Value) -> Object {
        let patched = self.client.patch(resource, key, &patch).await;
        patched.unwrap_or_else(|status| panic!("{key} cannot be changed: {status}"))
    }

    /// An object as a JSON tree; null if there is none.
    pub async fn get(&self, resource: Resource, key: &Key) -> Value {
        let found = self.client.find(resource, key).await.expect("the server answers");
        found.map_or(Value::Null, |object| client::plan::tree(&object).expect("it is JSON"))
    }

    /// All objects of a namespace, as JSON trees.
    pub async fn list(&self, resource: Resource, namespace: &str) -> Vec<Value> {
        let answer = self.client.objects(resource, Call::all(namespace)).await.expect("the server answers");
        answer.items.iter().map(|object| client::plan::tree(object).expect("it is JSON")).collect()
    }

    /// Waits until `is_so`, at most `limit` of virtual time.
    pub async fn until(&self, what: &str, limit: Duration, is_so: impl AsyncFn(&Cluster) -> bool) {
        let wait = async {
            while !is_so(self).await {
                self.env.clock.sleep(LOOK).await;
            }
        };
        assert!(self.env.clock.timeout(limit, wait).await.is_some(), "not within {limit:?}: {what}");
    }

    /// The revision of every object but leases (which are renewed) and events (which are news): a cluster in which these
    /// stay the same is at rest.
    pub async fn revisions(&self) -> BTreeMap<String, u64> {
        let mut revisions = BTreeMap::new();
        for resource in resources::ALL {
            if matches!(*resource, resources::LEASES | resources::EVENTS) {
                continue;
            }
            let Ok(answer) = self.client.objects(*resource, Call::all("")).await else { continue };
            for object in answer.items {
                let header = object.header();
                revisions.insert(format!("{} {}", resource.plural, header.key()), header.revision);
            }
        }
        revisions
    }

    /// Checks that nothing is written for an hour.
    pub async fn expect_rest(&self) {
        let before = self.revisions().await;
        self.env.clock.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(before, self.revisions().await, "something was written though nothing happened");
    }
}
