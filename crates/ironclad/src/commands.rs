//! What the commands do, one file each.

pub mod agent;
pub mod backup;
pub mod cni;
pub mod datastore;
pub mod down;
pub mod image;
pub mod net;
pub mod restore;
pub mod runtime;
pub mod status;
pub mod token;
pub mod up;

use anyhow::Context;
use client::Client;
use client::https::{Config, Connection, Credentials};
use env::Env;

use crate::config::Cluster;

/// The API of a cluster of this machine, as its administrator.
fn admin(cluster: &Cluster, env: &Env) -> anyhow::Result<Client> {
    let read = |name: &str| {
        let path = cluster.instance.pki_dir().join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let config = Config {
        server: cluster.server_url.clone(),
        ca: read("ca.crt")?,
        credentials: Credentials::Token(String::from_utf8(read("admin.token")?)?),
        user_agent: "ironclad".to_owned(),
        ..Config::default()
    };
    Ok(Client::new(std::sync::Arc::new(Connection::new(&config, env)?)))
}
