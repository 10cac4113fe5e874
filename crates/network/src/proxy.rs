//! The Service proxy: follows Services and their endpoints, and keeps the kernel's rules equal to what they say.
//!
//! The kernel forwards; this only tells it where to. When this process ends, everything goes on as it was told last.

pub mod compile;
pub mod health;
pub mod install;
pub mod ruleset;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Key;
use env::Env;
use tokio::sync::Notify;

use crate::feed::Feed;
use crate::names;
use crate::netlink::conntrack::Conntrack;
use crate::netlink::{Error, Namespace, or_gone};
use crate::nftables::{Batch, Nft, set};
use crate::view::{Node, Slice, protocol};
use install::{Blocks, Changed, Difference, Installed, Wanted};
use ruleset::{Frontend, Target};
use table::SetName;

/// How long a failed change waits before the table is made anew, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What the proxy has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells apart several instances on one machine.
    pub instance: String,
    /// The node's network namespace.
    pub namespace: Namespace,
    /// The blocks of Services' and pods' addresses.
    pub blocks: Blocks,
    /// Addresses of Services that this node serves itself (names).
    pub own_addresses: Vec<IpAddr>,
}

/// The proxy's view and the kernel's table.
#[derive(Debug)]
pub struct Proxy {
    config: Config,
    table: String,
    wanted: Wanted,
    installed: Installed,
    nft: Nft,
    conntrack: Conntrack,
    /// Whether the kernel's table is what `wanted` and `installed` say.
    in_order: bool,
}

impl Proxy {
    /// A proxy that has installed nothing yet: the table of an earlier one stays in force until the first
    /// [`Proxy::sync`].
    pub fn new(config: Config) -> Result<Proxy, Error> {
        let nft = Nft::of(&config.namespace)?;
        let conntrack = Conntrack::of(&config.namespace)?;
        let table = names::table(&config.instance, "services");
        let (wanted, installed) = (Wanted::default(), Installed::default());
        Ok(Proxy { config, table, wanted, installed, nft, conntrack, in_order: false })
    }

    /// Takes in the named Services as they are now, and installs what changed: the first time, and after a failure,
    /// whatever differs in the table that is there.
    pub fn sync(&mut self, feed: &Feed, node: &Node, services: &BTreeSet<Key>) -> Result<(), Error> {
        let mut difference = Difference::default();
        for key in services {
            difference.append(self.take_in(feed, node, key));
        }
        self.install(&difference)
    }

    /// Takes in one Service.
    fn take_in(&mut self, feed: &Feed, node: &Node, key: &Key) -> Difference {
        let wish = feed.service(key).map(|entry| {
            let slices = feed.slices(key);
            let slices: Vec<&Slice> = slices.iter().map(|entry| &entry.facts).collect();
            let service = &entry.facts;
            let frontends = compile::compile(service, &slices, node, &self.config.own_addresses);
            let addresses = if frontends.is_empty() { Vec::new() } else { service.cluster_ips.clone() };
            (frontends, addresses)
        });
        self.wanted.set(key, wish)
    }

    /// Brings the kernel over a difference.
    pub fn install(&mut self, difference: &Difference) -> Result<(), Error> {
        // Until it is known to have worked, nothing is known of the table.
        if std::mem::take(&mut self.in_order) {
            self.nft.apply(self.installed.update(&self.table, difference))?;
            return self.settle(difference);
        }
        let (installed, wanted, blocks) = (&mut self.installed, &self.wanted, &self.config.blocks);
        let present = self.nft.establish(&self.table, |table| installed.rebuild(table, blocks, wanted))?;
        let difference = self.wanted.everything(present.as_ref());
        self.settle(&difference)
    }

    /// What is to be done once the table is in order.
    fn settle(&mut self, difference: &Difference) -> Result<(), Error> {
        self.in_order = true;
        self.forget_stale_choices(difference)?;
        self.forget_stale_flows(difference)
    }

    /// What is wanted now.
    pub fn wanted(&mut self) -> &mut Wanted {
        &mut self.wanted
    }

    /// Clients whose endpoint is gone choose again. (The rules could check that themselves, but not so that the `nft`
    /// tool could still list them.)
    fn forget_stale_choices(&mut self, difference: &Difference) -> Result<(), Error> {
        for v6 in [false, true] {
            let changed: BTreeMap<Frontend, &Changed> = difference
                .frontends
                .iter()
                .filter(|(frontend, changed)| {
                    frontend.v6 == v6 && (keeps(&changed.old) || keeps(&changed.new))
                })
                .map(|(frontend, changed)| (*frontend, changed))
                .collect();
            if changed.is_empty() {
                continue;
            }
            let set = SetName::Choices.name(v6);
            for element in self.nft.elements(&self.table, set)? {
                let Some(changed) = frontend_of(&element.key, v6).and_then(|(frontend, node_port)| {
                    changed.get(&frontend).or_else(|| changed.get(&node_port))
                }) else {
                    continue;
                };
                // Where outsiders begin or cease to have a list of their own, all choose again.
                let same = has_local_list(&changed.old) == has_local_list(&changed.new);
                let mut allowed = changed.new.iter().filter(|_| same).flat_map(Target::backends);
                if allowed.any(|backend| element.value == set::Value::Data(table::endpoint_key(backend))) {
                    continue;
                }
                let mut batch = Batch::new(&self.table);
                batch.remove_elements(set, [element]);
                // Its time may have been up a moment ago.
                or_gone(self.nft.apply(batch))?;
            }
        }
        Ok(())
    }

