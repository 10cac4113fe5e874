//! The pod network of one node: addresses, cables, ports of the node. What the container runtime asks when it makes
//! and removes sandboxes.

pub mod addresses;
pub mod foreign;
pub mod state;
pub mod table;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cri::{BoxFuture, NetworkRequest, RuntimeError};
use env::Env;
use ipnet::IpNet;
use tokio::sync::watch;

use crate::names;
use crate::netlink::conntrack::Conntrack;
use crate::netlink::{Error, Links, Namespace, settings};
use crate::nftables::{Batch, Nft};
use crate::policy::Admission;
use addresses::Pool;
use state::{File, Record, Saved};

/// How long a sandbox waits for the node to learn its blocks: the control plane assigns them within moments.
const BLOCK_LIMIT: Duration = Duration::from_secs(30);

/// What the pod network has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells apart several instances on one machine: part of the names of links and tables.
    pub instance: String,
    /// Where it keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// The node's network namespace.
    pub namespace: Namespace,
    /// The node's addresses.
    pub node_addresses: Vec<IpAddr>,
    /// The blocks the node's pods get addresses from, at most one of each family; empty if not known yet.
    pub pod_blocks: Vec<IpNet>,
    /// The blocks of all pods of the cluster. Traffic between them keeps its addresses.
    pub cluster_blocks: Vec<IpNet>,
    /// The largest packet pods send.
    pub mtu: u32,
}

/// The pod network of one node.
#[derive(Debug)]
pub struct PodNet {
    shared: Arc<Shared>,
    env: Env,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    table: String,
    blocks: watch::Sender<Vec<IpNet>>,
    admission: OnceLock<Admission>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    saved: Saved,
    pool: Pool,
    links: Links,
    nft: Nft,
}

impl PodNet {
    /// Opens it: reads what was saved, switches forwarding on, and puts its rules in place. What runs goes on running.
    pub fn new(config: Config, env: Env) -> Result<Arc<PodNet>, Error> {
        let in_state = |source| Error::io(format!("using {}", config.state_dir.display()), source);
        let file = File::within(&config.state_dir).map_err(in_state)?;
        let saved = file.load().map_err(in_state)?;
        let taken = saved.sandboxes.values().flat_map(|record| record.addresses.iter().copied());
        let pool = Pool::new(taken, saved.resting.iter().copied());
        settings::write(&config.namespace, &[("net/ipv4/ip_forward", "1")])?;
        if config.cluster_blocks.iter().any(|block| block.addr().is_ipv6()) {
            settings::write(&config.namespace, &[("net/ipv6/conf/all/forwarding", "1")])?;
        }
        let table = names::table(&config.instance, "pods");
        let mut nft = Nft::of(&config.namespace)?;
        nft.establish(&table, |table| table::build(table, &config.cluster_blocks, saved.sandboxes.values()))?;
        let links = Links::of(&config.namespace)?;
        let known = saved.blocks.iter().filter_map(|block| block.parse().ok()).collect();
        let blocks = if config.pod_blocks.is_empty() { known } else { config.pod_blocks.clone() };
        let inner = Inner { file, saved, pool, links, nft };
        let shared = Shared {
            config,
            table,
            blocks: watch::Sender::new(Vec::new()),
            admission: OnceLock::new(),
            inner: Mutex::new(inner),
        };
        let net = Arc::new(PodNet { shared: Arc::new(shared), env });
        if !blocks.is_empty() {
            net.set_blocks(blocks)?;
        }
        Ok(net)
    }

    /// Tells which blocks the node's pods get addresses from: `spec.podCIDRs` of the Node. Sandboxes wait for it.
    pub fn set_blocks(&self, blocks: Vec<IpNet>) -> Result<(), Error> {
        if *self.shared.blocks.borrow() == blocks {
            return Ok(());
        }
        let mut inner = self.shared.lock();
        for block in &blocks {
            inner.pool.continue_after(*block);
        }
        inner.saved.blocks = blocks.iter().map(ToString::to_string).collect();
        inner.save()?;
        drop(inner);
        self.shared.blocks.send_replace(blocks);
        Ok(())
    }

