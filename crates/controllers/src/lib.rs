//! The loops that make the declared state real: one directory and one registry line per controller.
//!
//! Each controller looks (gathers a view from caches), plans (a pure function in `plan.rs`, with reasons) and leaves
//! the rest to [`client::Driver`]. None knows of HTTP, the store, the time of day or random numbers.

mod claim;
mod context;
mod custom;
mod hash;
mod history;
mod node;
mod pod;
mod recent;
mod scaled;
mod service;
mod template;
#[cfg(test)]
mod tests;

mod aggregation;
mod certificates;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod finished;
mod garbage;
mod job;
mod loadbalancer;
mod mirroring;
mod namespace;
mod nodeipam;
mod nodelifecycle;
mod nodettl;
mod podgc;
mod policystatus;
mod protection;
mod replicaset;
mod replicationcontroller;
mod resourcequota;
mod rootca;
mod serviceaccount;
mod servicecidr;
mod statefulset;
mod tainteviction;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use client::SharedTransport;
use client::driver::Decisions;
use env::Env;

use context::Context;

/// A text that is shown to nobody.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// What the user can configure.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The certificate of the CA that signed the API server's, in PEM: published to every namespace.
    pub root_ca: String,
    /// That CA's key, in PEM: signs what was approved. Empty if that is done elsewhere.
    pub root_key: Secret,
    /// The ranges of addresses of which each node gets a part for its pods, one for each family; none if nodes have
    /// theirs from elsewhere.
    pub pod_cidrs: Vec<String>,
}

/// A controller's name, and how it is started.
type Entry = (&'static str, fn(&Context) -> Decisions);

/// Every controller there is.
const CONTROLLERS: &[Entry] = &[
    ("certificatesigningrequest", certificates::start),
    ("clusterrole-aggregation", aggregation::start),
    ("cronjob", cronjob::start),
    ("daemonset", daemonset::start),
    ("deployment", deployment::start),
    ("disruption", disruption::start),
    ("disruption-marks", disruption::marks::start),
    ("endpoints", endpoints::start),
    ("endpointslice", endpointslice::start),
    ("endpointslice-mirroring", mirroring::start),
    ("garbage-collector", garbage::start),
    ("job", job::start),
    ("load-balancer", loadbalancer::start),
    ("namespace", namespace::start),
    ("node-ipam", nodeipam::start),
    ("node-lifecycle", nodelifecycle::start),
    ("persistentvolume-protection", protection::start_volumes),
    ("persistentvolumeclaim-protection", protection::start_claims),
    ("pod-garbage-collector", podgc::start),
    ("replicaset", replicaset::start),
    ("replicationcontroller", replicationcontroller::start),
    ("resourcequota", resourcequota::start),
    ("root-ca-certificate-publisher", rootca::start),
    ("service-cidr", servicecidr::start),
    ("serviceaccount", serviceaccount::start),
    ("statefulset", statefulset::start),
    ("taint-eviction", tainteviction::start),
    ("ttl", nodettl::start),
    ("ttl-after-finished", finished::start),
    ("validatingadmissionpolicy-status", policystatus::start),
    ("volumeattributesclass-protection", protection::start_classes),
];

/// The running controllers.
#[derive(Clone)]
pub struct Controllers {
    context: Arc<Context>,
}

impl fmt::Debug for Controllers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(CONTROLLERS.iter().map(|(name, _)| name)).finish()
    }
}

impl Controllers {
    /// The last decisions of each controller, for whoever asks why.
    pub fn decisions(&self) -> BTreeMap<&'static str, Decisions> {
        self.context.decisions()
    }
}

/// Starts all controllers; they run as long as the tasks of `env` do. `transport_for` gives the way to the API for a
/// name: that of a service account in `kube-system` (`replicaset-controller`), or `kube-controller-manager`, which
/// reads for all.
pub fn start(
    transport_for: impl Fn(&str) -> SharedTransport + Send + Sync + 'static,
    config: Config,
    env: Env,
) -> Controllers {
    let context = Arc::new(Context::new(Box::new(transport_for), config, env));
    for (name, start) in CONTROLLERS {
        context.keep(name, start(&context));
    }
    Controllers { context }
}
