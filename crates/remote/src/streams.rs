//! Commands, main processes and ports, connected: the runtime answers an address, which speaks SPDY.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cri::wire::Message;
use cri::{AttachRequest, Duplex, ExecRequest, Result, RuntimeError, Session, v1};
use env::Env;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use spdy::{Headers, Reader, Side, Stream, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::service::Service;
use crate::{LIMIT, Remote, containers, sandboxes};

mod outcome;

/// What is spoken about commands: the end is told as a status.
const OF_COMMANDS: &str = "v4.channel.k8s.io";
/// What is spoken about ports.
const OF_PORTS: &str = "portforward.k8s.io";
/// How long the address may take to be connected to: what is at it is on this machine.
const CONNECTING: Duration = Duration::from_secs(30);
/// Pieces that may wait to be taken by whoever asked.
const PIECES: usize = 16;
/// The most that is told of how a command ended.
const MOST_OUTCOME: usize = 64 << 10;
/// How much of a port's bytes may wait, and is sent at once.
const BUFFER: usize = 32 << 10;

/// Which streams are wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

pub(crate) async fn exec(remote: &Remote, id: String, request: ExecRequest) -> Result<Session> {
    let wanted = Wanted {
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    };
    let question = v1::exec_request(id.clone(), request);
    let url = address(remote, "Exec", &question, (containers::WHAT, &id)).await?;
    command(remote, &url, wanted).await
}

pub(crate) async fn attach(remote: &Remote, id: String, request: AttachRequest) -> Result<Session> {
    let wanted = Wanted {
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    };
    let question = v1::attach_request(id.clone(), &request);
    let url = address(remote, "Attach", &question, (containers::WHAT, &id)).await?;
    command(remote, &url, wanted).await
}

async fn address(
    remote: &Remote,
    method: &str,
    question: &impl Message,
    about: (&'static str, &str),
) -> Result<String> {
    let asked = remote.connection.call(Service::Runtime, method, question, LIMIT).await;
    let answer: v1::StreamAddress = asked.map_err(|failure| failure.about(about.0, about.1))?;
    Ok(answer.url)
}

fn failed(what: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed(format!("the container runtime's streams cannot be connected to: {what}"))
}

/// Where to connect to: the host and port of an address. One that stands for all of the machine's is the machine.
fn place(url: &Uri) -> Result<String> {
    let (scheme, authority) = (url.scheme_str().unwrap_or_default(), url.authority());
    let (Some(authority), "http") = (authority, scheme) else {
        return Err(failed(format!("{url} is not an address of plain HTTP")));
    };
    let port = authority.port_u16().unwrap_or(80);
    Ok(match authority.host() {
        "" | "0.0.0.0" | "[::]" => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        host => format!("{host}:{port}"),
    })
}

/// Connects, and begins to speak SPDY.
async fn connect(env: &Env, url: &str, protocol: &'static str) -> Result<spdy::Session> {
    let connecting = async {
        let uri: Uri = url.parse().map_err(failed)?;
        let stream = TcpStream::connect(place(&uri)?).await.map_err(failed)?;
        // Small pieces (a typed letter) must not wait for more.
        stream.set_nodelay(true).map_err(failed)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        env.tasks.spawn("streams' connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("a connection to the container runtime's streams ended badly: {error}");
            }
        });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(http::header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
            .header(http::header::CONNECTION, "Upgrade")
            .header(http::header::UPGRADE, "SPDY/3.1")
            .header("x-stream-protocol-version", protocol)
            .body(Empty::<Bytes>::new())
            .map_err(failed)?;
        let mut answer = sender.send_request(request).await.map_err(failed)?;
        if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(failed(answer.status()));
        }
        hyper::upgrade::on(&mut answer).await.map_err(failed)
    };
    let upgraded = env.clock.timeout(CONNECTING, connecting).await;
    let upgraded =
        upgraded.ok_or_else(|| RuntimeError::Timeout(failed("it takes too long").to_string()))??;
    let (session, work) = spdy::Session::start(TokioIo::new(upgraded), Side::Client);
    env.tasks.spawn("streams of the container runtime", async move {
        if let Err(error) = work.await {
            tracing::debug!("streams of the container runtime ended badly: {error}");
        }
    });
    Ok(session)
}

