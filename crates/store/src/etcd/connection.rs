//! A connection to one member: HTTP/2 with the frames of gRPC.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;

use crate::etcd::Endpoint;
use crate::etcd::failure::Failure;
use crate::etcd::wire::{Frames, Malformed, Writer};
use crate::etcd::{message, version};

/// How long a connection may take to be made, up to the member's first word.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How often a silent connection is tested, and how long that may take. etcd hangs up on whoever tests more often
/// than every five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(5);
/// Room for a burst of events without a round trip for each piece.
const WINDOW: u32 = 4 << 20;

/// What the store asks of etcd.
pub(super) mod method {
    pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
    pub(crate) const TXN: &str = "/etcdserverpb.KV/Txn";
    pub(crate) const COMPACT: &str = "/etcdserverpb.KV/Compact";
    pub(crate) const WATCH: &str = "/etcdserverpb.Watch/Watch";
    pub(crate) const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    pub(crate) const LEASE_TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
    pub(crate) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
}

/// What is sent: one message, or several as they come.
#[derive(Debug)]
enum Outgoing {
    One(Option<Bytes>),
    Several(mpsc::Receiver<Bytes>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Outgoing::One(message) => Poll::Ready(message.take()),
            Outgoing::Several(messages) => messages.poll_recv(context),
        };
        next.map(|message| message.map(|message| Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Outgoing::One(None))
    }
}

/// Lets the HTTP/2 machinery start its tasks through the one door.
#[derive(Clone)]
struct Executor(Env);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.0.tasks.spawn("etcd stream", async move {
            work.await;
        });
    }
}

/// A connection that is open, or was.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http2::SendRequest<Outgoing>,
    base: String,
    /// The member's place in the list.
    pub(super) member: usize,
    /// Whether the member can be asked how far a watch is.
    pub(super) tells_progress: bool,
    retired: watch::Sender<bool>,
}

impl Connection {
    /// Connects to the member at a place in the list, and hears its version.
    pub(super) async fn open(
        (member, endpoint): (usize, &Endpoint),
        tls: Option<&TlsConnector>,
        env: &Env,
    ) -> Result<Connection, Failure> {
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            Failure::NotSent(format!("{what} {}: {why}", endpoint.address()))
        };
        let stream =
            TcpStream::connect(endpoint.address()).await.map_err(|error| failed("cannot reach", &error))?;
        stream.set_nodelay(true).map_err(|error| failed("cannot reach", &error))?;
        let (scheme, sender) = match tls {
            None => ("http", handshake(stream, env).await),
            Some(connector) => {
                let name = endpoint.server_name().map_err(|error| failed("cannot trust", &error))?;
                let stream = connector.connect(name, stream).await;
                ("https", handshake(stream.map_err(|error| failed("cannot trust", &error))?, env).await)
            }
        };
        let sender = sender.map_err(|error| failed("cannot speak to", &error))?;
        let base = format!("{scheme}://{}", endpoint.address());
        let retired = watch::Sender::new(false);
        let mut connection = Connection { sender, base, member, tells_progress: false, retired };
        let status = connection.ask(method::STATUS, &Writer::default()).await;
        // Asking for the version changes nothing, so whatever went wrong, nothing was sent.
        let status = status.map_err(|failure| failed("no word from", &format!("{failure:?}")))?;
        connection.tells_progress = version::tells_progress(&message::version(status)?);
        Ok(connection)
    }

    /// Whether nothing more can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Makes those who listen here go elsewhere.
    pub(super) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Asks one question.
    pub(super) async fn ask(&self, method: &str, message: &Writer) -> Result<Bytes, Failure> {
        let response = self.send(method, Outgoing::One(Some(message.framed()))).await?;
        let mut answers = Answers::new(response)?;
        let answer = answers.next().await?;
        // What comes after the message says whether it counts.
        while answers.next().await?.is_some() {}
        answer.ok_or(Failure::Malformed(Malformed::Field))
    }

    /// Begins a conversation with a first message.
    pub(super) async fn converse(&self, method: &str, first: &Writer) -> Result<Conversation, Failure> {
        let (questions, outgoing) = mpsc::channel(4);
        // There is room: nothing was sent yet.
        let _ = questions.try_send(first.framed());
        let response = self.send(method, Outgoing::Several(outgoing)).await?;
        Ok(Conversation { questions, answers: Answers::new(response)?, retired: self.retired.subscribe() })
    }

    async fn send(&self, method: &str, body: Outgoing) -> Result<Response<Incoming>, Failure> {
        let request = Request::post(format!("{}{method}", self.base))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", "ironclad")
            // A member that has lost the others says so at once, and another can be asked.
            .header("hasleader", "true")
            .body(body)
            .map_err(|error| Failure::NotSent(error.to_string()))?;
        let mut sender = self.sender.clone();
        sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let detail = format!("the connection broke: {}", error.error());
            if unsent { Failure::NotSent(detail) } else { Failure::Broken(detail) }
        })
    }
}

async fn handshake<S>(stream: S, env: &Env) -> Result<http2::SendRequest<Outgoing>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(Executor(env.clone()))
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_LIMIT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .handshake(TokioIo::new(stream))
        .await?;
    env.tasks.spawn("etcd connection", async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to etcd ended: {error}");
        }
    });
    Ok(sender)
}

/// Questions and answers, each when there is one.
#[derive(Debug)]
pub(super) struct Conversation {
    questions: mpsc::Sender<Bytes>,
    answers: Answers,
    retired: watch::Receiver<bool>,
}

impl Conversation {
    /// Asks something more. If earlier questions still wait to be sent there is no hurry, and it is left out.
    pub(super) fn ask(&self, message: &Writer) {
        let _ = self.questions.try_send(message.framed());
    }

    /// The next answer; an error ends the conversation. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Bytes, Failure> {
        let ended = || Failure::Broken("the conversation ended".to_owned());
        tokio::select! {
            biased;
            _ = self.retired.wait_for(|retired| *retired) => Err(ended()),
            answer = self.answers.next() => answer?.ok_or_else(ended),
        }
    }
}

/// The messages of one answer, and its status at the end.
#[derive(Debug)]
struct Answers {
    body: Incoming,
    frames: Frames,
}

impl Answers {
    fn new(response: Response<Incoming>) -> Result<Answers, Failure> {
        if !response.status().is_success() {
            return Err(Failure::Broken(format!("the answer is {}", response.status())));
        }
        verdict(response.headers())?;
        Ok(Answers { body: response.into_body(), frames: Frames::default() })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.frames.next()? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Failure::Broken(format!("the connection broke: {error}")))?;
            match frame.into_data() {
                Ok(data) => self.frames.push(&data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        verdict(&trailers)?;
                    }
                }
            }
        }
    }
}

/// The status of gRPC, where it stands: in the head of an answer without a message, or after the last one.
fn verdict(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(str::parse::<u32>) {
        None | Some(Ok(0)) => Ok(()),
        Some(code) => Err(Failure::Refused {
            code: code.unwrap_or(u32::MAX),
            message: text("grpc-message").unwrap_or_default().to_owned(),
        }),
    }
}
