//! `bench startup [BINARY]`: how long from `ironclad up` in an empty directory to an API, a node, a page.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use client::{Call, resources};
use env::Env;
use http::{HeaderMap, Method};
use k8s_openapi::api::core::v1::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::report::{Figure, print};

/// How often it is measured; the median is what is told.
const RUNS: usize = 5;

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let mut api = Vec::new();
    let mut node = Vec::new();
    let mut page = Vec::new();
    for _ in 0..RUNS {
        let (to_api, to_node, to_page) = once(&binary).await?;
        api.push(to_api);
        node.push(to_node);
        page.push(to_page);
    }
    print(&[
        Figure::at_most("startup/api-ready", median(api).as_secs_f64(), "s", 0.5),
        Figure::at_most("startup/node-ready", median(node).as_secs_f64(), "s", 1.5),
        Figure::at_most("startup/hello-answers", median(page).as_secs_f64(), "s", 3.0),
    ]);
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn once(binary: &std::path::Path) -> Result<(Duration, Duration, Duration)> {
    let env = Env::real();
    let cluster = Cluster::prepare(binary)?;
    let begin = env.clock.monotonic();
    let mut up = cluster.begin_up()?;
    let to_api = until(&env, begin, || async {
        let Ok(connection) = cluster.connection(&env) else { return false };
        let answer = connection.request(Method::GET, "/readyz", HeaderMap::new(), Bytes::new()).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await?;
    let client = cluster.client(&env)?;
    let to_node = until(&env, begin, || async {
        let nodes = client.transport().list(resources::NODES, Call::all("")).await;
        nodes.is_ok_and(|nodes| nodes.items.iter().any(is_ready))
    })
    .await?;
    cluster.kubectl(&["apply", "-f", "examples/hello.yaml"])?;
    let to_page =
        until(&env, begin, || async { fetch().await.is_some_and(|page| page.contains("Hello")) }).await?;
    up.wait()?;
    Ok((to_api, to_node, to_page))
}

fn is_ready(node: &machinery::Object) -> bool {
    node.view::<Node>().is_ok_and(|node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

async fn fetch() -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect("127.0.0.1:30080").await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n").await.ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.ok()?;
    Some(page)
}