async fn open(session: &spdy::Session, headers: &[(&str, &str)]) -> Result<Stream> {
    session.open(Headers::new(headers.iter().copied())).await.ok_or_else(|| failed("they ended at once"))
}

async fn channel(session: &spdy::Session, kind: &str, wanted: bool) -> Result<Option<Stream>> {
    if !wanted {
        return Ok(None);
    }
    open(session, &[("streamtype", kind)]).await.map(Some)
}

/// A command's streams, on their way.
struct Channels {
    session: spdy::Session,
    error: Stream,
    stdin: Option<(mpsc::Receiver<Vec<u8>>, Stream)>,
    resize: Option<(mpsc::Receiver<(u16, u16)>, Stream)>,
    stdout: Option<(mpsc::Sender<Vec<u8>>, Stream)>,
    stderr: Option<(mpsc::Sender<Vec<u8>>, Stream)>,
}

async fn command(remote: &Remote, url: &str, wanted: Wanted) -> Result<Session> {
    let session = connect(&remote.env, url, OF_COMMANDS).await?;
    let error = open(&session, &[("streamtype", "error")]).await?;
    let (stdin, typed) = mpsc::channel(PIECES);
    let (print, stdout) = mpsc::channel(PIECES);
    let (complain, stderr) = mpsc::channel(PIECES);
    let (resize, sizes) = mpsc::channel(PIECES);
    let (done, exit) = oneshot::channel();
    let channels = Channels {
        stdin: channel(&session, "stdin", wanted.stdin).await?.map(|stream| (typed, stream)),
        stdout: channel(&session, "stdout", wanted.stdout).await?.map(|stream| (print, stream)),
        stderr: channel(&session, "stderr", wanted.stderr).await?.map(|stream| (complain, stream)),
        resize: channel(&session, "resize", wanted.tty).await?.map(|stream| (sizes, stream)),
        error,
        session,
    };
    remote.env.tasks.spawn("command over CRI", carry(channels, done));
    Ok(Session {
        stdin: wanted.stdin.then_some(stdin),
        stdout: wanted.stdout.then_some(stdout),
        stderr: wanted.stderr.then_some(stderr),
        resize: wanted.tty.then_some(resize),
        exit,
    })
}

/// Carries bytes both ways until the command has ended and all it said has been told, or nobody waits for its end any more.
async fn carry(channels: Channels, mut done: oneshot::Sender<std::result::Result<i32, String>>) {
    let Channels { session, mut error, stdin, resize, stdout, stderr } = channels;
    let said = async {
        let (told, (), ()) = tokio::join!(whole(&mut error.reader), pour(stdout), pour(stderr));
        told
    };
    let fed = async {
        tokio::join!(feed(stdin), sizes(resize));
        std::future::pending::<()>().await;
    };
    let told = tokio::select! {
        biased;
        () = done.closed() => return,
        told = said => told,
        () = fed => return,
    };
    // What is left of the connection has nothing more to tell.
    drop(session);
    // Whoever asked may have gone.
    let _ = done.send(told.and_then(|told| outcome::read(&told)));
}

/// All that a stream says.
async fn whole(reader: &mut Reader) -> std::result::Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await {
        let room = MOST_OUTCOME.saturating_sub(all.len());
        all.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    // Some hang up when they have said how it ended, instead of saying that this was all.
    match reader.finished() || !all.is_empty() {
        true => Ok(all),
        false => Err("the connection to the container runtime broke".to_owned()),
    }
}

