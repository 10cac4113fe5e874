//! `bench nodes [BINARY]`: a thousand nodes which each ask for their own of 50,000 pods and follow them: what such a list
//! costs, and a change, which concerns one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use client::https::Connection;
use env::Env;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;

use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::process;
use crate::report::{Figure, print};

const NODES: u64 = 1_000;
const PODS_EACH: u64 = 50;
/// Requests under way at a time.
const WORKERS: u64 = 16;
/// Watches that share a connection.
const ON_ONE: u64 = 50;
const CHANGES: u64 = 4_000;
/// How long the last events may take when all changes are made.
const DRAIN: Duration = Duration::from_secs(60);

const NAMESPACE: &str = "/api/v1/namespaces/default";

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    cluster.begin_control_plane()?.wait()?;
    let server = cluster.process()?;
    let connection = cluster.connection(&env)?;
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    send(&connection, post("serviceaccounts", account.to_owned())).await?;
    each(&env, &connection, NODES * PODS_EACH, |number| post("pods", pod(number))).await?;
    // The first list sorts the pods, once for all.
    send(&connection, list(0)).await?;
    let before = process::cpu_seconds(server)?;
    each(&env, &connection, NODES, list).await?;
    let listed = process::cpu_seconds(server)? - before;
    let news = follow(&cluster, &env).await?;
    let before = process::cpu_seconds(server)?;
    each(&env, &connection, CHANGES, change).await?;
    // What never comes is told below.
    let all = until(&env, env.clock.monotonic(), || async { news.load(Ordering::Relaxed) >= CHANGES });
    let _ = env.clock.timeout(DRAIN, all).await;
    let changed = process::cpu_seconds(server)? - before;
    let told = news.load(Ordering::Relaxed);
    let thousands = |count: u64| count as f64 / 1000.0;
    print(&[
        Figure::at_most("list of a node's pods: CPU", listed / thousands(NODES), "s/1000", 0.5),
        Figure::at_most("change followed by one of 1,000: CPU", changed / thousands(CHANGES), "s/1000", 0.3),
        Figure::at_most("lost, or told to others", told.abs_diff(CHANGES) as f64, "events", 0.0),
    ]);
    Ok(())
}

/// A request.
struct Asked {
    method: Method,
    path: String,
    content_type: &'static str,
    body: String,
}

fn post(plural: &str, body: String) -> Asked {
    let path = format!("{NAMESPACE}/{plural}");
    Asked { method: Method::POST, path, content_type: "application/json", body }
}

fn list(node: u64) -> Asked {
    let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-{node}");
    Asked { method: Method::GET, path, content_type: "application/json", body: String::new() }
}

/// Changes pods of one node after the other.
fn change(number: u64) -> Asked {
    let path = format!("{NAMESPACE}/pods/pod-{}", number % (NODES * PODS_EACH));
    let body = format!(r#"{{"metadata":{{"annotations":{{"changed":"{number}"}}}}}}"#);
    Asked { method: Method::PATCH, path, content_type: "application/merge-patch+json", body }
}

fn pod(number: u64) -> String {
    let node = number % NODES;
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}","labels":{{"app":"app-{node}"}}}},"spec":{{"nodeName":"node-{node}","containers":[{{"name":"app","image":"registry.example.com/app:v1","resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}}}}}}]}}}}"#
    )
}

async fn send(connection: &Connection, asked: Asked) -> Result<()> {
    let headers =
        HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(asked.content_type))]);
    let answer = connection.request(asked.method, &asked.path, headers, Bytes::from(asked.body)).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{}: {status}: {}", asked.path, String::from_utf8_lossy(&body));
    Ok(())
}

/// Sends so many requests, some at a time.
async fn each(env: &Env, connection: &Connection, count: u64, ask: fn(u64) -> Asked) -> Result<()> {
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let connection = connection.clone();
        workers.push(env.tasks.spawn("worker", async move {
            let mut number = worker;
            while number < count {
                send(&connection, ask(number)).await?;
                number += WORKERS;
            }
            anyhow::Ok(())
        }));
    }
    for worker in workers {
        worker.join().await.context("a worker ended early")??;
    }
    Ok(())
}

/// Each node follows its pods; answers how many events there were, of all of them together.
async fn follow(cluster: &Cluster, env: &Env) -> Result<Arc<AtomicU64>> {
    let news = Arc::new(AtomicU64::new(0));
    for first in (0..NODES).step_by(ON_ONE as usize) {
        let connection = cluster.connection(env)?;
        for node in first..first + ON_ONE {
            let path = format!(
                "/api/v1/pods?watch=1&timeoutSeconds=3000&resourceVersionMatch=NotOlderThan&\
                 sendInitialEvents=false&fieldSelector=spec.nodeName%3Dnode-{node}"
            );
            let answer = connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
            ensure!(answer.status().is_success(), "a watch was refused: {}", answer.status());
            let (mut events, news) = (answer.into_body(), news.clone());
            env.tasks.spawn("node", async move {
                while let Some(Ok(frame)) = events.frame().await {
                    let lines =
                        frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                    news.fetch_add(lines as u64, Ordering::Relaxed);
                }
            });
        }
    }
    Ok(news)
}
