//! Commands and ports over SPDY, bare and through a WebSocket, as stock clients speak it.

use ::spdy::{Headers, Reader, Session, Side, Stream};
use hyper_util::rt::TokioIo;

use super::*;
use crate::server::socket::TUNNEL;
use crate::server::tunnel::Tunnel;

/// Asks for SPDY. Answers the session and the protocol that was chosen, or the refusal.
async fn dial(world: &World, path: &str, protocols: &[&str]) -> Result<(Session, String), (u16, String)> {
    let stream = connect(world, Some(&world.pki.master)).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    world.env.tasks.spawn("client", connection.with_upgrades());
    let mut request = Request::post(path)
        .header("host", "node")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1");
    for protocol in protocols {
        request = request.header("x-stream-protocol-version", *protocol);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    if response.status() != 101 {
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        return Err((code, String::from_utf8_lossy(&body).into_owned()));
    }
    assert_eq!(response.headers()["upgrade"], "SPDY/3.1");
    let chosen = response.headers().get("x-stream-protocol-version");
    let chosen = chosen.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    Ok((begin(world, TokioIo::new(upgraded)), chosen))
}

fn begin<C>(world: &World, connection: C) -> Session
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let (session, work) = Session::start(connection, Side::Client);
    world.env.tasks.spawn("client's session", work);
    session
}

async fn channel(session: &Session, kind: &str) -> Stream {
    session.open(Headers::new([("streamType", kind)])).await.unwrap()
}

async fn all(reader: &mut Reader) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await {
        bytes.extend_from_slice(&piece);
    }
    assert!(reader.finished(), "it was broken off after {:?}", String::from_utf8_lossy(&bytes));
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn commands_are_run_and_their_end_is_told_in_every_version() {
    let world = world("spdy-exec").await;
    let path = "/exec/default/web/app?command=fail&command=7&output=1&error=1";
    for (offered, chosen) in [
        (&["v5.channel.k8s.io", "v4.channel.k8s.io"][..], "v5.channel.k8s.io"),
        (
            &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"],
            "v4.channel.k8s.io",
        ),
        (&["v9.channel.k8s.io, v3.channel.k8s.io"], "v3.channel.k8s.io"),
        (&["channel.k8s.io"], "channel.k8s.io"),
        (&[], ""),
    ] {
        let (session, agreed) = dial(&world, path, offered).await.unwrap();
        assert_eq!(agreed, chosen);
        let mut error = channel(&session, "error").await;
        let mut stdout = channel(&session, "stdout").await;
        let mut stderr = channel(&session, "stderr").await;
        assert_eq!(all(&mut stdout.reader).await, "fail 7");
        assert_eq!(all(&mut stderr.reader).await, "complaint");
        let told = all(&mut error.reader).await;
        if chosen.starts_with("v4") || chosen.starts_with("v5") {
            let status: Value = serde_json::from_str(&told).unwrap();
            assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));
        } else {
            assert!(told.ends_with("exit code 7"), "{told}");
        }
    }
    let (code, text) = dial(&world, path, &["v9.channel.k8s.io"]).await.unwrap_err();
    assert_eq!(code, 403);
    assert!(text.starts_with("unable to negotiate protocol: client supports [v9.channel.k8s.io]"), "{text}");
    assert_eq!(dial(&world, "/exec/default/web/none?command=x&output=1", &[]).await.unwrap_err().0, 500);
}

#[tokio::test]
async fn what_is_typed_and_the_terminals_size_reach_the_command() {
    let world = world("spdy-stdin").await;
    let protocol = ["v4.channel.k8s.io"];
    let (session, _) =
        dial(&world, "/exec/default/web/app?command=cat&input=1&output=1", &protocol).await.unwrap();
    let mut error = channel(&session, "error").await;
    let stdin = channel(&session, "stdin").await;
    let mut stdout = channel(&session, "stdout").await;
    assert!(stdin.writer.send(b"hello").await && stdin.writer.finish().await);
    assert_eq!(all(&mut stdout.reader).await, "hello");
    assert_eq!(all(&mut error.reader).await, "{\"metadata\":{},\"status\":\"Success\"}");

    let path = "/exec/default/web/app?command=size&tty=1&input=1&output=1";
    let (session, _) = dial(&world, path, &protocol).await.unwrap();
    let _error = channel(&session, "error").await;
    let _stdin = channel(&session, "stdin").await;
    let mut stdout = channel(&session, "stdout").await;
    // A stream that nobody asked for, and one that is there already.
    for kind in ["nonsense", "stdout"] {
        let mut refused = channel(&session, kind).await;
        assert!(refused.reader.next().await.is_none() && !refused.reader.finished(), "{kind}");
    }
    let resize = channel(&session, "resize").await;
    assert!(resize.writer.send(b"{\"Width\":80,\"Height\":24}\n").await);
    assert_eq!(all(&mut stdout.reader).await, "80x24");
}

