//! The server over real connections on loopback, with certificates made for the test.

mod spdy;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Query, decode};
use crate::tests::{Pair, World};

async fn connect(world: &World, who: Option<&Pair>) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&world.pki.ca).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match who {
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(&pair.certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&pair.key).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(world.kubelet.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn get(world: &World, who: Option<&Pair>, path: &str) -> (u16, String) {
    ask(world, who, path, "").await
}

async fn ask(world: &World, who: Option<&Pair>, path: &str, authorization: &str) -> (u16, String) {
    let stream = connect(world, who).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut request = Request::get(path).header("host", "node");
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let talk = async {
        let response = sender.send_request(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    };
    tokio::select! {
        biased;
        answer = talk => answer,
        ended = connection => panic!("the server hung up: {ended:?}"),
    }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn open(world: &World, path: &str, protocols: &str) -> Result<(Socket, String), String> {
    let stream = connect(world, Some(&world.pki.master)).await;
    let uri: Uri = format!("wss://127.0.0.1{path}").parse().unwrap();
    let mut request = Request::get(uri)
        .header("host", "127.0.0.1")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if !protocols.is_empty() {
        request = request.header("sec-websocket-protocol", protocols);
    }
    let request = request.body(()).unwrap();
    let (socket, answer) =
        tokio_tungstenite::client_async(request, stream).await.map_err(|error| error.to_string())?;
    let chosen = answer.headers().get("sec-websocket-protocol");
    Ok((socket, chosen.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()))
}

/// All that comes until the end, by channel.
async fn drain(mut socket: Socket) -> Vec<(u8, String)> {
    let mut all: Vec<(u8, String)> = Vec::new();
    let mut normal = false;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) if bytes.len() > 1 => {
                all.push((bytes[0], String::from_utf8_lossy(&bytes[1..]).into_owned()));
            }
            Message::Close(frame) => normal = frame.is_some_and(|frame| frame.code == CloseCode::Normal),
            _ => {}
        }
    }
    assert!(normal, "clients take an end without a code for a failure");
    all.sort();
    all
}

async fn world(label: &str) -> World {
    let world = World::start(label).await;
    let spec = json!({"restartPolicy": "Always", "containers": [{"name": "app", "image": "img:1", "command": ["run"]}]});
    world.create("web", spec);
    world.until("web", |pod| pod["status"]["containerStatuses"][0]["state"]["running"].is_object()).await;
    world
}

#[test]
fn queries_are_read() {
    let query = Query::parse("command=sh&command=-c&command=echo+%22a%26b%22&tty=1&empty=");
    assert_eq!(query.all("command"), ["sh", "-c", "echo \"a&b\""]);
    assert!(query.is_set(["tty", "tty"]) && !query.is_set(["empty", "missing"]));
    assert_eq!(decode("%zz%4"), "%zz%4");
    assert_eq!(decode("%C3%A9"), "é");
}

#[tokio::test]
async fn only_those_who_may_are_answered() {
    let world = world("access").await;
    let (master, other) = (world.pki.master.clone(), world.pki.other.clone());
    assert_eq!(get(&world, Some(&master), "/healthz").await, (200, "ok".to_owned()));
    assert_eq!(get(&world, None, "/healthz").await, (401, "Unauthorized".to_owned()));
    world.api.set_allowed(false);
    let (code, text) = get(&world, Some(&other), "/pods").await;
    assert_eq!(code, 403);
    assert_eq!(text, "Forbidden (user=alice, verb=get, resource=nodes, subresource(s)=[pods proxy])\n");
    world.api.set_allowed(true);
    assert_eq!(get(&world, Some(&other), "/metrics/resource").await.0, 200);
    assert_eq!(get(&world, Some(&master), "/nonsense").await.0, 404);
}

#[tokio::test]
async fn tokens_are_known_by_the_api_server() {
    let world = world("tokens").await;
    world.api.set_allowed(true);
    for _ in 0..3 {
        assert_eq!(ask(&world, None, "/healthz", "Bearer token of bob").await.0, 200);
    }
    let asked = world.api.writes().iter().filter(|write| *write == "review of a token").count();
    assert_eq!(asked, 1, "who was known is remembered");
    for wrong in ["Bearer nonsense", "Bearer ", "Basic token of bob", "Bearer"] {
        assert_eq!(ask(&world, None, "/healthz", wrong).await.0, 401, "{wrong}");
    }
    world.api.set_allowed(false);
    let (code, text) = ask(&world, None, "/metrics/resource", "bearer token of eve").await;
    assert_eq!(code, 403);
    assert_eq!(text, "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[metrics])\n");
}

#[tokio::test]
async fn pods_and_figures_are_listed() {
    let world = world("lists").await;
    let master = world.pki.master.clone();
    let (_, pods) = get(&world, Some(&master), "/pods").await;
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!((&pods["kind"], &pods["items"][0]["metadata"]["name"]), (&json!("PodList"), &json!("web")));
    let (_, running) = get(&world, Some(&master), "/runningpods/").await;
    let running: Value = serde_json::from_str(&running).unwrap();
    assert_eq!(running["items"][0]["spec"]["containers"][0]["name"], "app");
    let (_, metrics) = get(&world, Some(&master), "/metrics/resource").await;
    for line in [
        "container_cpu_usage_seconds_total{container=\"app\",namespace=\"default\",pod=\"web\"} 1.5 ",
        "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 4096 ",
        "# TYPE node_cpu_usage_seconds_total counter",
        "resource_scrape_error 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let (_, cadvisor) = get(&world, Some(&master), "/metrics/cadvisor").await;
    for line in [
        "container_cpu_usage_seconds_total{container=\"app\",cpu=\"total\",id=\"/test/kubepods/besteffort/pod",
        "# TYPE container_memory_working_set_bytes gauge",
        "namespace=\"default\",pod=\"web\"} 4096 ",
        "machine_memory_bytes ",
    ] {
        assert!(cadvisor.contains(line), "{line}\n{cadvisor}");
    }
    let (_, own) = get(&world, Some(&master), "/metrics").await;
    for line in [
        "kubelet_node_name{node=\"node-1\"} 1\n",
        "kubelet_running_pods 1\n",
        "kubelet_running_containers{container_state=\"running\"} 1\n",
        "kubelet_desired_pods{static=\"\"} 1\n",
    ] {
        assert!(own.contains(line), "{line}\n{own}");
    }
    assert!(get(&world, Some(&master), "/metrics/probes").await.1.starts_with("# HELP prober_probe_total "));
    let (_, summary) = get(&world, Some(&master), "/stats/summary").await;
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["pods"][0]["podRef"]["name"], "web");
    assert_eq!(summary["pods"][0]["containers"][0]["memory"]["workingSetBytes"], 4_096);
    assert!(summary["node"]["memory"]["workingSetBytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    let world = world("server-logs").await;
    let master = world.pki.master.clone();
    let path = world.root.0.join("app.log");
    std::fs::write(
        &path,
        "2026-01-02T15:04:05.000000001Z stdout F one\n2026-01-02T15:04:06.000000001Z stdout F two\n",
    )
    .unwrap();
    world.runtime.set_log("app", &path);
    world.pass(1).await;
    assert_eq!(
        get(&world, Some(&master), "/containerLogs/default/web/app").await,
        (200, "one\ntwo\n".to_owned())
    );
    let tail = "/containerLogs/default/web/app?tailLines=1&timestamps=true";
    assert_eq!(get(&world, Some(&master), tail).await.1, "2026-01-02T15:04:06.000000001Z two\n");
    for (path, code, text) in [
        ("/containerLogs/default/none/app", 404, "pod \"none_default\" does not exist\n"),
        ("/containerLogs/default/web/none", 404, "container \"none\" not found in pod \"web\"\n"),
        (
            "/containerLogs/default/web/app?previous=true",
            400,
            "previous terminated container \"app\" in pod \"web\" not found",
        ),
        ("/containerLogs/default/web/app?tailLines=x", 400, "tailLines: \"x\" is no number"),
    ] {
        assert_eq!(get(&world, Some(&master), path).await, (code, text.to_owned()), "{path}");
    }
    let more = async {
        world.pass(1).await;
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"2026-01-02T15:04:07.000000001Z stdout F three\n").unwrap();
        world.runtime.crash("app", 0);
    };
    let follow = get(&world, Some(&master), "/containerLogs/default/web/app?follow=true");
    let (answer, ()) = tokio::join!(follow, more);
    assert_eq!(answer, (200, "one\ntwo\nthree\n".to_owned()));
}

#[tokio::test]
async fn commands_are_run_over_web_sockets() {
    let world = world("exec").await;
    let path = "/exec/default/web/app?command=fail&command=7&output=1&error=1";
    let (socket, chosen) = open(&world, path, "v5.channel.k8s.io, v4.channel.k8s.io").await.unwrap();
    assert_eq!(chosen, "v5.channel.k8s.io");
    let all = drain(socket).await;
    assert_eq!(all[0], (1, "fail 7".to_owned()));
    assert_eq!(all[1], (2, "complaint".to_owned()));
    let status: Value = serde_json::from_str(&all[2].1).unwrap();
    assert_eq!(all[2].0, 3);
    assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("NonZeroExitCode")));
    assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));

    let (socket, chosen) =
        open(&world, "/exec/default/web/app?command=true&command=0&output=1", "").await.unwrap();
    assert_eq!(chosen, "");
    assert_eq!(drain(socket).await, [(1, "true 0".to_owned())]);

    let (socket, _) = open(&world, "/exec/default/web/app?command=x&command=0&output=1", "v4.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(drain(socket).await[1], (3, "{\"metadata\":{},\"status\":\"Success\"}".to_owned()));
    assert!(open(&world, "/exec/default/web/app?command=x&output=1", "v9.channel.k8s.io").await.is_err());
    assert!(open(&world, "/exec/default/web/none?command=x&output=1", "").await.is_err());
    assert!(open(&world, "/exec/default/web/app?command=x", "").await.is_err());
}

