//! NetworkPolicies: who may speak to the pods of this node, and whom they may speak to.

pub mod compile;
pub mod table;
pub mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::cache::{Change, Facts};
use client::{Cache, Key, SharedTransport, resources};
use cri::PodId;
use env::Env;
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};

use crate::names;
use crate::netlink::{Error, Namespace};
use crate::nftables::{Batch, Nft};
use compile::{Rules, View};
use view::{Pod, Policy};

/// How long a failed change waits.
const RETRY: Duration = Duration::from_secs(1);
/// How long a new pod waits for its policies: its node knows it before its container runtime does, so it is moments.
/// After that the network is not to blame any more for a pod that does not start.
pub const ADMISSION_LIMIT: Duration = Duration::from_secs(2);
/// How many new pods wait at once.
const WAITING: usize = 256;
/// The rules of a large cluster take a while to work out: after a round, changes gather for this many times as long as
/// it took, so that they never take more than a fifth of a processor.
const REST: u32 = 4;
/// The longest such rest.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What policies have to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells apart several instances on one machine.
    pub instance: String,
    /// The node's network namespace.
    pub namespace: Namespace,
    /// The node's name.
    pub node_name: String,
    /// Addresses of the node at which names are asked for: always allowed.
    pub dns: Vec<IpAddr>,
}

/// A new pod that waits until its policies are in force.
#[derive(Debug)]
struct Newcomer {
    pod: PodId,
    addresses: Vec<IpAddr>,
    ready: oneshot::Sender<()>,
}

impl Newcomer {
    fn key(&self) -> Key {
        Key::new(&self.pod.namespace, &self.pod.name)
    }

    fn early(&self) -> (SmolStr, Early) {
        (SmolStr::new(&self.pod.uid), Early { key: self.key(), addresses: self.addresses.clone() })
    }
}

/// Lets new pods onto the network once their policies are in force.
#[derive(Clone, Debug)]
pub struct Admission {
    newcomers: mpsc::Sender<Newcomer>,
    env: Env,
}

impl Admission {
    /// Resolves once the policies for a pod at its addresses are in force, or after [`ADMISSION_LIMIT`].
    pub async fn admit(&self, pod: PodId, addresses: Vec<IpAddr>) {
        let (ready, in_force) = oneshot::channel();
        let name = format!("{}/{}", pod.namespace, pod.name);
        let wait = async {
            let sent = self.newcomers.send(Newcomer { pod, addresses, ready }).await;
            sent.is_ok() && in_force.await.is_ok()
        };
        if self.env.clock.timeout(ADMISSION_LIMIT, wait).await != Some(true) {
            tracing::warn!(pod = name, "its policies are not known yet; it starts without waiting longer");
        }
    }
}

/// The pictures policies are made from.
#[derive(Clone, Debug)]
struct Caches {
    policies: Cache<Policy>,
    pods: Cache<Pod>,
    namespaces: Cache<view::Namespace>,
}

struct Agent {
    config: Config,
    caches: Caches,
    nft: Nft,
    table: String,
    installed: Option<Rules>,
    /// Pods of this node whose addresses the API does not know yet, by their identity.
    early: BTreeMap<SmolStr, Early>,
}

/// A pod that has addresses before the API knows.
#[derive(Debug)]
struct Early {
    key: Key,
    addresses: Vec<IpAddr>,
}

/// Starts to enforce policies. Answers what lets new pods in.
pub fn start(config: Config, transport: SharedTransport, env: &Env) -> Result<Admission, Error> {
    let caches = Caches {
        policies: Cache::of(resources::NETWORK_POLICIES).start(transport.clone(), env),
        pods: Cache::of(resources::PODS).start(transport.clone(), env),
        namespaces: Cache::of(resources::NAMESPACES).start(transport, env),
    };
    let nft = Nft::of(&config.namespace)?;
    let table = names::table(&config.instance, "policies");
    let agent = Agent { config, caches, nft, table, installed: None, early: BTreeMap::new() };
    let (newcomers, waiting) = mpsc::channel(WAITING);
    env.tasks.spawn("policies", run(agent, waiting, env.clone()));
    Ok(Admission { newcomers, env: env.clone() })
}

