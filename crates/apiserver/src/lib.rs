//! The API server: HTTP, authentication, authorization, admission, the verbs, the watch cache, discovery.
//!
//! [`start`] makes a server of a configuration, the doors to the outside and a store. A write goes one way: bytes, route,
//! who are you, may you, document, defaults, admission, the kind's rules, encoded once, store, watch cache, everyone who
//! watches. A read never goes past the watch cache.

pub mod admission;
mod aggregation;
mod answer;
pub mod audit;
pub mod authn;
pub mod authz;
mod backends;
mod bootstrap;
mod cache;
mod condition_times;
pub mod config;
mod convert;
mod core;
mod custom;
mod definitions;
mod discovery;
mod document;
pub mod encryption;
mod expression;
mod flow;
mod handler;
mod health;
mod hook;
mod http;
pub mod identity;
mod impersonate;
mod kubelet;
mod managed;
mod memo;
mod metrics;
mod openapi;
mod owners;
mod proxy;
mod query;
mod quota;
mod registry;
pub mod remote;
mod reviews;
mod route;
mod selection;
mod services;
mod stored;
mod subresource;
mod tokens;
mod transport;
mod verbs;
mod version;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http as _;
use arc_swap::ArcSwap;
use env::{Env, TaskHandle};
use store::Store;
use tokio::net::TcpListener;

pub use config::{Config, KeyPair, KnownToken, Limits, Source};
pub use identity::Identity;

use crate::core::Core;
use crate::health::Phase;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates or keys cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] http::tls::TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another server running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The encryption configuration cannot be used.
    #[error("the encryption configuration cannot be used")]
    Encryption(#[from] encryption::config::ConfigError),
    /// Nobody can be identified as configured.
    #[error("authentication cannot be set up")]
    Authentication(#[from] authn::SetupError),
    /// Nobody can be asked as configured.
    #[error("authorization cannot be set up: {0}")]
    Authorization(String),
    /// Requests cannot be written down.
    #[error("the audit log cannot be kept")]
    Audit(#[from] audit::AuditError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] store::StoreError),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    core: Arc<Core>,
    serving: TaskHandle<()>,
}

/// How long to wait before what every cluster has is tried to be made again.
const BOOTSTRAP_RETRY: Duration = Duration::from_millis(500);
/// How often it is seen to that the way to this server is there.
const REPAIR: Duration = Duration::from_secs(10);

/// Starts a server. It serves when this returns; [`Server::ready`] tells when what every cluster has is there.
pub async fn start(config: Config, env: Env, store: Arc<dyn Store>) -> Result<Server, StartError> {
    let env = env.child("apiserver");
    let tls = http::tls::server_config(&config.serving)?;
    let audit = config.audit.as_ref().map(|settings| audit::Audit::open(&env, settings)).transpose()?;
    let authenticator = authn::Authenticator::new(&config, &env)?;
    let tokens = tokens::Keys::new(&config)?;
    let kubelets = kubelet::Kubelets::new(&config)?;
    let table = api::Table::load();
    let seals = encryption::Seals::new(encryption::read(&env, config.encryption.as_ref()).await?);
    let store = encryption::Sealing::new(store, &seals);
    let caches = registry::open_caches(&env, store, &table).await?;
    let registry = registry::Registry::built_in(table, &caches);
    let unavailable = |source| StartError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(unavailable)?;
    let addr = listener.local_addr().map_err(unavailable)?;
    let limits = config.limits;
    let pod_security = config.pod_security.clone();
    let policy = authz::rbac::Rbac::new(&caches);
    let authorizer = authz::Union::new(&caches, &policy, (&config.authorization, &env));
    let authorizer = Arc::new(authorizer.map_err(StartError::Authorization)?);
    let core = Arc::new(Core {
        address: addr,
        config,
        env: env.clone(),
        caches: caches.clone(),
        registry: ArcSwap::from_pointee(registry),
        authenticator,
        kubelets,
        tokens,
        cleaning: definitions::Cleaning::default(),
        aggregation: aggregation::Aggregation::default(),
        openapi: openapi::Documents::default(),
        admission: admission::Chain::new(&policy, &authorizer, pod_security),
        authorizer,
        seals: seals.clone(),
        audit,
        quotas: quota::Turns::default(),
        flow: Arc::new(flow::FlowControl::new(&caches, limits.requests)),
        health: health::Health::default(),
        metrics: metrics::Metrics::default(),
    });
    if let Some(definitions) = definitions::Definitions::begin(&core).await {
        env.tasks.spawn("definitions", definitions.run());
    }
    core.health.reached(Phase::Cached);
    flow::start(&core);
    if let Some(source) = core.config.encryption.clone() {
        env.tasks.spawn("encryption configuration", encryption::follow(env.clone(), source, seals));
    }
    let handler = Arc::new(handler::Requests::new(core.clone()));
    let serving = http::listener::serve(listener, tls, limits, env.clone(), handler);
    let serving = env.tasks.spawn_until_done("listener", serving);
    env.tasks.spawn("foreign servers", aggregation::run(core.clone()));
    core.health.reached(Phase::Serving);
    env.tasks.spawn("bootstrap", prepare(core.clone()));
    Ok(Server { addr, core, serving })
}

/// Makes what every cluster has, however long the store takes to let us.
async fn prepare(core: Arc<Core>) {
    loop {
        match bootstrap::run(&core).await {
            Ok(()) => {
                core.health.reached(Phase::Bootstrapped);
                break;
            }
            Err(error) => {
                tracing::error!(%error, "what every cluster has could not be made; trying again");
                core.env.clock.sleep(BOOTSTRAP_RETRY).await;
            }
        }
    }
    loop {
        core.env.clock.sleep(REPAIR).await;
        if let Err(error) = bootstrap::repair(&core).await {
            tracing::warn!(%error, "what must not be missing for long could not be looked after");
        }
    }
}

impl Server {
    /// The API for somebody in the same process.
    pub fn transport(&self, identity: Identity) -> Arc<dyn client::Transport> {
        Arc::new(transport::InProcess::new(self.core.clone(), identity))
    }

    /// Whether everything that is done at start is done.
    pub fn is_ready(&self) -> bool {
        self.core.health.is_ready()
    }

    /// Waits until everything that is done at start is done.
    pub async fn ready(&self) {
        self.core.health.wait_until_ready().await;
    }

    /// Tells that the server is about to stop: `/readyz` fails from now on.
    pub fn shutdown(&self) {
        self.core.health.stop();
    }

    /// Waits until the listener has ended, which it does when the environment's tasks are stopped.
    pub async fn ended(self) {
        self.serving.join().await;
    }
}
