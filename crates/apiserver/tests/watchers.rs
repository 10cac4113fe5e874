//! Many watchers of the same objects, over the wire and in process, and one among them that does not read: each of the
//! others sees every change once and in order, and the one that does not read is cut when it has fallen too far behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use apiserver::{Config, Identity, KeyPair, KnownToken, Server};
use bytes::Bytes;
use client::https::{self, Connection, Credentials};
use client::transport::WatchStream;
use client::{Call, SharedTransport, WatchEvent, Write, resources};
use env::Env;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use machinery::{Value, json};

const WATCHERS: usize = 60;
/// In process, where they cost next to nothing.
const WATCHERS_WITHIN: usize = 1_000;
/// Watches that share a connection.
const ON_ONE: usize = 20;
const OBJECTS: u64 = 7;
const CHANGES: u64 = 300;
/// What each object carries in the second test, so that little of the past is kept.
const WEIGHT: usize = 256 * 1024;
/// Nothing takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "watchers-know-this";

struct Cluster {
    env: Env,
    server: Server,
    ca: Vec<u8>,
}

async fn cluster() -> Cluster {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca = made.cert.pem().into_bytes();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let key = made.signing_key.serialize_pem().into_bytes();
    config.token_key.clone_from(&key);
    config.client_ca.clone_from(&ca);
    config.serving = KeyPair { chain: ca.clone(), key };
    let masters = Identity::new("admin", &["system:masters"]);
    config.known_tokens = vec![KnownToken::new(TOKEN.to_owned(), masters)];
    let env = Env::real();
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    Cluster { env, server, ca }
}

impl Cluster {
    fn connection(&self) -> Connection {
        let config = https::Config {
            server: format!("https://localhost:{}", self.server.addr.port()),
            ca: self.ca.clone(),
            credentials: Credentials::Token(TOKEN.to_owned()),
            user_agent: "watchers".to_owned(),
            ..https::Config::default()
        };
        Connection::new(&config, &self.env).unwrap()
    }