/// Opens the two streams of a connection to a port.
async fn open_port(session: &Session, port: &str, request: &str) -> (Stream, Stream) {
    let headers = |kind| Headers::new([("streamType", kind), ("port", port), ("requestID", request)]);
    let error = session.open(headers("error")).await.unwrap();
    assert!(error.writer.finish().await);
    (session.open(headers("data")).await.unwrap(), error)
}

async fn forward_many(session: &Session) {
    let large = vec![b'x'; 200_000];
    for request in 0..10 {
        let (mut data, mut error) = open_port(session, "80", &request.to_string()).await;
        let send = async { assert!(data.writer.send(&large).await && data.writer.finish().await) };
        let ((), echo) = tokio::join!(send, all(&mut data.reader));
        assert_eq!(echo.len(), large.len());
        assert_eq!(all(&mut error.reader).await, "");
    }
    // Nobody listens there; the others do not suffer.
    let (mut data, mut error) = open_port(session, "1", "bad").await;
    let text = all(&mut error.reader).await;
    assert!(text.starts_with("error forwarding port 1 to pod web, uid "), "{text}");
    assert!(text.ends_with(": connection refused"), "{text}");
    assert_eq!(all(&mut data.reader).await, "");
    // Old clients do not say which streams belong together.
    let headers = |kind| Headers::new([("streamType", kind), ("port", "80")]);
    let mut error = session.open(headers("error")).await.unwrap();
    let mut data = session.open(headers("data")).await.unwrap();
    assert!(data.writer.send(b"old").await && data.writer.finish().await);
    assert_eq!((all(&mut data.reader).await.as_str(), all(&mut error.reader).await.as_str()), ("old", ""));
    for pairs in [
        &[("port", "80")][..],
        &[("streamType", "data")],
        &[("streamType", "other"), ("port", "80")],
        &[("streamType", "data"), ("port", "0")],
        &[("streamType", "data"), ("port", "65536")],
    ] {
        let mut refused = session.open(Headers::new(pairs.iter().copied())).await.unwrap();
        assert!(refused.reader.next().await.is_none() && !refused.reader.finished(), "{pairs:?}");
    }
}

#[tokio::test]
async fn ports_are_forwarded_bare() {
    let world = world("spdy-forward").await;
    let (session, chosen) = dial(&world, "/portForward/default/web", &["portforward.k8s.io"]).await.unwrap();
    assert_eq!(chosen, "portforward.k8s.io");
    forward_many(&session).await;
}

#[tokio::test]
async fn ports_are_forwarded_through_a_web_socket() {
    let world = world("tunnel").await;
    let stream = connect(&world, Some(&world.pki.master)).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    world.env.tasks.spawn("client", connection.with_upgrades());
    let request = Request::get("/portForward/default/web")
        .header("host", "node")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", TUNNEL);
    let mut response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], TUNNEL);
    let upgraded = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let socket = WebSocketStream::from_raw_socket(upgraded, role, None).await;
    forward_many(&begin(&world, Tunnel::new(socket))).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_ends_what_it_started() {
    let world = world("spdy-gone").await;
    let (session, _) = dial(&world, "/portForward/default/web", &[]).await.unwrap();
    let (data, _error) = open_port(&session, "80", "0").await;
    data.writer.reset().await;
    // The connection lives on.
    let (mut data, _error) = open_port(&session, "80", "1").await;
    assert!(data.writer.send(b"hello").await && data.writer.finish().await);
    assert_eq!(all(&mut data.reader).await, "hello");
}
