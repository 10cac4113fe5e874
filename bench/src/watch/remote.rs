//! The promise over the wire: the server is a process of its own, and the watchers share its processors.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use client::https::{Connection, unverified};
use env::{Env, TaskHandle, Tasks};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;

use super::conversation::Conversation;
use super::follower::{Follower, Mark, Seen};
use super::wire::Wire;
use super::{OBJECTS, Outcome, Tally, WATCHERS, all_came, make_changes};
use crate::cluster::Cluster;
use crate::process;
use crate::report::Figure;

/// Watches that share a connection.
const ON_ONE: u32 = 100;
const SERVER: (&str, u16) = ("127.0.0.1", 6443);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// A watch of what happens from now on.
const WATCH: &str = "?watch=1&timeoutSeconds=3000&resourceVersionMatch=NotOlderThan&sendInitialEvents=false";

const NAMES: [&str; 5] = ["changes", "lost", "twice or out of order", "closed", "behind at the end"];

/// All watchers.
struct Followers {
    tasks: Tasks,
    connections: Vec<(TaskHandle<Vec<Seen>>, Arc<AtomicU64>)>,
}

/// Measures.
pub async fn measure(binary: &Path, env: &Env) -> Result<Vec<Figure>> {
    let cluster = Cluster::prepare(binary)?;
    cluster.begin_control_plane()?.wait()?;
    let writer = cluster.connection(env)?;
    for number in 0..OBJECTS {
        make(&writer, number).await?;
    }
    let server = cluster.process()?;
    let at_rest = process::resident_mib(server)?;
    let followers = Followers::begin(&cluster, env).await?;
    let stalled = stall(&cluster.connection(env)?).await?;
    let watched = process::resident_mib(server)?;
    let busy_before = process::cpu_seconds(server)?;
    let begin = env.clock.monotonic();
    let made = make_changes(env, move |number| change(writer.clone(), number)).await?;
    let changing = env.clock.monotonic() - begin;
    let expected = made.count * WATCHERS;
    all_came(env, || followers.events() >= expected).await;
    let behind = env.clock.monotonic() - begin - changing;
    let busy = process::cpu_seconds(server)? - busy_before;
    let loaded = process::resident_mib(server)?;
    let tally = Tally::of(made, &followers.end().await?);
    drop(stalled);
    Ok(figures(&Outcome { made, changing, behind, tally }, busy, [at_rest, watched, loaded]))
}

fn figures(outcome: &Outcome, busy: f64, [at_rest, watched, loaded]: [f64; 3]) -> Vec<Figure> {
    let thousands = (outcome.made.count * WATCHERS) as f64 / 1000.0;
    let of_a_watch = (watched - at_rest) * 1024.0 / WATCHERS as f64;
    let mut figures = outcome.figures(NAMES);
    figures.extend([
        Figure::at_most("CPU", busy / thousands, "s/1000", 0.015).against("upstream", 0.05),
        Figure::at_most("memory of a watch", of_a_watch, "KiB", 20.0).against("upstream", 90.0),
        Figure::at_most("memory under load", loaded - watched, "MiB", 200.0),
    ]);
    figures
}

impl Followers {
    async fn begin(cluster: &Cluster, env: &Env) -> Result<Followers> {
        let token = std::fs::read_to_string(cluster.data().join("pki").join("admin.token"))?;
        let authority = format!("{}:{}", SERVER.0, SERVER.1);
        let (path, authorization) = (format!("{MAPS}{WATCH}"), format!("Bearer {}", token.trim()));
        let headers = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", authority.as_str()),
            (":path", path.as_str()),
            ("authorization", authorization.as_str()),
            ("user-agent", "bench"),
        ];
        // Nobody else can listen in the namespace that was made for this.
        let tls = Arc::new(unverified(&[b"h2"])?);
        let mut followers = Followers { tasks: Tasks::new(), connections: Vec::new() };
        for _ in 0..WATCHERS / u64::from(ON_ONE) {
            let conversation = Conversation::begin(ON_ONE, &headers);
            let wire = Wire::open(SERVER, tls.clone(), conversation).await?;
            let (events, tasks) = (Arc::new(AtomicU64::new(0)), followers.tasks.clone());
            let following = wire.follow(tasks, events.clone());
            followers.connections.push((env.tasks.spawn_until_done("watchers", following), events));
        }
        Ok(followers)
    }

    /// How many events came so far.
    fn events(&self) -> u64 {
        self.connections.iter().map(|(_, events)| events.load(Ordering::Relaxed)).sum()
    }

    /// Reads no more; what each watcher saw.
    async fn end(self) -> Result<Vec<Seen>> {
        self.tasks.cancel();
        let mut all = Vec::new();
        for (following, _) in self.connections {
            all.extend(following.join().await.context("a connection's task ended early")?);
        }
        Ok(all)
    }
}

async fn make(connection: &Connection, number: u64) -> Result<()> {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched-{number}"}},"data":{{"n":"none"}}}}"#
    );
    let headers = of_type("application/json");
    let answer = connection.request(Method::POST, MAPS, headers, Bytes::from(body)).await?;
    ensure!(answer.status().is_success(), "an object was not made: {}", answer.status());
    Ok(())
}

fn of_type(name: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(name))])
}

/// A watch that is never read.
async fn stall(connection: &Connection) -> Result<hyper::body::Incoming> {
    let path = format!("{MAPS}{WATCH}");
    let answer = connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
    ensure!(answer.status().is_success(), "a watch was refused: {}", answer.status());
    Ok(answer.into_body())
}

/// Changes an object; its new revision.
async fn change(connection: Connection, number: u64) -> Result<u64> {
    let path = format!("{MAPS}/watched-{}", number % OBJECTS);
    let body = Bytes::from(format!(r#"{{"data":{{"n":"{number}"}}}}"#));
    let headers = of_type("application/merge-patch+json");
    let answer = connection.request(Method::PATCH, &path, headers, body).await?;
    ensure!(answer.status().is_success(), "a change was refused: {}", answer.status());
    let body = answer.into_body().collect().await?.to_bytes();
    let mut reader = Follower::default();
    reader.feed(&Mark::default(), &body);
    Ok(reader.seen().last)
}
