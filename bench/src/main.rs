//! Benchmarks: `cargo run --release -p bench -- WHAT`.

mod api;
mod cluster;
mod containers;
mod controllers;
mod datastore;
mod dns;
mod flaps;
mod idle;
mod network;
mod node;
mod nodes;
mod objects;
mod process;
mod report;
mod startup;
mod watch;

use anyhow::{Result, bail};

/// The allocator of the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((what, rest)) if what == "store" => datastore::run(rest).await,
        Some((what, rest)) if what == "startup" => startup::run(rest).await,
        Some((what, rest)) if what == "idle" => idle::run(rest).await,
        Some((what, rest)) if what == "api" => api::run(rest).await,
        Some((what, rest)) if what == "watch" => watch::run(rest).await,
        Some((what, rest)) if what == "nodes" => nodes::run(rest).await,
        Some((what, rest)) if what == "network" => network::run(rest),
        Some((what, rest)) if what == "dns" => dns::run(rest).await,
        Some((what, rest)) if what == "flaps" => flaps::run(rest).await,
        Some((what, rest)) if what == "node" => node::run(rest).await,
        Some((what, rest)) if what == "objects" => objects::run(rest),
        Some((what, rest)) if what == "runtime" => containers::run(rest).await,
        Some((what, rest)) if what == "controllers" => controllers::run(rest).await,
        _ => bail!(
            "say what to measure: startup, idle, api, watch, nodes, store, network, dns, flaps, node, objects, runtime, controllers"
        ),
    }
}
