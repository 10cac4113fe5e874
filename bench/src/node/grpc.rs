//! Calls of gRPC over a socket of this machine: one message each way, written by hand, as much as the measurement needs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use env::Env;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

/// The head of a message on the stream: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// A number.
    pub fn number(mut self, field: u8, value: u64) -> Message {
        self.0.push(field << 3);
        self.varint(value);
        self
    }

    /// A text.
    pub fn text(self, field: u8, value: &str) -> Message {
        self.part(field, value.as_bytes())
    }

    /// A message within this one.
    pub fn message(self, field: u8, value: &Message) -> Message {
        self.part(field, &value.0)
    }

    fn part(mut self, field: u8, value: &[u8]) -> Message {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn framed(&self) -> Bytes {
        let mut frame = vec![0];
        frame.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
        frame.extend_from_slice(&self.0);
        frame.into()
    }
}

/// A connection to a service.
#[derive(Clone, Debug)]
pub struct Service {
    sender: SendRequest<Full<Bytes>>,
    name: &'static str,
}

impl Service {
    /// Connects to the socket.
    pub async fn connect(socket: &Path, name: &'static str, env: &Env) -> Result<Service> {
        let stream = UnixStream::connect(socket).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        env.tasks.spawn("grpc", async move {
            // Whoever calls learns of its end.
            let _ = connection.await;
        });
        Ok(Service { sender, name })
    }

    /// Asks, and answers the text in the first field of the answer: an id, wherever there is one.
    pub async fn call(&self, method: &str, message: &Message) -> Result<String> {
        let request = Request::post(format!("http://localhost/{}/{method}", self.name))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message.framed()))?;
        let answer = self.sender.clone().send_request(request).await.context(method.to_owned())?;
        let early = failure(answer.headers());
        let body = answer.into_body().collect().await?;
        let late = body.trailers().and_then(failure);
        if let Some(why) = early.or(late) {
            anyhow::bail!("{method}: {why}");
        }
        first_text(&body.to_bytes()).with_context(|| format!("{method}: the answer makes no sense"))
    }
}

fn failure(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text("grpc-status").filter(|code| *code != "0").map(|code| {
        let message = text("grpc-message").unwrap_or_default();
        format!("code {code}: {message}")
    })
}

fn first_text(framed: &[u8]) -> Result<String> {
    let message = framed.get(FRAME_HEAD..).unwrap_or_default();
    let [0x0a, length, rest @ ..] = message else { return Ok(String::new()) };
    ensure!(*length < 0x80, "ids are short");
    let text = rest.get(..usize::from(*length)).context("it ends early")?;
    Ok(String::from_utf8(text.to_vec())?)
}
