//! `ironclad net …`: looks into the network of the cluster.

use std::process::ExitCode;

use anyhow::Context;
use client::cache::Facts;
use client::{Call, Client, Resource, resources};
use env::Env;
use network::trace::world::World;
use network::trace::{Fate, Question, trace};
use network::view::protocol;

use super::admin;
use crate::args::{Net, NetTrace};
use crate::config::{CLUSTER_DOMAIN, Cluster, Instance};
use crate::settings::Settings;

/// Does it.
pub fn run(command: &Net) -> anyhow::Result<ExitCode> {
    match command {
        Net::Trace(flags) => run_trace(flags),
    }
}

fn run_trace(flags: &NetTrace) -> anyhow::Result<ExitCode> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    let cluster = Settings::read(&instance)?
        .with_context(|| format!("there is no cluster in {}", instance.data_dir.display()))?
        .cluster(&instance)?;
    let env = Env::real();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let world = runtime.block_on(async { world(&cluster, &admin(&cluster, &env)?).await })?;
    let question = Question {
        from: flags.from.clone(),
        namespace: flags.namespace.clone(),
        to: flags.to.clone(),
        protocol: if flags.udp { protocol::UDP } else { protocol::TCP },
    };
    let trace = trace(&world, &question)?;
    print!("{trace}");
    Ok(match trace.fate {
        Fate::Arrives | Fate::Leaves => ExitCode::SUCCESS,
        Fate::Depends | Fate::Refused | Fate::Lost => ExitCode::FAILURE,
    })
}

/// The cluster as it is now.
async fn world(cluster: &Cluster, client: &Client) -> anyhow::Result<World> {
    Ok(World {
        services: all(client, resources::SERVICES).await?,
        slices: all(client, resources::ENDPOINT_SLICES).await?,
        pods: all(client, resources::PODS).await?,
        policies: all(client, resources::NETWORK_POLICIES).await?,
        namespaces: all(client, resources::NAMESPACES).await?,
        nodes: all(client, resources::NODES).await?,
        service_blocks: cluster.addresses.services.clone(),
        dns: cluster.addresses.dns.clone(),
        domain: CLUSTER_DOMAIN.to_owned(),
    })
}

async fn all<F: Facts>(client: &Client, resource: Resource) -> anyhow::Result<Vec<F>> {
    let answer = client.objects(resource, Call::all("")).await;
    let answer = answer
        .map_err(|status| anyhow::anyhow!("the API server does not list {}: {status}", resource.plural))?;
    let read = answer.items.iter().map(|object| F::of(object));
    read.collect::<Result<_, _>>().map_err(|status| anyhow::anyhow!("an object makes no sense: {status}"))
}