async fn run(agent: Agent, mut newcomers: mpsc::Receiver<Newcomer>, env: Env) {
    let changed = Arc::new(tokio::sync::Notify::new());
    notify(&agent.caches.policies, &changed);
    notify_of_pods(&agent.caches.pods, &agent.config.node_name, &changed);
    notify(&agent.caches.namespaces, &changed);
    agent.caches.policies.synced().await;
    agent.caches.pods.synced().await;
    agent.caches.namespaces.synced().await;
    let pods = agent.caches.pods.clone();
    let agent = Arc::new(Mutex::new(agent));
    let mut waiting: Vec<Newcomer> = Vec::new();
    loop {
        // Those whose pod is known are let in by this round; the others wait for the next.
        let is_known = |newcomer: &mut Newcomer| {
            pods.get(&newcomer.key()).is_some_and(|entry| entry.facts.uid == newcomer.pod.uid.as_str())
        };
        let known: Vec<Newcomer> = waiting.extract_if(.., is_known).collect();
        let early: Vec<(SmolStr, Early)> = known.iter().map(Newcomer::early).collect();
        let work = agent.clone();
        let begin = env.clock.monotonic();
        let result = env.tasks.blocking(move || {
            let mut agent = work.lock().unwrap_or_else(PoisonError::into_inner);
            agent.early.extend(early);
            agent.sync()
        });
        match result.await {
            Some(Ok(())) => {
                for newcomer in known {
                    // One that waits no longer needs no word.
                    let _ = newcomer.ready.send(());
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the policies could not be changed");
                waiting.extend(known);
                env.clock.sleep(RETRY).await;
                continue;
            }
            None => return,
        }
        let rest = LONGEST_REST.min(REST * env.clock.monotonic().saturating_sub(begin));
        waiting.retain(|newcomer| !newcomer.ready.is_closed());
        let change = async {
            changed.notified().await;
            env.clock.sleep(rest).await;
        };
        tokio::select! {
            biased;
            newcomer = newcomers.recv() => match newcomer {
                Some(newcomer) => waiting.push(newcomer),
                None => changed.notified().await,
            },
            () = change => {}
        }
    }
}

/// Of pods only those count that have addresses, and those of this node, whose newcomers may wait to be known.
fn notify_of_pods(pods: &Cache<Pod>, node: &str, changed: &Arc<tokio::sync::Notify>) {
    let (node, changed) = (SmolStr::new(node), changed.clone());
    pods.subscribe(move |change: &Change<'_, Pod>| {
        let counts = |pod: &&Pod| !pod.addresses.is_empty() || pod.node == node;
        let before = change.old.map(|entry| &entry.facts).filter(counts);
        let after = change.new.map(|entry| &entry.facts).filter(counts);
        if before != after {
            changed.notify_one();
        }
    });
}

fn notify<F: Facts>(cache: &Cache<F>, changed: &Arc<tokio::sync::Notify>) {
    let changed = changed.clone();
    cache.subscribe(move |_| changed.notify_one());
}

impl Agent {
    /// Brings the kernel to what the API says now.
    fn sync(&mut self) -> Result<(), Error> {
        let rules = self.rules();
        if self.installed.as_ref() == Some(&rules) {
            return Ok(());
        }
        // Until it is known to have worked, nothing is known of the table.
        match self.installed.take() {
            Some(old) => {
                let mut batch = Batch::new(&self.table);
                table::update(&mut batch, &old, &rules);
                self.nft.apply(batch)?;
            }
            None => {
                let make = |table: &str| table::build(table, &rules, &self.config.dns);
                self.nft.establish(&self.table, make)?;
            }
        }
        self.installed = Some(rules);
        Ok(())
    }

    fn rules(&mut self) -> Rules {
        let pods = &self.caches.pods;
        let unknown = |uid: &SmolStr, key: &Key| {
            pods.get(key).filter(|entry| entry.facts.uid == *uid && entry.facts.addresses.is_empty())
        };
        // What the API knows by now (or knows to be gone) needs no second word.
        self.early.retain(|uid, early| unknown(uid, &early.key).is_some());
        let policies = self.caches.policies.list();
        if policies.is_empty() {
            return Rules::default();
        }
        let policies: Vec<&Policy> = policies.iter().map(|entry| &entry.facts).collect();
        let node = SmolStr::new(&self.config.node_name);
        let early: Vec<Pod> = self
            .early
            .iter()
            .filter_map(|(uid, Early { key, addresses })| {
                let pod = unknown(uid, key)?.facts.clone();
                Some(Pod { addresses: addresses.clone(), node: node.clone(), ..pod })
            })
            .collect();
        let entries = pods.list();
        let with_addresses = entries.iter().map(|entry| &entry.facts).filter(|pod| !pod.addresses.is_empty());
        let pods: Vec<&Pod> = with_addresses.chain(&early).collect();
        let namespaces = self.caches.namespaces.list();
        let namespaces: Vec<&view::Namespace> = namespaces.iter().map(|entry| &entry.facts).collect();
        compile::compile(&View {
            node: &self.config.node_name,
            policies: &policies,
            pods: &pods,
            namespaces: &namespaces,
        })
    }
}