    /// From now on new pods get onto the network only when their policies are in force. The first to say so counts.
    pub fn set_admission(&self, admission: Admission) {
        if self.shared.admission.set(admission).is_err() {
            tracing::error!("the pod network was told twice who admits pods; this is a defect");
        }
    }

    async fn blocks(&self) -> Result<Vec<IpNet>, RuntimeError> {
        let mut blocks = self.shared.blocks.subscribe();
        let known = blocks.wait_for(|blocks| !blocks.is_empty());
        match self.env.clock.timeout(BLOCK_LIMIT, known).await {
            Some(Ok(blocks)) => Ok(blocks.clone()),
            Some(Err(_)) | None => Err(RuntimeError::Failed(
                "the node has no block of pod addresses yet (spec.podCIDR of its Node is empty)".into(),
            )),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> cri::Result<T> {
        let shared = self.shared.clone();
        let result = self.env.tasks.blocking(move || work(&shared)).await;
        let result = result.ok_or_else(|| RuntimeError::Failed("the pod network's work panicked".into()))?;
        result.map_err(|error| RuntimeError::Failed(format!("pod network: {error}")))
    }
}

impl cri::PodNetwork for PodNet {
    fn attach(&self, request: NetworkRequest) -> BoxFuture<'_, cri::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let blocks = self.blocks().await?;
            let now = self.env.clock.now().secs();
            let asked = request.clone();
            let (record, is_new) = self.blocking(move |shared| shared.prepare(&asked, &blocks, now)).await?;
            // A container that is no pod has no policies.
            let has_policies = is_new && !record.pod.uid.is_empty();
            if let Some(admission) = self.shared.admission.get().filter(|_| has_policies) {
                admission.admit(record.pod.clone(), record.addresses.clone()).await;
            }
            self.blocking(move |shared| shared.connect(&request, record)).await
        })
    }

    fn detach(&self, sandbox: String) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(async move {
            let now = self.env.clock.now().secs();
            self.blocking(move |shared| shared.detach(&sandbox, now)).await
        })
    }

    fn keep_only(&self, sandboxes: Vec<String>) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(async move {
            let now = self.env.clock.now().secs();
            let wanted: BTreeSet<String> = sandboxes.into_iter().collect();
            self.blocking(move |shared| {
                shared.keep_only(|sandbox| foreign::is_foreign(sandbox) || wanted.contains(sandbox), now)
            })
            .await
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panicking thread left is a consistent state: each step is saved before the next.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a sandbox its addresses and rules. Answers whether they are new.
    fn prepare(&self, request: &NetworkRequest, blocks: &[IpNet], now: i64) -> Result<(Record, bool), Error> {
        let sandbox = Namespace::open(&request.netns)?;
        if sandbox.identity()? == self.config.namespace.identity()? {
            return Err(Error::Malformed(format!("{} is the node's own network", request.netns.display())));
        }
        let mut inner = self.lock();
        if let Some(record) = inner.saved.sandboxes.get(&request.sandbox) {
            return Ok((record.clone(), false));
        }
        let record = inner.allocate(&self.config.instance, request, blocks, now)?;
        // Rules first, so that the pod's first packet already meets them.
        let mut batch = Batch::new(&self.table);
        table::add(&mut batch, &record);
        if let Err(error) = inner.nft.apply(batch) {
            inner.forget(&request.sandbox, now)?;
            return Err(error);
        }
        Ok((record, true))
    }

    /// Lays the cable.
    fn connect(&self, request: &NetworkRequest, record: Record) -> Result<Vec<IpAddr>, Error> {
        let sandbox = Namespace::open(&request.netns)?;
        let alias =
            format!("ironclad {}: {}/{}", self.config.instance, record.pod.namespace, record.pod.name);
        let cable = wire::Cable {
            link: &record.link,
            inside: if request.interface.is_empty() { wire::INSIDE } else { &request.interface },
            alias: &alias,
            addresses: &record.addresses,
            node_addresses: &self.config.node_addresses,
            mtu: self.config.mtu,
        };
        let mut inner = self.lock();
        wire::connect(&self.config.namespace, &mut inner.links, &sandbox, &cable)?;
        Ok(record.addresses)
    }

    fn detach(&self, sandbox: &str, now: i64) -> Result<(), Error> {
        let mut inner = self.lock();
        let Some(record) = inner.saved.sandboxes.get(sandbox).cloned() else { return Ok(()) };
        inner.links.remove(&record.link)?;
        let mut batch = Batch::new(&self.table);
        table::remove(&mut batch, &record);
        match inner.nft.apply(batch) {
            Err(error) if !error.not_there() => return Err(error),
            _ => {}
        }
        if record.ports.iter().any(|port| port.protocol == cri::Protocol::Udp) {
            let mut conntrack = Conntrack::of(&self.config.namespace)?;
            for address in &record.addresses {
                conntrack.forget_all(*address, |flow| flow.backend.ip() == *address)?;
            }
        }
        inner.forget(sandbox, now)
    }

    fn keep_only(&self, is_wanted: impl Fn(&str) -> bool, now: i64) -> Result<(), Error> {
        let unwanted: Vec<String> = {
            let inner = self.lock();
            inner.saved.sandboxes.keys().filter(|sandbox| !is_wanted(sandbox)).cloned().collect()
        };
        for sandbox in unwanted {
            self.detach(&sandbox, now)?;
        }
        // Links without a record: their record was lost, or their sandbox was never finished.
        let mut inner = self.lock();
        let recorded: BTreeSet<String> =
            inner.saved.sandboxes.values().map(|record| record.link.clone()).collect();
        let prefix = names::link_prefix(&self.config.instance);
        for link in inner.links.list()? {
            if link.kind == "veth" && link.name.starts_with(&prefix) && !recorded.contains(&link.name) {
                inner.links.remove(&link.name)?;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn allocate(
        &mut self,
        instance: &str,
        request: &NetworkRequest,
        blocks: &[IpNet],
        now: i64,
    ) -> Result<Record, Error> {
        let taken = self.ports_taken();
        for port in &request.ports {
            let key = (port.protocol, port.host_port, port.host_ip);
            if port.host_port != 0
                && let Some(owner) = taken.get(&key)
            {
                return Err(Error::Malformed(format!(
                    "port {} of the node is taken by {owner}",
                    port.host_port
                )));
            }
        }
        let addresses = self.pool.take(blocks, now).ok_or_else(|| {
            let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            Error::Malformed(format!("no address is free in {}", blocks.join(", ")))
        })?;
        let record = Record {
            pod: request.pod.clone(),
            addresses,
            link: names::link(instance, &request.sandbox),
            ports: request.ports.clone(),
        };
        self.saved.sandboxes.insert(request.sandbox.clone(), record.clone());
        self.save()?;
        Ok(record)
    }

    fn ports_taken(&self) -> BTreeMap<(cri::Protocol, u16, Option<IpAddr>), String> {
        let mut taken = BTreeMap::new();
        for record in self.saved.sandboxes.values() {
            for port in &record.ports {
                let pod = format!("{}/{}", record.pod.namespace, record.pod.name);
                taken.insert((port.protocol, port.host_port, port.host_ip), pod);
            }
        }
        taken
    }

    fn forget(&mut self, sandbox: &str, now: i64) -> Result<(), Error> {
        if let Some(record) = self.saved.sandboxes.remove(sandbox) {
            for address in record.addresses {
                self.pool.release(address, now);
            }
            self.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        self.saved.resting = self.pool.resting().collect();
        self.file.save(&self.saved).map_err(|source| Error::io("saving pod addresses", source))
    }
}