/// Hands on what a stream says. If nobody takes it, it is read all the same: it would hold up the others.
async fn pour(from: Option<(mpsc::Sender<Vec<u8>>, Stream)>) {
    let Some((sender, mut stream)) = from else { return };
    while let Some(piece) = stream.reader.next().await {
        // The end is waited for all the same.
        let _ = sender.send(piece.to_vec()).await;
    }
}

async fn feed(into: Option<(mpsc::Receiver<Vec<u8>>, Stream)>) {
    let Some((mut typed, stream)) = into else { return };
    while let Some(bytes) = typed.recv().await {
        if !stream.writer.send(&bytes).await {
            return;
        }
    }
    stream.writer.finish().await;
}

async fn sizes(into: Option<(mpsc::Receiver<(u16, u16)>, Stream)>) {
    let Some((mut sizes, stream)) = into else { return };
    while let Some((columns, rows)) = sizes.recv().await {
        let size = format!("{{\"Width\":{columns},\"Height\":{rows}}}\n");
        if !stream.writer.send(size.as_bytes()).await {
            return;
        }
    }
}

pub(crate) async fn port_forward(remote: &Remote, sandbox: String, port: u16) -> Result<Box<dyn Duplex>> {
    let question = v1::PortForwardRequest { pod_sandbox_id: sandbox.clone(), port: vec![i32::from(port)] };
    let url = address(remote, "PortForward", &question, (sandboxes::WHAT, &sandbox)).await?;
    let session = connect(&remote.env, &url, OF_PORTS).await?;
    let text = port.to_string();
    let about = |kind| [("streamtype", kind), ("port", text.as_str()), ("requestid", "0")];
    let error = open(&session, &about("error")).await?;
    let data = open(&session, &about("data")).await?;
    // Nothing is said on it from this side.
    error.writer.finish().await;
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    remote.env.tasks.spawn("port over CRI", forward(session, theirs, data, error));
    Ok(Box::new(ours))
}

/// Carries bytes both ways until the port's side has ended.
async fn forward(session: spdy::Session, theirs: tokio::io::DuplexStream, data: Stream, error: Stream) {
    let (mut read, mut write) = tokio::io::split(theirs);
    let Stream { reader: mut coming, writer: going, .. } = data;
    let mut complaints = error.reader;
    let come = async {
        while let Some(piece) = coming.next().await {
            if write.write_all(&piece).await.is_err() {
                return;
            }
        }
        // Whoever reads may have gone.
        let _ = write.shutdown().await;
    };
    let go = async {
        send_all(&mut read, &going).await;
        std::future::pending::<()>().await;
    };
    let complain = async {
        match whole(&mut complaints).await {
            Ok(told) if !told.is_empty() => {
                tracing::warn!("a port cannot be forwarded: {}", String::from_utf8_lossy(&told));
            }
            // It ended well, or its end is seen by whoever reads.
            _ => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        biased;
        () = come => {}
        () = complain => {}
        () = go => {}
    }
    drop(session);
}

async fn send_all(read: &mut (impl tokio::io::AsyncRead + Unpin), going: &Writer) {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        buffer.clear();
        match read.read_buf(&mut buffer).await {
            Ok(length) if length > 0 => {
                if !going.send(&buffer).await {
                    return;
                }
            }
            _ => break,
        }
    }
    going.finish().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_this_machine() {
        for (url, wanted) in [
            ("http://127.0.0.1:40000/exec/t", Some("127.0.0.1:40000")),
            ("http://[::]:40000/exec/t", Some("127.0.0.1:40000")),
            ("http://0.0.0.0:1/x", Some("127.0.0.1:1")),
            ("http://[::1]:1/x", Some("[::1]:1")),
            ("http://node/x", Some("node:80")),
            ("https://127.0.0.1:1/x", None),
            ("/exec/t", None),
        ] {
            assert_eq!(place(&url.parse().unwrap()).ok().as_deref(), wanted, "{url}");
        }
    }
}
