//! Ports of pods over SPDY: for each connection a client opens two streams, one for bytes and one for what goes wrong.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use spdy::{Offer, Reader, Session, Stream, Writer};

use super::super::spdy::{OPENING, begin};
use super::{Input, Output, Target, exchange};

/// Connections whose second stream may be missing at the same time.
const MOST_HALVES: usize = 128;

/// One of the two streams of a connection, and until when the other must come.
struct Half {
    stream: Stream,
    /// On the monotonic clock.
    until: Duration,
}

/// Carries connections until the client is gone.
pub(super) async fn carry<C>(target: Target, connection: C)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let session = begin(&target.means.env, connection);
    pair(Arc::new(target), session).await;
}

/// Finds the two streams of each connection.
async fn pair(target: Arc<Target>, mut session: Session) {
    let mut halves: BTreeMap<String, Half> = BTreeMap::new();
    let clock = target.means.env.clock.clone();
    loop {
        let late = async {
            match halves.values().map(|half| half.until).min() {
                Some(until) => clock.sleep(until.saturating_sub(clock.monotonic())).await,
                None => std::future::pending().await,
            }
        };
        let offer = tokio::select! {
            biased;
            offer = session.offered() => match offer {
                Some(offer) => offer,
                None => return,
            },
            () = late => {
                let now = clock.monotonic();
                let gone: Vec<_> = halves.extract_if(.., |_, half| half.until <= now).collect();
                for (request, half) in gone {
                    give_up(&half.stream, format!("(request={request}) timed out waiting for streams")).await;
                }
                continue;
            }
        };
        if let Err(problem) = check(&offer) {
            tracing::debug!("a client's stream is refused: {problem}");
            offer.refuse().await;
            continue;
        }
        let request = request(&offer);
        match halves.remove(&request) {
            None if halves.len() >= MOST_HALVES => offer.refuse().await,
            None => {
                let half = Half { stream: offer.accept().await, until: clock.monotonic() + OPENING };
                halves.insert(request, half);
            }
            Some(half) => join(&target, half, offer, &mut halves, request).await,
        }
    }
}

async fn join(
    target: &Arc<Target>,
    half: Half,
    offer: Offer,
    halves: &mut BTreeMap<String, Half>,
    request: String,
) {
    let stream = offer.accept().await;
    let (data, error) = match (is_data(&half.stream), is_data(&stream)) {
        (true, false) => (half.stream, stream),
        (false, true) => (stream, half.stream),
        (kind, _) => {
            let kind = if kind { "data" } else { "error" };
            let message =
                format!("error processing stream for request {request}: {kind} stream already assigned");
            give_up(&stream, message).await;
            halves.insert(request, half);
            return;
        }
    };
    let work = connect(target.clone(), data, error);
    target.means.env.tasks.spawn("forwarded port", work);
}

fn is_data(stream: &Stream) -> bool {
    stream.headers.get("streamtype") == "data"
}

async fn give_up(stream: &Stream, message: String) {
    tracing::debug!("a forwarded port: {message}");
    if !is_data(stream) {
        stream.writer.send(message.as_bytes()).await;
        stream.writer.finish().await;
    }
    stream.writer.reset().await;
}

/// Whether the headers of a stream say what is needed.
fn check(offer: &Offer) -> Result<u16, String> {
    let port = offer.headers().get("port");
    if port.is_empty() {
        return Err("\"port\" header is required".to_owned());
    }
    let number = port.parse().map_err(|error| format!("unable to parse {port:?} as a port: {error}"))?;
    if number < 1 {
        return Err(format!("port {port:?} must be > 0"));
    }
    match offer.headers().get("streamtype") {
        "" => Err("\"streamType\" header is required".to_owned()),
        "data" | "error" => Ok(number),
        other => Err(format!("invalid stream type {other:?}")),
    }
}

/// The connection a stream belongs to. Old clients do not say; theirs come one after the other, errors first.
fn request(offer: &Offer) -> String {
    let named = offer.headers().get("requestid");
    if !named.is_empty() {
        return named.to_owned();
    }
    match offer.headers().get("streamtype") {
        "data" => offer.number().saturating_sub(2).to_string(),
        _ => offer.number().to_string(),
    }
}

async fn connect(target: Arc<Target>, data: Stream, error: Stream) {
    let Stream { headers, reader, writer } = data;
    let port: u16 = headers.get("port").parse().unwrap_or_default();
    let problem = match target.means.runtime.port_forward(target.sandbox.clone(), port).await {
        Ok(stream) => exchange(stream, reader, &writer).await.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        let (pod, uid) = (&target.pod, &target.uid);
        let text = format!("error forwarding port {port} to pod {pod}, uid {uid}: {problem}");
        tracing::debug!("{text}");
        error.writer.send(text.as_bytes()).await;
    }
    writer.finish().await;
    error.writer.finish().await;
}

impl Input for Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match Reader::next(self).await {
            None if !self.finished() => Err(io::ErrorKind::ConnectionAborted.into()),
            piece => Ok(piece),
        }
    }
}

impl Output for Writer {
    async fn send(&self, bytes: &[u8]) -> bool {
        Writer::send(self, bytes).await
    }
}
