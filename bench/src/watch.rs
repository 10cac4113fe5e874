//! `bench watch [BINARY]`: 10,000 watchers of the same objects, 200 changes a second, for a minute, over TLS on the cores
//! that the watchers share with the server. Each watcher must see each change once and in order; one more watcher never
//! reads, which nobody may notice.

mod follower;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use client::https::Connection;
use env::Env;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;

use self::follower::{Follower, Seen};
use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::process;
use crate::report::{Figure, print};

const WATCHERS: usize = 10_000;
/// Watches that share a connection.
const ON_ONE: usize = 100;
const CHANGES_A_SECOND: u64 = 200;
const SECONDS: u64 = 60;
/// Objects that are changed in turn, so that no change waits for the one before.
const OBJECTS: u64 = 50;
/// Changes under way at a time.
const WRITERS: u64 = 8;
/// How long the last events may take when all changes are made.
const DRAIN: Duration = Duration::from_secs(120);

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
    let writer = cluster.connection(&env)?;
    for number in 0..OBJECTS {
        make(&writer, number).await?;
    }
    let server = cluster.process()?;
    let at_rest = process::resident_mib(server)?;
    let news = Arc::new(AtomicU64::new(0));
    let followers = follow(&cluster, &env, &news).await?;
    let stalled = open(&cluster.connection(&env)?).await?;
    let watched = process::resident_mib(server)?;
    let busy_before = process::cpu_seconds(server)?;
    let begin = env.clock.monotonic();
    let made = change(&writer, &env).await?;
    let changing = env.clock.monotonic() - begin;
    let expected = made.count * WATCHERS as u64;
    // What never comes is told below, as lost.
    let all = env.clock.timeout(
        DRAIN,
        until(&env, env.clock.monotonic(), || async { news.load(Ordering::Relaxed) >= expected }),
    );
    let _ = all.await;
    let taken = env.clock.monotonic() - begin;
    let busy = process::cpu_seconds(server)? - busy_before;
    let loaded = process::resident_mib(server)?;
    let (mut lost, mut disorder, mut closed) = (0, 0, 0);
    for follower in &followers {
        let seen = follower.seen();
        lost += made.count.saturating_sub(seen.count)
            + u64::from(seen.sum != made.sum && seen.count == made.count);
        disorder += seen.disorder;
        closed += u64::from(seen.closed);
    }
    drop(stalled);
    print(&[
        Figure::at_least(
            "changes",
            made.count as f64 / changing.as_secs_f64(),
            "/s",
            0.95 * CHANGES_A_SECOND as f64,
        ),
        Figure::at_most("lost", lost as f64, "events", 0.0),
        Figure::at_most("twice or out of order", disorder as f64, "events", 0.0),
        Figure::at_most("closed", closed as f64, "watches", 0.0),
        Figure::at_most("behind at the end", (taken - changing).as_secs_f64(), "s", 5.0),
        Figure::at_most("CPU", 1000.0 * busy / expected as f64, "s/1000", 0.015).against("upstream", 0.05),
        Figure::at_most("memory of a watch", (watched - at_rest) * 1024.0 / WATCHERS as f64, "KiB", 20.0)
            .against("upstream", 90.0),
        Figure::at_most("memory under load", loaded - watched, "MiB", 200.0),
    ]);
    Ok(())
}

/// What was changed.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    count: u64,
    /// Of all revisions, so that a lost one shows.
    sum: u64,
}

async fn make(connection: &Connection, number: u64) -> Result<()> {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched-{number}"}},"data":{{"n":"0"}}}}"#
    );
    let (path, headers) = (format!("{NAMESPACE}/configmaps"), of_type("application/json"));
    let answer = connection.request(Method::POST, &path, headers, Bytes::from(body)).await?;
    ensure!(answer.status().is_success(), "an object was not made: {}", answer.status());
    Ok(())
}

fn of_type(name: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(name))])
}

/// Opens a watch of what happens from now on.
async fn open(connection: &Connection) -> Result<hyper::body::Incoming> {
    let path = format!(
        "{NAMESPACE}/configmaps?watch=1&timeoutSeconds=3000&resourceVersionMatch=NotOlderThan&\
         sendInitialEvents=false"
    );
    let answer = connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
    ensure!(answer.status().is_success(), "a watch was refused: {}", answer.status());
    Ok(answer.into_body())
}

async fn follow(cluster: &Cluster, env: &Env, news: &Arc<AtomicU64>) -> Result<Vec<Arc<Follower>>> {
    let mut followers = Vec::with_capacity(WATCHERS);
    for _ in 0..WATCHERS / ON_ONE {
        let connection = cluster.connection(env)?;
        for _ in 0..ON_ONE {
            let mut events = open(&connection).await?;
            let follower = Arc::new(Follower::default());
            followers.push(follower.clone());
            let news = news.clone();
            env.tasks.spawn("watcher", async move {
                while let Some(Ok(frame)) = events.frame().await {
                    if let Ok(data) = frame.into_data() {
                        news.fetch_add(follower.feed(&data), Ordering::Relaxed);
                    }
                }
                follower.close();
            });
        }
    }
    Ok(followers)
}

/// Makes all changes, each when it is due.
async fn change(connection: &Connection, env: &Env) -> Result<Made> {
    let begin = env.clock.monotonic();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (connection, clock) = (connection.clone(), env.clock.clone());
        let work = async move {
            let mut made = Made::default();
            let mut number = writer;
            while number < CHANGES_A_SECOND * SECONDS {
                let due = begin + Duration::from_secs(1) * u32::try_from(number)? / CHANGES_A_SECOND as u32;
                clock.sleep(due.saturating_sub(clock.monotonic())).await;
                made.sum = made.sum.wrapping_add(change_one(&connection, number).await?);
                made.count += 1;
                number += WRITERS;
            }
            anyhow::Ok(made)
        };
        writers.push(env.tasks.spawn("writer", work));
    }
    let mut all = Made::default();
    for writer in writers {
        let made = writer.join().await.context("a writer ended early")??;
        all = Made { count: all.count + made.count, sum: all.sum.wrapping_add(made.sum) };
    }
    Ok(all)
}

/// Changes an object; its new revision.
async fn change_one(connection: &Connection, number: u64) -> Result<u64> {
    let path = format!("{NAMESPACE}/configmaps/watched-{}", number % OBJECTS);
    let body = Bytes::from(format!(r#"{{"data":{{"n":"{number}"}}}}"#));
    let answer =
        connection.request(Method::PATCH, &path, of_type("application/merge-patch+json"), body).await?;
    ensure!(answer.status().is_success(), "a change was refused: {}", answer.status());
    let body = answer.into_body().collect().await?.to_bytes();
    let seen = Follower::default();
    seen.feed(&body);
    Ok(seen.seen().sum)
}

impl Seen {
    /// Takes a revision in.
    fn add(&mut self, revision: u64) {
        self.disorder += u64::from(revision <= self.last);
        self.last = revision;
        self.count += 1;
        self.sum = self.sum.wrapping_add(revision);
    }
}
