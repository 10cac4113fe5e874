//! The listener: accepts, shakes hands, and hands each request to the handler; stops in good order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::body::RequestBody;
use super::secure::Secure;
use super::{Body, Response, tls};
use crate::config::Limits;

/// Requests in flight on one HTTP/2 connection: upstream's default of 100 is too few for a client with many watches.
const STREAMS: u32 = 1_000;
/// How long a connection may be silent before it is asked whether it lives: upstream's 30 seconds.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Bytes of bodies that a connection may send before they are read: as much as the largest body is read in three turns.
const UNREAD: u32 = 1 << 20;
/// How long to pause after the system refused to accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates it showed; the first is its own. They are not verified yet.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// What is known about a connection for as long as it lives.
    type Connection: Send + Sync + 'static;

    /// A connection was made.
    fn connected(&self, peer: Peer) -> Self::Connection;

    /// Answers one request.
    fn handle(
        &self,
        connection: &Arc<Self::Connection>,
        request: http::Request<RequestBody>,
    ) -> impl Future<Output = Response> + Send;
}

/// What every connection is served with.
struct Serving<H> {
    acceptor: TlsAcceptor,
    limits: Limits,
    env: Env,
    handler: Arc<H>,
    second: http2::Server,
}

/// What a connection may end with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Accepts connections until the environment's tasks are stopped, then lets open requests end.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    env: Env,
    handler: Arc<H>,
) {
    let second = second(limits, &env);
    let serving = Arc::new(Serving { acceptor: TlsAcceptor::from(tls), limits, env, handler, second });
    let env = &serving.env;
    let places = Arc::new(Semaphore::new(limits.connections));
    let stopping = env.tasks.stopping();
    tokio::pin!(stopping);
    loop {
        let place = tokio::select! {
            biased;
            () = &mut stopping => break,
            place = places.clone().acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            biased;
            () = &mut stopping => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // In a box: each task around it would make room for it anew.
                let connection = Box::pin(serve_one(stream, address, serving.clone()));
                env.tasks.spawn_until_done("connection", async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                env.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Each stage is in a box of its own, which goes with it: a connection that is idle should not keep the room that making
/// it took.
async fn serve_one<H: Handler>(stream: TcpStream, address: SocketAddr, serving: Arc<Serving<H>>) {
    let made = Box::pin(shake_hands(stream, address, &serving)).await;
    if let Some(stream) = made {
        Box::pin(converse(stream, address, &serving)).await;
    }
}

async fn shake_hands<H: Handler>(
    stream: TcpStream,
    address: SocketAddr,
    serving: &Serving<H>,
) -> Option<Secure<TcpStream>> {
    let Serving { acceptor, limits, env, .. } = serving;
    // Small frames (watch events) must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "TCP_NODELAY was refused");
    }
    match env.clock.timeout(limits.handshake, acceptor.accept(stream)).await {
        Some(Ok(stream)) => {
            let (socket, session) = stream.into_inner();
            return Some(Secure::new(socket, session));
        }
        Some(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        None => tracing::debug!(%address, "TLS handshake took too long"),
    }
    None
}

async fn converse<H: Handler>(stream: Secure<TcpStream>, address: SocketAddr, serving: &Serving<H>) {
    let session = stream.session();
    let certificates = session.peer_certificates().unwrap_or_default().iter();
    let certificates = certificates.map(|der| der.clone().into_owned()).collect();
    let is_second = session.alpn_protocol() == Some(tls::HTTP_2);
    let connection = Arc::new(serving.handler.connected(Peer { address, certificates }));
    // In a box: the two are of very different size.
    let ended = if is_second {
        Box::pin(converse_second(stream, connection, serving)).await
    } else {
        Box::pin(converse_first(stream, connection, serving)).await
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}

/// HTTP/2: many requests at a time.
async fn converse_second<H: Handler>(
    stream: Secure<TcpStream>,
    connection: Arc<H::Connection>,
    serving: &Serving<H>,
) -> Result<(), Failure> {
    let answer = |request: http::Request<http2::Incoming>| {
        let (handler, connection) = (serving.handler.clone(), connection.clone());
        // In a box, which goes when the answer begins: an open watch should not keep the room that its beginning took.
        Box::pin(async move { handler.handle(&connection, request.map(RequestBody::Second)).await })
    };
    Ok(serving.second.serve(stream, answer).await?)
}

/// HTTP/1.1: one request after the other, the last of which may take the connection over.
async fn converse_first<H: Handler>(
    stream: Secure<TcpStream>,
    connection: Arc<H::Connection>,
    serving: &Serving<H>,
) -> Result<(), Failure> {
    let Serving { limits, env, handler, .. } = serving;
    let service = service_fn(|request: http::Request<Incoming>| {
        let (handler, connection) = (handler.clone(), connection.clone());
        Box::pin(async move {
            let request = request.map(RequestBody::First);
            Ok::<http::Response<Body>, Infallible>(handler.handle(&connection, request).await)
        })
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(usize::try_from(limits.headers).unwrap_or(usize::MAX));
    let served = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut served = std::pin::pin!(served);
    let stopping = env.tasks.stopping();
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => Some(ended),
        () = stopping => None,
    };
    let ended = match ended {
        Some(ended) => Some(ended),
        None => {
            served.as_mut().graceful_shutdown();
            env.clock.timeout(limits.drain, served).await
        }
    };
    Ok(ended.unwrap_or(Ok(()))?)
}

/// How connections of HTTP/2 are served.
fn second(limits: Limits, env: &Env) -> http2::Server {
    let allowed = http2::Limits { streams: STREAMS, headers: limits.headers, unread: UNREAD };
    let config =
        http2::Config { limits: allowed, preface: limits.handshake, ping: PING_EVERY, drain: limits.drain };
    http2::Server::new(config, env)
}
