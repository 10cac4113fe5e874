//! gRPC, the asking side, as far as calls of one question and one answer go. The connection is made when it is first needed,
//! and anew when it was lost.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cri::RuntimeError;
use cri::wire::Message;
use env::Env;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Codes, as gRPC numbers them.
const UNKNOWN: u16 = 2;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
pub(crate) const NOT_FOUND: u16 = 5;
pub(crate) const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;

/// The head of a message on a stream: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;
/// The largest answer: what kubelets take.
const MOST_ANSWER: usize = 16 << 20;
/// How much of an answer may be on its way: lists come in one piece then.
const WINDOW: u32 = 1 << 20;
/// The longest time that `grpc-timeout` has digits for, in seconds.
const LONGEST: u64 = 99_999_999;

/// Which of a runtime's two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Runtime,
    Image,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Runtime => "runtime.v1.RuntimeService",
            Service::Image => "runtime.v1.ImageService",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: u16,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> RuntimeError {
        match failure.code {
            INVALID_ARGUMENT => RuntimeError::Invalid(failure.message),
            DEADLINE_EXCEEDED => RuntimeError::Timeout(failure.message),
            _ => RuntimeError::Failed(failure.message),
        }
    }
}

impl Failure {
    /// As the port says it where something was asked for by its id.
    pub fn about(self, what: &'static str, id: &str) -> RuntimeError {
        match self.code {
            NOT_FOUND => RuntimeError::NotFound { what, id: id.to_owned() },
            _ => self.into(),
        }
    }

    fn unavailable(message: impl fmt::Display) -> Failure {
        Failure { code: UNAVAILABLE, message: message.to_string() }
    }

    fn internal(message: impl Into<String>) -> Failure {
        Failure { code: INTERNAL, message: message.into() }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// The way to a runtime.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: PathBuf,
    env: Env,
    sender: Mutex<Option<Sender>>,
}

impl Connection {
    pub fn new(socket: PathBuf, env: Env) -> Connection {
        Connection { socket, env, sender: Mutex::default() }
    }

    /// Asks. What the runtime has not answered within the limit has failed.
    pub async fn call<M: Message>(
        &self,
        service: Service,
        method: &str,
        question: &impl Message,
        limit: Duration,
    ) -> Result<M, Failure> {
        let question = framed(&question.encode());
        let asked = async {
            match self.ask(service, method, question.clone(), limit).await {
                // The connection had ended before the question was sent: the runtime was started anew.
                Err(Lost::Unsent(_)) => self.ask(service, method, question, limit).await,
                other => other,
            }
        };
        let answer = self.env.clock.timeout(limit, asked).await.ok_or_else(|| Failure {
            code: DEADLINE_EXCEEDED,
            message: format!("{method} took longer than {} s", limit.as_secs()),
        })?;
        let answer = answer.map_err(Lost::into_failure)?;
        M::decode(&answer).map_err(|error| Failure::internal(format!("{method}: {error}")))
    }

    async fn ask(
        &self,
        service: Service,
        method: &str,
        question: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Lost> {
        let mut sender = self.sender().await?;
        let request = Request::post(format!("http://localhost/{}/{method}", service.name()))
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .header("grpc-timeout", format!("{}S", limit.as_secs().clamp(1, LONGEST)))
            .body(Full::new(question))
            .map_err(|error| Lost::Failed(Failure::internal(error.to_string())))?;
        let answer = sender.send_request(request).await.map_err(|error| match error.is_canceled() {
            true => Lost::Unsent(Failure::unavailable(error)),
            false => Lost::Failed(Failure::unavailable(error)),
        })?;
        let early = failure(answer.headers());
        let body = Limited::new(answer.into_body(), MOST_ANSWER + FRAME_HEAD).collect().await;
        let body = body.map_err(|error| Lost::Failed(Failure::unavailable(error)))?;
        let late = body.trailers().and_then(failure);
        match early.or(late) {
            Some(failure) => Err(Lost::Failed(failure)),
            None => unframed(body.to_bytes()).map_err(Lost::Failed),
        }
    }

    async fn sender(&self) -> Result<Sender, Lost> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let lost = |error: String| {
            let socket = self.socket.display();
            Lost::Failed(Failure::unavailable(format!(
                "the container runtime at {socket} cannot be reached: {error}"
            )))
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| lost(error.to_string()))?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| lost(error.to_string()))?;
        self.env.tasks.spawn("connection to the container runtime", async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to the container runtime ended badly: {error}");
            }
        });
        *kept = Some(sender.clone());
        Ok(sender)
    }
}

