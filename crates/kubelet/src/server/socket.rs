//! Streams over a WebSocket: each message begins with the number of its channel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use machinery::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::streams::Received;
use super::{Answer, upgrade};

/// The largest message: what is typed, or a piece of a file that is copied in.
const MOST_MESSAGE: usize = 8 << 20;
/// The channel on which a client says that it closes another (version 5).
const CLOSE: u8 = 255;

/// What the two sides agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// Its name; empty if the client named none.
    pub name: &'static str,
    /// Everything is base64 in text messages, and channels are digits.
    pub base64: bool,
    /// The end is told as a `Status` in JSON.
    pub status: bool,
}

const fn protocol(name: &'static str, base64: bool, status: bool) -> Protocol {
    Protocol { name, base64, status }
}

/// For commands, as upstream offers them.
pub(super) const OF_COMMANDS: [Protocol; 6] = [
    protocol("v5.channel.k8s.io", false, true),
    protocol("v4.channel.k8s.io", false, true),
    protocol("v4.base64.channel.k8s.io", true, true),
    protocol("channel.k8s.io", false, false),
    protocol("base64.channel.k8s.io", true, false),
    protocol("", false, false),
];

/// The protocol of ports that carries SPDY.
pub(super) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// For ports.
pub(super) const OF_PORTS: [Protocol; 4] = [
    protocol(TUNNEL, false, false),
    protocol("v4.channel.k8s.io", false, true),
    protocol("v4.base64.channel.k8s.io", true, true),
    protocol("", false, false),
];

/// An open WebSocket.
pub(super) type Raw = WebSocketStream<TokioIo<Upgraded>>;

/// A connection that is about to become a WebSocket.
pub(super) struct Pending {
    upgrade: OnUpgrade,
    protocol: Protocol,
}

/// Agrees to the upgrade that a request asks for. The answer must be sent before the connection can be used.
pub(super) fn accept(request: Request<Incoming>, known: &[Protocol]) -> Result<(Answer, Pending), Status> {
    let headers = request.headers();
    let key = headers.get(http::header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| Status::bad_request("unable to upgrade: Sec-WebSocket-Key is missing"))?;
    let accept = derive_accept_key(key.as_bytes());
    let protocol = choose(headers, known)?;
    let upgrade = hyper::upgrade::on(request);
    let mut answer = upgrade::switching("websocket");
    let out = answer.headers_mut();
    out.insert(http::header::SEC_WEBSOCKET_ACCEPT, accept.parse().map_err(Status::internal)?);
    if !protocol.name.is_empty() {
        out.insert(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name));
    }
    Ok((answer, Pending { upgrade, protocol }))
}

/// The first protocol of the client's that is known.
fn choose(headers: &HeaderMap, known: &[Protocol]) -> Result<Protocol, Status> {
    let offered = upgrade::listed(headers, &http::header::SEC_WEBSOCKET_PROTOCOL);
    let wanted = if offered.is_empty() { vec![""] } else { offered };
    let found = wanted.iter().find_map(|name| known.iter().find(|protocol| protocol.name == *name));
    found.copied().ok_or_else(|| {
        Status::bad_request(format!("unable to upgrade: none of the subprotocols {wanted:?} is supported"))
    })
}

impl Pending {
    /// Waits for the upgrade.
    pub async fn open(self) -> Result<Socket, hyper::Error> {
        let protocol = self.protocol;
        Ok(Socket { stream: self.raw().await?, protocol })
    }

    /// Waits for the upgrade; what messages mean is the caller's business.
    pub async fn raw(self) -> Result<Raw, hyper::Error> {
        let stream = TokioIo::new(self.upgrade.await?);
        let config = WebSocketConfig::default().max_message_size(Some(MOST_MESSAGE));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
    }

    /// What will be spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

/// An open connection.
pub(super) struct Socket {
    stream: Raw,
    protocol: Protocol,
}

impl Socket {
    /// Waits for what the client sends.
    pub async fn receive(&mut self) -> Received {
        loop {
            let message = match self.stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => return Received::Gone,
            };
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => Bytes::from(text),
                Message::Close(_) => return Received::Gone,
                // Answered by the library.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if let Some(received) = self.decode(&bytes) {
                return received;
            }
        }
    }

    fn decode(&self, bytes: &Bytes) -> Option<Received> {
        let first = *bytes.first()?;
        let rest = bytes.slice(1..);
        if self.protocol.base64 {
            let channel = first.checked_sub(b'0').filter(|channel| *channel < 10)?;
            return Some(Received::Data(channel, STANDARD.decode(&rest).ok()?.into()));
        }
        if first == CLOSE && self.protocol.name == "v5.channel.k8s.io" {
            return Some(Received::Closed(*rest.first()?));
        }
        Some(Received::Data(first, rest))
    }

    /// Sends bytes on a channel. Answers whether the client is still there.
    pub async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        let message = if self.protocol.base64 {
            let mut text = String::from(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            Message::Text(text.into())
        } else {
            let mut framed = Vec::with_capacity(bytes.len() + 1);
            framed.push(channel);
            framed.extend_from_slice(bytes);
            Message::Binary(framed.into())
        };
        self.stream.send(message).await.is_ok()
    }

    /// Ends in good order.
    pub async fn close(mut self) {
        // Clients take an end without this code for a failure.
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if self.stream.close(Some(frame)).await.is_ok() {
            // The client's word of farewell, so that what was sent last is not cut off.
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }
}
