//! The streams of a command, whatever carries them: a WebSocket's channels or SPDY's streams.

use bytes::Bytes;
use env::Env;
use http::Request;
use hyper::body::Incoming;
use machinery::Status;

use super::socket::{self, OF_COMMANDS, Socket};
use super::spdy::{self, Channels};
use super::{Answer, upgrade};

/// What is typed.
pub(super) const STDIN: u8 = 0;
/// What is printed.
pub(super) const STDOUT: u8 = 1;
/// What is complained of.
pub(super) const STDERR: u8 = 2;
/// How it ended.
pub(super) const ERROR: u8 = 3;
/// Sizes of the terminal.
pub(super) const RESIZE: u8 = 4;

/// The streams that a client asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Wanted {
    /// The first of the streams that bring something to the client.
    fn first(self) -> u8 {
        match self {
            Wanted { stdout: true, .. } => STDOUT,
            Wanted { stderr: true, .. } => STDERR,
            _ => ERROR,
        }
    }
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// It sends nothing more on a channel.
    Closed(u8),
    /// It is gone.
    Gone,
}

/// Streams that are about to be opened.
pub(super) struct Pending {
    connection: Connection,
    wanted: Wanted,
    env: Env,
}

enum Connection {
    WebSocket(socket::Pending),
    Spdy(spdy::Pending),
}

/// Agrees to the upgrade that a request asks for. The answer must be sent before the streams can be used.
pub(super) fn accept(
    env: &Env,
    request: Request<Incoming>,
    wanted: Wanted,
) -> Result<(Answer, Pending), Status> {
    let (answer, connection) = if upgrade::is_spdy(request.headers()) {
        let (answer, pending) = spdy::accept(request, &spdy::OF_COMMANDS)?;
        (answer, Connection::Spdy(pending))
    } else {
        upgrade::expect_websocket(request.headers())?;
        let (answer, pending) = socket::accept(request, &OF_COMMANDS)?;
        (answer, Connection::WebSocket(pending))
    };
    Ok((answer, Pending { connection, wanted, env: env.clone() }))
}

impl Pending {
    /// Whether the end is told as a `Status` in JSON.
    pub fn with_status(&self) -> bool {
        match &self.connection {
            Connection::WebSocket(pending) => pending.protocol().status,
            Connection::Spdy(pending) => pending.with_status(),
        }
    }

    /// Waits until the client has opened what it asked for.
    pub async fn open(self) -> Result<Streams, String> {
        match self.connection {
            Connection::WebSocket(pending) => {
                let mut socket = pending.open().await.map_err(|error| error.to_string())?;
                // Tells the client that it is connected.
                match socket.send(self.wanted.first(), &[]).await {
                    true => Ok(Streams::WebSocket(Box::new(socket))),
                    false => Err("it has gone".to_owned()),
                }
            }
            Connection::Spdy(pending) => {
                Channels::open(&self.env, pending, self.wanted).await.map(Streams::Spdy)
            }
        }
    }
}

/// Open streams.
pub(super) enum Streams {
    /// Over a WebSocket.
    WebSocket(Box<Socket>),
    /// Over SPDY.
    Spdy(Channels),
}

impl Streams {
    /// Waits for what the client sends.
    pub async fn receive(&mut self) -> Received {
        match self {
            Streams::WebSocket(socket) => socket.receive().await,
            Streams::Spdy(channels) => channels.receive().await,
        }
    }

    /// Sends bytes on a channel. Answers whether the client is still there.
    pub async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        match self {
            Streams::WebSocket(socket) => socket.send(channel, bytes).await,
            Streams::Spdy(channels) => channels.send(channel, bytes).await,
        }
    }

    /// Ends in good order.
    pub async fn close(self) {
        match self {
            Streams::WebSocket(socket) => socket.close().await,
            Streams::Spdy(channels) => channels.close().await,
        }
    }
}
