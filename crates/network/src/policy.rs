//! NetworkPolicies: who may speak to the pods of this node, and whom they may speak to.

pub mod compile;
pub mod table;
pub mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::cache::Facts;
use client::{Cache, SharedTransport, resources};
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
    /// Addresses of this node's pods that the API does not know yet, by the pod's identity.
    early: BTreeMap<SmolStr, Vec<IpAddr>>,
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
    notify(&agent.caches.pods, &changed);
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
            let key = client::Key::new(&newcomer.pod.namespace, &newcomer.pod.name);
            pods.get(&key).is_some_and(|entry| entry.facts.uid == newcomer.pod.uid.as_str())
        };
        let known: Vec<Newcomer> = waiting.extract_if(.., is_known).collect();
        let early: Vec<(SmolStr, Vec<IpAddr>)> =
            known.iter().map(|one| (SmolStr::new(&one.pod.uid), one.addresses.clone())).collect();
        let work = agent.clone();
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
        waiting.retain(|newcomer| !newcomer.ready.is_closed());
        tokio::select! {
            biased;
            newcomer = newcomers.recv() => match newcomer {
                Some(newcomer) => waiting.push(newcomer),
                None => changed.notified().await,
            },
            () = changed.notified() => {}
        }
    }
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
        let policies = self.caches.policies.list();
        let policies: Vec<&Policy> = policies.iter().map(|entry| &entry.facts).collect();
        let entries = self.caches.pods.list();
        let by_uid: BTreeMap<&SmolStr, &Pod> =
            entries.iter().map(|entry| (&entry.facts.uid, &entry.facts)).collect();
        // What the API knows by now (or knows to be gone) needs no second word.
        self.early.retain(|uid, _| by_uid.get(uid).is_some_and(|pod| pod.addresses.is_empty()));
        let early: Vec<Pod> = self
            .early
            .iter()
            .filter_map(|(uid, addresses)| {
                let pod = (*by_uid.get(uid)?).clone();
                Some(Pod { addresses: addresses.clone(), node: SmolStr::new(&self.config.node_name), ..pod })
            })
            .collect();
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
