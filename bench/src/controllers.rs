//! `bench controllers [BINARY]`: how fast Deployments become pods, and a full namespace becomes nothing; and what 50,000
//! pods cost the controllers while nothing happens. The load comes over the wire from the program that `APIBENCH` names.

mod quiet;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::{Call, Client, Delete, Key, Write, resources};
use env::Env;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::report::{Figure, print};

/// How many objects the namespace holds that is emptied.
const OBJECTS: usize = 5_000;
/// How many of them are made at the same time.
const AT_ONCE: usize = 64;

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    let load = PathBuf::from(std::env::var_os("APIBENCH").context("APIBENCH names no program")?);
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    // As the peer was measured: the API server, its store and the controllers. The pods are to exist, not to run.
    cluster.begin_unscheduled()?.wait()?;
    let client = cluster.client(&env)?;
    let large = deploy(&cluster, &load, &["-d", "100", "-r", "20", "--run", "large"])?;
    let small = deploy(&cluster, &load, &["-d", "500", "-r", "2", "--run", "small"])?;
    let emptied = empty_a_namespace(&client, &env).await?;
    deploy(&cluster, &load, &["-d", "2350", "-r", "20", "--run", "quiet"])?;
    let quiet = quiet::measure(&cluster, &env).await?;
    print(&[
        Figure::at_least("controllers/100x20", large.rate, "pods/s", 3_000.0).against("upstream", 315.0),
        Figure::at_most("controllers/100x20-cpu", large.cpu, "s/1k pods", 0.6).against("upstream", 5.6),
        Figure::at_least("controllers/500x2", small.rate, "pods/s", 1_500.0).against("upstream", 74.0),
        Figure::at_most("controllers/500x2-cpu", small.cpu, "s/1k pods", 2.0).against("upstream", 22.4),
        Figure::at_most("controllers/namespace", emptied.as_secs_f64(), "s", 5.0),
        Figure::at_most("controllers/50,000-quiet-pods", quiet.percent_of_a_core, "% of a core", 1.0),
        Figure::at_most("controllers/their-memory", quiet.added_mib, "MiB", 100.0),
    ]);
    Ok(())
}

/// What one run of Deployments told.
struct Deployed {
    rate: f64,
    cpu: f64,
}

fn deploy(cluster: &Cluster, load: &Path, words: &[&str]) -> Result<Deployed> {
    let out = cluster.data().with_extension("json");
    let status = Command::new(load)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(["--pids", &format!("ironclad={}", cluster.process()?), "--out"])
        .arg(&out)
        .arg("deploy")
        .args(words)
        .args(["--timeout", "120"])
        .status()
        .with_context(|| format!("{}", load.display()))?;
    ensure!(status.success(), "the load could not be made");
    let text = std::fs::read_to_string(&out)?;
    let last: Value = serde_json::from_str(text.lines().last().context("the load told nothing")?)?;
    ensure!(last["errors"].as_u64().unwrap_or(0) == 0, "calls failed: {}", last["first_error"]);
    let processes = last["procs"].as_array().context("procs")?;
    let ours = processes.iter().find(|process| process["name"] == "ironclad").context("ironclad")?;
    let rate = last["extra"]["pods_per_s"].as_f64().context("pods_per_s")?;
    Ok(Deployed { rate, cpu: ours["cpu_s_per_1k"].as_f64().context("cpu_s_per_1k")? })
}

/// Fills a namespace and empties it: how long that takes from its deletion on.
async fn empty_a_namespace(client: &Client, env: &Env) -> Result<Duration> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "full" } });
    create(client, "", namespace).await?;
    let calls = (0..OBJECTS).map(|number| {
        let document =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("m{number}") } });
        create(client, "full", document)
    });
    let mut made = futures_util::stream::iter(calls).buffer_unordered(AT_ONCE);
    while let Some(outcome) = made.next().await {
        outcome?;
    }
    let key = Key::new("", "full");
    let begin = env.clock.monotonic();
    client.delete(resources::NAMESPACES, &key, Delete::default()).await?;
    until(env, begin, || async { matches!(client.find(resources::NAMESPACES, &key).await, Ok(None)) }).await
}

async fn create(client: &Client, namespace: &str, document: Value) -> Result<()> {
    let resource = if namespace.is_empty() { resources::NAMESPACES } else { resources::CONFIG_MAPS };
    let write = Write::Create(document.to_string().into_bytes().into());
    client.write(resource, Call::all(namespace), write).await?;
    Ok(())
}
