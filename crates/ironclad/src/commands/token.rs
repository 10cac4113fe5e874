//! `ironclad token …`: what other machines join with.

use anyhow::{Context, ensure};
use client::https::pinned;
use env::Env;

use super::admin;
use crate::args::{Token, TokenCreate};
use crate::config::{Cluster, Instance};
use crate::join::token::JoinToken;
use crate::pki;
use crate::settings::Settings;

/// Does it.
pub fn run(command: &Token) -> anyhow::Result<()> {
    match command {
        Token::Create(flags) => create(flags),
    }
}

fn create(flags: &TokenCreate) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    let cluster = Settings::read(&instance)?
        .with_context(|| format!("there is no cluster in {}", instance.data_dir.display()))?
        .cluster(&instance)?;
    print_new(&cluster, flags.hours)
}

/// Makes a token that is good for so many hours, and prints how a machine joins with it.
pub fn print_new(cluster: &Cluster, hours: u32) -> anyhow::Result<()> {
    ensure!(
        !cluster.control_plane_only,
        "this cluster was started with --control-plane-only: it takes no nodes"
    );
    ensure!(
        !cluster.listen.ip().is_loopback(),
        "the API server listens on {} only, where no other machine reaches it; start it with another --bind",
        cluster.listen.ip()
    );
    let authority =
        pki::read_pair(&cluster.instance.pki_dir(), "ca")?.context("the cluster has no authority yet")?;
    let token = JoinToken::new(pinned::fingerprint(&authority.der()?))?;
    let env = Env::real();
    let expires = env.clock.now().secs() + i64::from(hours) * 3_600;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { token.publish(&admin(cluster, &env)?, expires).await })?;
    println!("Another machine joins, within {hours} hours, with:");
    println!("  ironclad agent --server {} --token {token}", cluster.node_server_url());
    Ok(())
}