    fn within(&self) -> SharedTransport {
        self.server.transport(Identity::new("admin", &["system:masters"]))
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn send(connection: &Connection, request: (Method, &str, &'static str), body: String) -> Value {
    let (method, path, content_type) = request;
    let headers =
        HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    let answer = connection.request(method, path, headers, Bytes::from(body)).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    json::parse(&body).unwrap()
}

async fn make(connection: &Connection, number: u64) -> Value {
    let body =
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched-{number}"}}}}"#);
    send(connection, (Method::POST, MAPS, "application/json"), body).await
}

async fn change(connection: &Connection, number: u64, text: &str) -> u64 {
    let path = format!("{MAPS}/watched-{}", number % OBJECTS);
    let body = format!(r#"{{"data":{{"n":"{number}{text}"}}}}"#);
    revision(&send(connection, (Method::PATCH, &path, "application/merge-patch+json"), body).await)
}

fn revision(object: &Value) -> u64 {
    object.at(&["metadata", "resourceVersion"]).str_or_empty().parse().unwrap()
}

async fn watch(connection: &Connection, after: u64) -> Incoming {
    let path = format!("{MAPS}?watch=1&resourceVersion={after}");
    let answer = connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.into_body()
}

/// Reads the events of a watch until `enough` says so or it ends.
async fn read(mut events: Incoming, mut enough: impl FnMut(&Value) -> bool) -> bool {
    let mut rest = Vec::new();
    while let Some(frame) = events.frame().await {
        rest.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if enough(&json::parse(&line).unwrap()) {
                return true;
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_every_change_once_and_in_order() {
    let cluster = cluster().await;
    let writer = cluster.connection();
    let mut begin = 0;
    for number in 0..OBJECTS {
        begin = revision(&make(&writer, number).await);
    }
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS / ON_ONE {
        let connection = cluster.connection();
        for _ in 0..ON_ONE {
            let events = watch(&connection, begin).await;
            let reading = async move {
                let mut seen = Vec::new();
                let all = read(events, |event| {
                    assert_eq!(event.get("type").as_str(), Some("MODIFIED"));
                    seen.push(revision(event.get("object")));
                    seen.len() as u64 == CHANGES
                });
                assert!(all.await, "a watch ended early");
                seen
            };
            watchers.push(cluster.env.tasks.spawn("watcher", reading));
        }
    }
    let mut made = Vec::new();
    for number in 0..CHANGES {
        made.push(change(&writer, number, "").await);
    }
    for watcher in watchers {
        let seen = cluster.env.clock.timeout(PATIENCE, watcher.join()).await.expect("in time");
        assert_eq!(seen.expect("it saw all"), made);
    }
    cluster.server.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_cut_and_nobody_else_notices() {
    let cluster = cluster().await;
    let writer = cluster.connection();
    let begin = revision(&make(&writer, 0).await);
    let (asleep, awake) = (cluster.connection(), cluster.connection());
    let stalled = watch(&asleep, begin).await;
    let events = watch(&awake, begin).await;
    // More than is kept of the past, and more than a connection holds by itself.
    let text = "x".repeat(WEIGHT);
    let changes: u64 = (96 << 20) / WEIGHT as u64;
    let reading = cluster.env.tasks.spawn("watcher", async move {
        let mut seen = 0;
        read(events, |event| {
            assert_eq!(event.get("type").as_str(), Some("MODIFIED"));
            seen += 1;
            seen == changes
        })
        .await
    });
    for number in 0..changes {
        change(&writer, number * OBJECTS, &text).await;
    }
    let seen_all = cluster.env.clock.timeout(PATIENCE, reading.join()).await.expect("in time");
    assert_eq!(seen_all, Some(true));
    let mut types = BTreeMap::new();
    let mut code = None;
    let until_end = read(stalled, |event| {
        *types.entry(event.get("type").str_or_empty().to_owned()).or_insert(0u64) += 1;
        code = event.at(&["object", "code"]).as_int();
        false
    });
    cluster.env.clock.timeout(PATIENCE, until_end).await.expect("a watch that was cut ends");
    assert!(types["MODIFIED"] < changes, "{types:?}");
    assert_eq!((types["ERROR"], code), (1, Some(410)), "{types:?}");
    cluster.server.shutdown();
}

async fn make_within(api: &SharedTransport, number: u64) -> u64 {
    let body =
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched-{number}"}}}}"#);
    let write = Write::Create(Bytes::from(body));
    api.write(resources::CONFIG_MAPS, Call::all("default"), write).await.unwrap().header().revision
}

async fn change_within(api: &SharedTransport, number: u64, text: &str) -> u64 {
    let call = Call::object("default", &format!("watched-{}", number % OBJECTS));
    let write = Write::MergePatch(Bytes::from(format!(r#"{{"data":{{"n":"{number}{text}"}}}}"#)));
    api.write(resources::CONFIG_MAPS, call, write).await.unwrap().header().revision
}

async fn watch_within(api: &SharedTransport, after: u64) -> Box<dyn WatchStream> {
    api.watch(resources::CONFIG_MAPS, Call::all("default"), after).await.unwrap()
}

/// The revisions of so many changes.
async fn read_within(mut events: Box<dyn WatchStream>, changes: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while (seen.len() as u64) < changes {
        match events.next().await.expect("nobody who reads is cut").expect("a watch ended early") {
            WatchEvent::Modified(object) => seen.push(object.header().revision),
            WatchEvent::Bookmark(_) => {}
            other => panic!("nothing is made or removed: {other:?}"),
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_process_every_watcher_sees_every_change_once_and_in_order() {
    let cluster = cluster().await;
    let api = cluster.within();
    let mut begin = 0;
    for number in 0..OBJECTS {
        begin = make_within(&api, number).await;
    }
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS_WITHIN {
        let reading = read_within(watch_within(&api, begin).await, CHANGES);
        watchers.push(cluster.env.tasks.spawn("watcher", reading));
    }
    let mut made = Vec::new();
    for number in 0..CHANGES {
        made.push(change_within(&api, number, "").await);
    }
    for watcher in watchers {
        let seen = cluster.env.clock.timeout(PATIENCE, watcher.join()).await.expect("in time");
        assert_eq!(seen.expect("it saw all"), made);
    }
    cluster.server.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_process_a_watcher_that_stalls_is_cut_and_nobody_else_notices() {
    let cluster = cluster().await;
    let api = cluster.within();
    let begin = make_within(&api, 0).await;
    let mut stalled = watch_within(&api, begin).await;
    // More than is kept of the past.
    let text = "x".repeat(WEIGHT);
    let changes: u64 = (96 << 20) / WEIGHT as u64;
    let reading = read_within(watch_within(&api, begin).await, changes);
    let reading = cluster.env.tasks.spawn("watcher", reading);
    let mut made = Vec::new();
    for number in 0..changes {
        made.push(change_within(&api, number * OBJECTS, &text).await);
    }
    let seen = cluster.env.clock.timeout(PATIENCE, reading.join()).await.expect("in time");
    assert_eq!(seen.expect("it saw all"), made);
    // In process nothing was on its way: the first that it hears is that it is too late.
    let first = cluster.env.clock.timeout(PATIENCE, stalled.next()).await.expect("in time");
    assert_eq!(first.expect_err("it is told to list anew").code, 410);
    let end = cluster.env.clock.timeout(PATIENCE, stalled.next()).await.expect("in time");
    assert!(matches!(end, Ok(None)), "{end:?}");
    cluster.server.shutdown();
}
