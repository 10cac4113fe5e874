//! The promise in process: no TLS and no driver beside the server, which runs here, on a store in memory.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::{Config, Identity, KeyPair, Server};
use bytes::Bytes;
use client::transport::WatchStream;
use client::{Call, SharedTransport, WatchEvent, Write, resources};
use env::Env;
use store::memory::Memory;

use super::follower::Seen;
use super::{Made, OBJECTS, Outcome, Tally, WATCHERS, all_came, make_changes};
use crate::process;
use crate::report::Figure;

/// Threads that server, writers and watchers share, however many processors there are.
const THREADS: usize = 2;
/// What each object carries at last, and how many changes of it are made: more than the server keeps of the past (64 MiB),
/// so that who has not read until then is too late.
const WEIGHT: usize = 256 * 1024;
const HEAVY: u64 = (96 << 20) / WEIGHT as u64;
/// How long a watch that is over may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

const NAMESPACE: &str = "default";
const NAMES: [&str; 5] = [
    "changes, in process",
    "lost, in process",
    "twice or out of order, in process",
    "closed, in process",
    "behind at the end, in process",
];

/// Measures. It makes a runtime of its own, so it must not be called by a task.
pub fn measure() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(measure_here())
}

async fn measure_here() -> Result<Vec<Figure>> {
    let env = Env::real();
    let server = start(&env).await?;
    let api = server.transport(Identity::new("bench", &["system:masters"]));
    let mut newest = 0;
    for number in 0..OBJECTS {
        newest = make(&api, number).await?;
    }
    let followers = Followers::begin(&api, &env, newest).await?;
    let mut stalled = watch(&api, newest).await?;
    let watched = process::resident_mib(std::process::id())?;
    let begin = env.clock.monotonic();
    let writer = api.clone();
    let mut made = make_changes(&env, move |number| change(writer.clone(), number, "")).await?;
    let changing = env.clock.monotonic() - begin;
    all_came(&env, || followers.saw(made.count)).await;
    let behind = env.clock.monotonic() - begin - changing;
    let loaded = process::resident_mib(std::process::id())?;
    let light = made;
    made.add(outrun(&api).await?);
    all_came(&env, || followers.saw(made.count)).await;
    let spared = u64::from(!is_cut(&env, &mut *stalled).await);
    let tally = Tally::of(made, &followers.seen());
    let mut figures = Outcome { made: light, changing, behind, tally }.figures(NAMES);
    figures.extend([
        Figure::at_most("stalled and not cut, in process", spared as f64, "watches", 0.0),
        Figure::at_most("memory under load, in process", loaded - watched, "MiB", 200.0),
    ]);
    server.shutdown();
    Ok(figures)
}

/// A server that nobody reaches from outside: its certificate is known to nobody.
async fn start(env: &Env) -> Result<Server> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = made.signing_key.serialize_pem().into_bytes();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.token_key.clone_from(&key);
    config.serving = KeyPair { chain: made.cert.pem().into_bytes(), key };
    let store = Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await?;
    server.ready().await;
    Ok(server)
}

/// All watchers. Nobody waits for the lock of one: its watcher and who asks at the end are the only ones to take it.
struct Followers(Vec<Arc<Mutex<Seen>>>);

impl Followers {
    async fn begin(api: &SharedTransport, env: &Env, after: u64) -> Result<Followers> {
        let mut followers = Vec::new();
        for _ in 0..WATCHERS {
            let (events, seen) = (watch(api, after).await?, Arc::new(Mutex::new(Seen::default())));
            followers.push(seen.clone());
            env.tasks.spawn_until_done("watcher", follow(events, seen));
        }
        Ok(Followers(followers))
    }

    /// Whether each saw so many events, or more.
    fn saw(&self, count: u64) -> bool {
        self.0.iter().all(|seen| locked(seen, |seen| seen.count) >= count)
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.iter().map(|seen| locked(seen, |seen| *seen)).collect()
    }
}

fn locked<T>(seen: &Mutex<Seen>, use_it: impl FnOnce(&mut Seen) -> T) -> T {
    use_it(&mut seen.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn watch(api: &SharedTransport, after: u64) -> Result<Box<dyn WatchStream>> {
    let watching = api.watch(resources::CONFIG_MAPS, Call::all(NAMESPACE), after).await;
    watching.context("a watch was refused")
}

async fn follow(mut events: Box<dyn WatchStream>, seen: Arc<Mutex<Seen>>) {
    loop {
        match events.next().await {
            Ok(Some(
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object),
            )) => {
                locked(&seen, |seen| seen.add(object.header().revision));
            }
            Ok(Some(WatchEvent::Bookmark(_))) => {}
            Ok(None) | Err(_) => return locked(&seen, |seen| seen.closed = true),
        }
    }
}

/// Whether a watch that was not read so far is told to list anew before anything else.
async fn is_cut(env: &Env, stalled: &mut dyn WatchStream) -> bool {
    let first = env.clock.timeout(PATIENCE, stalled.next()).await;
    matches!(first, Some(Err(status)) if status.code == 410)
}

async fn make(api: &SharedTransport, number: u64) -> Result<u64> {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched-{number}"}},"data":{{"n":"none"}}}}"#
    );
    let write = Write::Create(Bytes::from(body));
    let made = api.write(resources::CONFIG_MAPS, Call::all(NAMESPACE), write).await;
    Ok(made.context("an object was not made")?.header().revision)
}

/// Changes an object; its new revision.
async fn change(api: SharedTransport, number: u64, weight: &str) -> Result<u64> {
    let call = Call::object(NAMESPACE, &format!("watched-{}", number % OBJECTS));
    let write = Write::MergePatch(Bytes::from(format!(r#"{{"data":{{"n":"{number}{weight}"}}}}"#)));
    let changed = api.write(resources::CONFIG_MAPS, call, write).await;
    Ok(changed.context("a change was refused")?.header().revision)
}

/// Changes one object until nothing is kept any more of what came before.
async fn outrun(api: &SharedTransport) -> Result<Made> {
    let weight = "x".repeat(WEIGHT);
    let mut made = Made::default();
    for number in 0..HEAVY {
        made.add(Made { count: 1, sum: change(api.clone(), number * OBJECTS, &weight).await? });
    }
    Ok(made)
}
