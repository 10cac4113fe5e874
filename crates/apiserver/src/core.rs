//! What every request handler shares.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use env::Env;
use machinery::Status;
use store::StoreError;

use crate::admission::{Chain, Surroundings};
use crate::aggregation::Aggregation;
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::authz::Union;
use crate::cache::Caches;
use crate::config::Config;
use crate::definitions::Cleaning;
use crate::encryption::Seals;
use crate::flow::FlowControl;
use crate::health::Health;
use crate::kubelet::Kubelets;
use crate::metrics::Metrics;
use crate::openapi;
use crate::quota::Turns;
use crate::registry::Registry;
use crate::tokens::Keys;

/// The parts of a running server.
#[derive(Debug)]
pub struct Core {
    /// What it was told at start.
    pub config: Config,
    /// Where it listens.
    pub address: SocketAddr,
    /// Time, randomness, tasks.
    pub env: Env,
    /// All objects.
    pub caches: Arc<Caches>,
    /// All resources.
    pub registry: ArcSwap<Registry>,
    /// Who makes a request.
    pub authenticator: Authenticator,
    /// The keys of service-account tokens.
    pub tokens: Keys,
    /// What they may do.
    pub authorizer: Arc<Union>,
    /// What the cluster's rules make of it.
    pub admission: Chain,
    /// Who charges a namespace's quotas.
    pub quotas: Turns,
    /// When it is their turn.
    pub flow: Arc<FlowControl>,
    /// Writes requests down, if anybody wants that.
    pub audit: Option<Arc<Audit>>,
    /// How values are sealed in the store.
    pub seals: Arc<Seals>,
    /// The way to the nodes.
    pub kubelets: Kubelets,
    /// Definitions whose objects are being removed.
    pub cleaning: Cleaning,
    /// What others serve.
    pub aggregation: Aggregation,
    /// What can be called, in OpenAPI's words.
    pub openapi: openapi::Documents,
    /// How it is.
    pub health: Health,
    /// What it counted.
    pub metrics: Metrics,
}

impl Core {
    /// Waits until everything that was committed before is in the cache.
    pub async fn catch_up(&self) -> Result<(), Status> {
        self.caches.catch_up().await.map(|_| ()).map_err(store_failed)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What admission plugins may look at.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            caches: &self.caches,
            registry: &self.registry,
            entropy: &self.env.entropy,
            env: &self.env,
            system_roots: &self.config.system_roots,
        }
    }
}

/// A failure of the store as clients are told of it.
pub fn store_failed(error: StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        StoreError::DiskFull { .. } | StoreError::Unavailable { .. } => {
            tracing::error!(%error, "the store refused a request");
            Status::unavailable(error.to_string())
        }
        other => {
            tracing::error!(error = %other, "the store failed");
            Status::internal(other)
        }
    }
}