#[tokio::test]
async fn what_is_typed_reaches_the_command_and_its_end_is_told() {
    let world = world("stdin").await;
    let path = "/exec/default/web/app?command=cat&input=1&output=1";
    let (mut socket, _) = open(&world, path, "v5.channel.k8s.io").await.unwrap();
    socket.send(Message::binary(&b"\x00hello"[..])).await.unwrap();
    socket.send(Message::binary(&b"\xff\x00"[..])).await.unwrap();
    assert_eq!(drain(socket).await[0], (1, "hello".to_owned()));
    let (mut socket, _) =
        open(&world, "/attach/default/web/app?input=1&output=1", "base64.channel.k8s.io").await.unwrap();
    socket.send(Message::text("0aGVsbG8=")).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) if text.len() > 1 => {
                assert_eq!(text.as_str(), "1aGVsbG8=");
                break;
            }
            _ => {}
        }
    }
    let (mut socket, _) =
        open(&world, "/attach/default/web/app?input=1&output=1", "v5.channel.k8s.io").await.unwrap();
    socket.send(Message::binary(&b"\xff\x00"[..])).await.unwrap();
    let all = drain(socket).await;
    let status = (3, "{\"metadata\":{},\"status\":\"Success\"}".to_owned());
    assert_eq!(all, [status], "how the container ended is told by its pod");
    let path = "/exec/default/web/app?command=size&tty=1&input=1&output=1";
    let (mut socket, _) = open(&world, path, "v4.channel.k8s.io").await.unwrap();
    socket.send(Message::binary(&b"\x04{\"Width\":80,\"Height\":24}"[..])).await.unwrap();
    assert_eq!(drain(socket).await[0], (1, "80x24".to_owned()));
}

#[tokio::test]
async fn ports_are_forwarded() {
    let world = world("forward").await;
    let (mut socket, _) =
        open(&world, "/portForward/default/web?port=80&port=1", "v4.channel.k8s.io").await.unwrap();
    socket.send(Message::binary(&b"\x00ping"[..])).await.unwrap();
    let mut seen: Vec<(u8, Vec<u8>)> = Vec::new();
    while !(seen.iter().any(|(_, bytes)| bytes == b"ping")
        && seen.iter().any(|(channel, bytes)| *channel == 3 && bytes.len() > 2))
    {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
            seen.push((bytes[0], bytes[1..].to_vec()));
        }
    }
    assert_eq!(seen[..4], [(0, vec![80, 0]), (1, vec![80, 0]), (2, vec![1, 0]), (3, vec![1, 0])]);
    let (_, problem) = seen.iter().find(|(channel, bytes)| *channel == 3 && bytes.len() > 2).unwrap();
    assert!(String::from_utf8_lossy(problem).ends_with("error forwarding port 1: connection refused"));
    assert!(open(&world, "/portForward/default/web?port=0", "").await.is_err());
    assert!(open(&world, "/portForward/default/web", "").await.is_err());
}
