//! The rooms put together: what a cluster is made of, in the order it is started, and its end.
//!
//! Read top to bottom: the store, the API server on it, then everything that meets through the API: controllers,
//! scheduler, and the nodes of this machine. What fails to start says why, and everything before it stops.

pub mod containers;
pub mod node;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use apiserver::{Identity, KeyPair, KnownToken, Server};
use client::election::Leadership;
use client::{Client, Key};
use env::Env;
use store::Store;

use crate::config::Cluster;
use crate::control::{self, Doors};
use crate::datastore::Opened;
use crate::join::{admit, roles};
use crate::nodes::Nodes;
use crate::pki::{FRONT_PROXY, Pki};
use node::{Node, NodeParts, Ways};

/// The lease of those who run the controllers and the scheduler, named as upstream's.
const LEASE: &str = "kube-controller-manager";

/// A cluster that runs.
#[derive(Debug)]
pub struct Running {
    env: Env,
    server: Arc<Server>,
    leadership: Option<Leadership>,
    node: Option<Node>,
    others: Nodes,
}

impl Running {
    /// Starts everything. It is begun, not yet ready, when this answers.
    pub async fn start(cluster: &Cluster, pki: &Pki, env: Env) -> anyhow::Result<Running> {
        let opened = cluster.datastore.open(&cluster.instance, &env).await?;
        let server = start_server(cluster, pki, &env, opened.store()).await?;
        if cluster.control_plane_only {
            let doors = Doors { containers: None, objects: Some(opened), pods: None };
            control::serve(&cluster.instance.control_socket(), doors, &env)?;
            let (leadership, node, others) = (None, None, Nodes::default());
            return Ok(Running { env, server, leadership, node, others });
        }
        let leadership = Some(start_leadership(cluster, pki, &env, &server));
        let node =
            start_node(cluster, pki, &env, (&server, opened)).await.context("the node did not start")?;
        let admin = Client::new(server.transport(Identity::new("ironclad", &["system:masters"])));
        let prepare = roles::ensure(admin.clone(), cluster.addresses.clone(), env.child("roles"));
        env.tasks.spawn("what joining nodes need", prepare);
        let sign = admit::run(admin.clone(), pki.ca.clone(), env.child("certificates"));
        env.tasks.spawn("certificates of nodes", sign);
        let others = Nodes::start(cluster, pki, admin, &env.child("nodes"))?;
        Ok(Running { env, server, leadership, node: Some(node), others })
    }

    /// Waits until the API answers and the nodes take pods.
    pub async fn ready(&self) {
        self.server.ready().await;
        if let Some(node) = &self.node {
            node.ready(&self.env).await;
        }
        self.others.ready(&self.env).await;
    }

    /// Stops in good order: open answers get `limit` to finish. Containers and Services go on.
    pub async fn stop(self, limit: Duration) {
        self.others.stop().await;
        if let Some(leadership) = self.leadership {
            leadership.stop().await;
        }
        let open = self.server.drain().await;
        if open > 0 {
            tracing::warn!(open, "some connections did not end in time");
        }
        let left = self.env.tasks.stop(limit).await;
        if left > 0 {
            tracing::warn!(left, "some tasks did not end in time");
        }
    }
}

async fn start_server(
    cluster: &Cluster,
    pki: &Pki,
    env: &Env,
    store: Arc<dyn Store>,
) -> anyhow::Result<Arc<Server>> {
    let mut config = apiserver::Config::new(cluster.listen);
    let pair = |pair: &crate::pki::Pair| KeyPair {
        chain: pair.certificate.clone().into_bytes(),
        key: pair.key.clone().into_bytes(),
    };
    config.serving = pair(&pki.server);
    // Shown too, so that a machine that joins can see that it is the one its token is for.
    config.serving.chain.extend_from_slice(pki.ca.certificate.as_bytes());
    config.client_ca = pki.ca.certificate.clone().into_bytes();
    config.known_tokens = vec![KnownToken::new(pki.admin_token.clone(), administrator())];
    config.token_key = pki.service_accounts.clone().into_bytes();
    config.service_cidrs = cluster.addresses.services.clone();
    config.advertise = cluster.node_ips[0];
    config.kubelet_client = pair(&pki.kubelet_client);
    config.kubelet_ca = pki.ca.certificate.clone().into_bytes();
    config.proxy_client = pair(&pki.front_proxy_client);
    config.front_proxy = apiserver::authn::front_proxy::Settings {
        ca: pki.front_proxy_ca.certificate.clone().into_bytes(),
        names: vec![FRONT_PROXY.to_owned()],
    };
    cluster.security.apply(&mut config, &cluster.instance.data_dir)?;
    crate::allocator::give_back_in_calm(env);
    match apiserver::start(config, env.child("apiserver"), store).await {
        Ok(server) => Ok(Arc::new(server)),
        Err(apiserver::StartError::Listen { address, source }) => {
            bail!("port {} cannot be used ({source}); choose another with --port", address.port())
        }
        Err(error) => Err(error).context("the API server did not start"),
    }
}

/// Controllers and scheduler run only in the process that holds the lease: of several servers on one store, in one.
fn start_leadership(cluster: &Cluster, pki: &Pki, env: &Env, server: &Arc<Server>) -> Leadership {
    let client = Client::new(server.transport(controller_manager()));
    // A process that was killed finds its lease again under this name, and need not wait for it to run out.
    let identity = format!("{}_{}", cluster.node_name, cluster.instance.id);
    let (server, schedules) = (server.clone(), cluster.schedules);
    let config = controllers::Config {
        root_ca: pki.ca.certificate.clone(),
        root_key: controllers::Secret(pki.ca.key.clone()),
        pod_cidrs: cluster.addresses.pods.iter().map(ToString::to_string).collect(),
    };
    Leadership::start(client, Key::new("kube-system", LEASE), identity, env, move |env| {
        start_controllers(config.clone(), &env, &server);
        if schedules {
            let scheduler = Identity::new("system:kube-scheduler", &["system:masters"]);
            scheduler::start(server.transport(scheduler), env.child("scheduler"));
        }
    })
}

/// Whoever has the kubeconfig that `up` writes.
fn administrator() -> Identity {
    Identity { uid: "admin-uid".to_owned(), ..Identity::new("admin", &["system:masters"]) }
}

fn controller_manager() -> Identity {
    Identity::new("system:kube-controller-manager", &["system:masters"])
}

fn start_controllers(config: controllers::Config, env: &Env, server: &Arc<Server>) {
    let server = server.clone();
    let transport_for = move |name: &str| {
        let user = match name {
            "kube-controller-manager" => controller_manager(),
            account => service_account(account),
        };
        server.transport(user)
    };
    controllers::start(transport_for, config, env.child("controllers"));
}

async fn start_node(
    cluster: &Cluster,
    pki: &Pki,
    env: &Env,
    (server, opened): (&Arc<Server>, Opened),
) -> anyhow::Result<Node> {
    let user = Identity::new(&format!("{}{}", admit::NODE, cluster.node_name), &[admit::NODES]);
    let ways = Ways {
        node: server.transport(user),
        network: server.transport(Identity::new("system:kube-proxy", &["system:masters"])),
        serving: pki.kubelet_server.clone(),
        ca: pki.ca.certificate.clone(),
        objects: Some(opened),
    };
    NodeParts::of_server(cluster).start(ways, env).await
}

/// A controller's own account.
fn service_account(name: &str) -> Identity {
    let groups = ["system:masters", "system:serviceaccounts", "system:serviceaccounts:kube-system"];
    Identity::new(&format!("system:serviceaccount:kube-system:{name}"), &groups)
}