    /// A UDP flow never ends while its client sends; so those that lead where nobody answers any more are forgotten,
    /// and those that began before there was an endpoint.
    fn forget_stale_flows(&mut self, difference: &Difference) -> Result<(), Error> {
        for v6 in [false, true] {
            let changed: Vec<_> = difference
                .frontends
                .iter()
                .filter(|(frontend, _)| frontend.protocol == protocol::UDP && frontend.v6 == v6)
                .collect();
            if changed.is_empty() {
                continue;
            }
            let family = if v6 { IpAddr::from([0; 16]) } else { IpAddr::from([0; 4]) };
            self.conntrack.forget_all(family, |flow| {
                flow.protocol == protocol::UDP
                    && changed.iter().any(|(frontend, changed)| {
                        flow.service.port() == frontend.port
                            && frontend.address.is_none_or(|address| flow.service.ip() == address)
                            && !changed.new.iter().flat_map(Target::backends).any(|one| *one == flow.backend)
                    })
            })?;
        }
        Ok(())
    }
}

/// The frontend in the key of a remembered choice: with its address, and as a node port.
fn frontend_of(key: &set::Key, v6: bool) -> Option<(Frontend, Frontend)> {
    let client = if v6 { 16 } else { 4 };
    let key = set::Key::from_bytes(key.bytes().get(client..)?);
    let frontend = table::frontend_of(SetName::Services, &key, v6)?;
    Some((frontend, Frontend { address: None, ..frontend }))
}

/// Whether clients keep their endpoint.
fn keeps(target: &Option<Target>) -> bool {
    matches!(target, Some(Target::Balance(balance)) if balance.affinity.is_some())
}

/// Whether clients outside the cluster have endpoints of their own.
fn has_local_list(target: &Option<Target>) -> bool {
    matches!(target, Some(Target::Balance(balance)) if balance.local.is_some())
}

/// The port at which load balancers ask for a Service, and how many endpoints of it are here.
fn health_of(feed: &Feed, node: &Node, key: &Key) -> Option<(u16, usize)> {
    let service = feed.service(key)?;
    let port = service.facts.health_check_port.filter(|_| service.facts.external_local)?;
    let slices = feed.slices(key);
    let slices: Vec<&Slice> = slices.iter().map(|entry| &entry.facts).collect();
    Some((port, compile::local_endpoints(&slices, node)))
}

/// Follows Services until the tasks of `env` stop. `node` is asked for this node as it is now.
/// `node_changed` is told when it may be another one.
pub async fn run(
    proxy: Proxy,
    feed: Feed,
    node: impl Fn() -> Node + Send + 'static,
    node_changed: Arc<Notify>,
    env: Env,
) {
    let mut changes = feed.changes();
    feed.synced().await;
    // The first time it is about all Services: what is in the kernel for others is of an earlier time.
    let mut keys = feed.all_services();
    let mut is_first = true;
    let mut checks = health::Checks::new(proxy.config.namespace.clone(), env.child("health"));
    let proxy = Arc::new(Mutex::new(proxy));
    let mut known_node = node();
    let mut wait = RETRY.0;
    loop {
        if keys.is_empty() && !is_first {
            tokio::select! {
                biased;
                changed = changes.next_all() => keys = changed,
                () = node_changed.notified() => {}
            }
        }
        let now = node();
        if now != known_node {
            // A change of the node (its zone, say) concerns every Service.
            keys.extend(feed.all_services());
            known_node = now;
        }
        if keys.is_empty() && !is_first {
            continue;
        }
        let work = (proxy.clone(), feed.clone(), known_node.clone(), keys.clone());
        let synced = env.tasks.blocking(move || {
            let (proxy, feed, node, keys) = work;
            proxy.lock().unwrap_or_else(PoisonError::into_inner).sync(&feed, &node, &keys)
        });
        match synced.await {
            Some(Ok(())) => {
                (wait, is_first) = (RETRY.0, false);
                for key in std::mem::take(&mut keys) {
                    checks.set(&key, health_of(&feed, &known_node, &key));
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, again_in = ?wait, "the Service rules could not be changed");
                env.clock.sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
            None => return,
        }
    }
}