/// Why a question has no answer.
enum Lost {
    /// It was never sent, and can be asked again.
    Unsent(Failure),
    Failed(Failure),
}

impl Lost {
    fn into_failure(self) -> Failure {
        match self {
            Lost::Unsent(failure) | Lost::Failed(failure) => failure,
        }
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(
        u32::try_from(message.len()).expect("what a pod is to be is described in far less than 4 GiB"),
    );
    frame.put_slice(message);
    frame.freeze()
}

fn unframed(mut bytes: Bytes) -> Result<Bytes, Failure> {
    let Some((&[compressed, a, b, c, d], rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else {
        return Err(Failure::internal("the container runtime's answer is cut off"));
    };
    if compressed != 0 {
        return Err(Failure::internal(
            "the container runtime's answer is compressed although none was asked for",
        ));
    }
    if u32::from_be_bytes([a, b, c, d]) as usize != rest.len() {
        return Err(Failure::internal("the container runtime's answer is not one message"));
    }
    Ok(bytes.split_off(FRAME_HEAD))
}

/// The failure that headers or trailers tell, if they tell one.
fn failure(headers: &HeaderMap) -> Option<Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().unwrap_or(UNKNOWN);
    let message = unescaped(text("grpc-message").unwrap_or_default());
    (code != 0).then_some(Failure { code, message })
}

/// A message whose unusual bytes are written as a percent sign and two digits.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| byte == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_message_each() {
        assert_eq!(unframed(framed(b"hello")), Ok(Bytes::from_static(b"hello")));
        assert_eq!(unframed(framed(b"")), Ok(Bytes::new()));
        for bytes in [
            &b""[..],
            b"\0\0\0\0",
            b"\x01\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
            b"\0\xff\xff\xff\xffa",
        ] {
            assert_eq!(unframed(Bytes::from_static(bytes)).unwrap_err().code, INTERNAL, "{bytes:?}");
        }
    }

    #[test]
    fn messages_of_failures_are_read_as_they_were_meant() {
        for (escaped, meant) in [
            ("plain", "plain"),
            ("100%25 \"%C3%BCnknown\"%0A", "100% \"ünknown\"\n"),
            ("50%", "50%"),
            ("50%2", "50%2"),
            ("%zz%", "%zz%"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(unescaped(escaped), meant, "{escaped}");
        }
    }

    #[test]
    fn codes_become_errors_of_the_port() {
        let failure = |code| Failure { code, message: "why".to_owned() };
        let why = "why".to_owned();
        for (code, wanted) in [
            (INVALID_ARGUMENT, RuntimeError::Invalid(why.clone())),
            (DEADLINE_EXCEEDED, RuntimeError::Timeout(why.clone())),
            (NOT_FOUND, RuntimeError::NotFound { what: "container", id: "c1".to_owned() }),
            (UNKNOWN, RuntimeError::Failed(why.clone())),
            (UNAVAILABLE, RuntimeError::Failed(why)),
        ] {
            assert_eq!(failure(code).about("container", "c1"), wanted, "{code}");
        }
        let headers = |status: &str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_str(status).unwrap(),
            )])
        };
        assert_eq!(super::failure(&headers("0")), None);
        assert_eq!(super::failure(&headers("x")).unwrap().code, UNKNOWN);
        assert_eq!(super::failure(&HeaderMap::new()), None);
    }
}
