//! gRPC, the serving side, as far as calls of one question go: a message comes, and messages or a refusal go back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::Endpoint;

/// Codes, as gRPC numbers them.
pub(super) const UNKNOWN: u8 = 2;
pub(super) const INVALID_ARGUMENT: u8 = 3;
pub(super) const DEADLINE_EXCEEDED: u8 = 4;
pub(super) const NOT_FOUND: u8 = 5;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
pub(super) const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

/// The head of a message on a stream: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;
/// The largest question: as large as kubelets let answers be.
const MOST_QUESTION: usize = 16 << 20;
/// How many calls of one connection may be under way.
const MOST_CALLS: u32 = 1_000;
/// The pause after the machine could not give us a connection (too many open files, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: u8,
    pub message: String,
}

impl Refusal {
    /// Nobody here does that.
    pub fn unimplemented(message: String) -> Refusal {
        Refusal { code: UNIMPLEMENTED, message }
    }
}

/// The messages of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// All of them: one, or for lists that come in pieces some.
    Whole(Vec<Vec<u8>>),
    /// As they come.
    Coming(mpsc::Receiver<Vec<u8>>),
}

pub(super) type Outcome = Result<Answer, Refusal>;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Accepts connections for ever.
pub(super) async fn serve(listener: UnixListener, endpoint: Arc<Endpoint>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                endpoint.env.tasks.spawn("cri connection", connection(endpoint.clone(), stream));
            }
            Err(error) => {
                tracing::warn!("a connection to the runtime could not be accepted: {error}");
                endpoint.env.clock.sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(endpoint: Arc<Endpoint>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let endpoint = endpoint.clone();
        async move { Ok::<_, Infallible>(answer(endpoint, request).await) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MOST_CALLS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the runtime ended badly: {error}");
    }
}

async fn answer(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Response<Body> {
    let is_grpc = request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if request.method() != Method::POST || !is_grpc {
        let mut answer = Response::new(nothing());
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return answer;
    }
    let path = request.uri().path().to_owned();
    let outcome = match question(request.into_body()).await {
        Ok(question) => ask(endpoint, path, question).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = match outcome {
        Ok(Answer::Whole(messages)) => Response::new(body(stream::iter(messages))),
        Ok(Answer::Coming(messages)) => {
            let next = async |mut messages: mpsc::Receiver<Vec<u8>>| Some((messages.recv().await?, messages));
            Response::new(body(stream::unfold(messages, next)))
        }
        Err(refusal) => {
            let mut answer = Response::new(nothing());
            *answer.headers_mut() = refused(&refusal);
            answer
        }
    };
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// Asks, and sees to it that what was begun is brought to its end even if who asked gives up: what is half made is worse
/// than what nobody waits for.
async fn ask(endpoint: Arc<Endpoint>, path: String, question: Bytes) -> Outcome {
    let (done, outcome) = oneshot::channel();
    let tasks = endpoint.env.tasks.clone();
    tasks.spawn("cri call", async move {
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (service, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let outcome = endpoint.call(service, method, &question).await;
        // Who asked may have given up.
        let _ = done.send(outcome);
    });
    outcome.await.unwrap_or_else(|_| {
        Err(Refusal { code: UNAVAILABLE, message: "the runtime is shutting down".to_owned() })
    })
}

/// The one message of a question.
async fn question(body: Incoming) -> Result<Bytes, Refusal> {
    let bytes = Limited::new(body, MOST_QUESTION + FRAME_HEAD).collect().await.map_err(|error| Refusal {
        code: RESOURCE_EXHAUSTED,
        message: format!("the question cannot be read: {error}"),
    })?;
    unframed(bytes.to_bytes())
}

fn unframed(mut bytes: Bytes) -> Result<Bytes, Refusal> {
    let Some((&[compressed, a, b, c, d], rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else {
        return Err(Refusal { code: INTERNAL, message: "the question is cut off".to_owned() });
    };
    if compressed != 0 {
        return Err(Refusal::unimplemented("compressed messages are not understood".to_owned()));
    }
    if u32::from_be_bytes([a, b, c, d]) as usize != rest.len() {
        return Err(Refusal { code: INTERNAL, message: "the question is not one message".to_owned() });
    }
    Ok(bytes.split_off(FRAME_HEAD))
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("what a node has is described in far less than 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

/// No body at all: whoever asks takes an outcome from the headers only if they are all there is.
fn nothing() -> Body {
    Empty::new().boxed_unsync()
}

/// Messages, and that all went well.
fn body(messages: impl Stream<Item = Vec<u8>> + Send + 'static) -> Body {
    let frames = messages.map(|message| Frame::data(framed(&message)));
    let end = stream::iter([Frame::trailers(ok())]);
    StreamBody::new(frames.chain(end).map(Ok)).boxed_unsync()
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

fn refused(refusal: &Refusal) -> HeaderMap {
    let mut headers = ok();
    headers.insert("grpc-status", HeaderValue::from(u16::from(refusal.code)));
    let message = HeaderValue::try_from(escaped(&refusal.message));
    headers.insert("grpc-message", message.expect("what is escaped is printable ASCII"));
    headers
}

/// What is not printable ASCII, and the percent sign, as its bytes in hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_one_message_each() {
        let good = framed(b"hello");
        assert_eq!(&good[..], b"\0\0\0\0\x05hello");
        assert_eq!(unframed(good), Ok(Bytes::from_static(b"hello")));
        assert_eq!(unframed(framed(b"")), Ok(Bytes::new()));
        for (bytes, code) in [
            (&b""[..], INTERNAL),
            (b"\0\0\0\0", INTERNAL),
            (b"\x01\0\0\0\0", UNIMPLEMENTED),
            (b"\0\0\0\0\x02a", INTERNAL),
            (b"\0\0\0\0\x01ab", INTERNAL),
            (b"\0\xff\xff\xff\xffa", INTERNAL),
        ] {
            assert_eq!(unframed(Bytes::from_static(bytes)).unwrap_err().code, code, "{bytes:?}");
        }
    }

    #[test]
    fn refusals_are_told_in_ascii() {
        let refusal = Refusal { code: NOT_FOUND, message: "100% \"ünknown\"\n".to_owned() };
        let headers = refused(&refusal);
        assert_eq!(headers["grpc-status"], "5");
        assert_eq!(headers["grpc-message"], "100%25 \"%C3%BCnknown\"%0A");
    }
}
