//! Connections: made when needed, shared while they last, made again when they broke.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use http::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Config, Credentials, Error, tls};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How often a server that says nothing is asked whether it is there, and how long it may take to answer. A way that was
/// cut is given up then, together with everything that waits for it; the kernel alone would take minutes to notice that
/// it was mended.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);
/// Room for a burst of watch events and large lists without a round trip per piece.
const STREAM_WINDOW: u32 = 4 << 20;

/// What an upgrade led to.
pub enum Upgrade {
    /// The server switched protocols: the raw stream, and the head of its answer.
    Switched(Response<()>, Upgraded),
    /// The server refused.
    Refused(Response<Incoming>),
}

/// A way to an API server over HTTPS (or HTTP, if its URL says so). Clones share its connection.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    authority: String,
    /// A path before all others; without a slash at its end.
    prefix: String,
    tls: Option<Tls>,
    authorization: Option<HeaderValue>,
    user_agent: HeaderValue,
    env: Env,
    http2: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

struct Tls {
    name: ServerName<'static>,
    multiplexed: TlsConnector,
    single: TlsConnector,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Connection({})", self.shared.address)
    }
}

/// Either kind of stream that HTTP runs on.
trait Stream: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Stream for T {}

/// Lets the HTTP/2 machinery start its tasks through the one door.
#[derive(Clone)]
struct Executor(Env);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.0.tasks.spawn("http stream", async move {
            work.await;
        });
    }
}

impl Connection {
    /// Checks the configuration. Nothing is sent before the first request.
    pub fn new(config: &Config, env: &Env) -> Result<Connection, Error> {
        let bad = || Error::BadServer(config.server.clone());
        let uri: Uri = config.server.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(bad()),
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(default_port));
        let tls = if is_tls { Some(Tls::new(config, host)?) } else { None };
        let authorization = match &config.credentials {
            Credentials::Token(token) => {
                let header = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|error| {
                    Error::BadCredentials { what: "bearer token", why: error.to_string() }
                })?;
                Some(header)
            }
            _ => None,
        };
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .map_err(|error| Error::BadCredentials { what: "user agent", why: error.to_string() })?;
        let shared = Shared {
            authority: uri.authority().map(ToString::to_string).ok_or_else(bad)?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            address,
            tls,
            authorization,
            user_agent,
            env: env.clone(),
            http2: Mutex::new(None),
        };
        Ok(Connection { shared: Arc::new(shared) })
    }

    /// The server's host and port.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// The world this connection lives in.
    pub(super) fn env(&self) -> &Env {
        &self.shared.env
    }

    /// Who we say we are where fields are managed: the user agent up to its first slash.
    pub(super) fn manager(&self) -> &str {
        let agent = self.shared.user_agent.to_str().unwrap_or_default();
        agent.split('/').next().unwrap_or_default()
    }

    /// Sends a request; `path` begins with `/` and may have a query. The answer's body comes as it is read.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let request = self.build(&method, path, headers, body)?;
        let Some(mut sender) = self.multiplexed().await? else {
            return self.request_alone(request, &self.shared.address).await;
        };
        let again = clone(&request);
        match sender.send_request(request).await {
            Ok(answer) => Ok(answer),
            // The server closed the connection while it was idle: nothing was sent, so it is safe to send it again.
            Err(error) if error.is_canceled() || error.is_closed() => {
                self.forget_connection();
                match self.multiplexed().await? {
                    Some(mut sender) => {
                        sender.send_request(again).await.map_err(|source| self.broken(source))
                    }
                    None => self.request_alone(again, &self.shared.address).await,
                }
            }
            Err(source) => {
                self.forget_connection();
                Err(self.broken(source))
            }
        }
    }

    /// Sends a request on a connection of its own and takes the stream over if the server switches protocols.
    /// `headers` must name the protocol (`Upgrade`, `Connection: Upgrade`).
    pub async fn upgrade(&self, method: Method, path: &str, headers: HeaderMap) -> Result<Upgrade, Error> {
        let request = self.build(&method, path, headers, Bytes::new())?;
        let answer = self.request_alone(request, &self.shared.address).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgrade::Refused(answer));
        }
        let head = {
            let mut head = Response::new(());
            *head.status_mut() = answer.status();
            *head.headers_mut() = answer.headers().clone();
            head
        };
        let stream = hyper::upgrade::on(answer).await.map_err(|source| self.broken(source))?;
        Ok(Upgrade::Switched(head, stream))
    }

    /// Sends a request by HTTP/1.1 on a connection of its own to `address`, which need not be where the server's name
    /// leads: one of many that answer to that name.
    pub async fn request_at(
        &self,
        address: &str,
        (method, path): (Method, &str),
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let request = self.build(&method, path, headers, body)?;
        self.request_alone(request, address).await
    }

    /// A secure connection to `address` that speaks HTTP/1.1, for those who pass on what others say.
    pub async fn open_at(&self, address: &str) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        let shared = &self.shared;
        let tls = shared.tls.as_ref().ok_or_else(|| Error::BadServer(shared.authority.clone()))?;
        self.secure(&tls.single, tls.name.clone(), address).await
    }

    /// Makes a secure connection that trusts what `tls` trusts, and closes it again.
    pub(super) async fn shake_hands(&self, tls: Arc<ClientConfig>) -> Result<(), Error> {
        let shared = &self.shared;
        let own = shared.tls.as_ref().ok_or_else(|| Error::BadServer(shared.authority.clone()))?;
        self.secure(&TlsConnector::from(tls), own.name.clone(), &shared.address).await.map(drop)
    }

    fn broken(&self, source: hyper::Error) -> Error {
        Error::Broken { address: self.shared.address.clone(), source }
    }

    fn forget_connection(&self) {
        *self.shared.http2.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn build(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let shared = &self.shared;
        let scheme = if shared.tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{}{path}", shared.authority, shared.prefix);
        let request = Request::builder().method(method).uri(uri).body(Full::new(body));
        let mut request = request.map_err(|source| Error::BadRequest { path: path.to_owned(), source })?;
        *request.headers_mut() = headers;
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| shared.user_agent.clone());
        if let Some(authorization) = &shared.authorization {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        Ok(request)
    }

    /// The shared HTTP/2 connection, made if there is none; `None` if the server does not speak HTTP/2.
    async fn multiplexed(&self) -> Result<Option<http2::SendRequest<Full<Bytes>>>, Error> {
        let Some(tls) = &self.shared.tls else { return Ok(None) };
        let known = self.shared.http2.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sender) = known.filter(|sender| !sender.is_closed()) {
            return Ok(Some(sender));
        }
        let stream = self.secure(&tls.multiplexed, tls.name.clone(), &self.shared.address).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Ok(None);
        }
        let handshake = http2::Builder::new(Executor(self.shared.env.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_LIMIT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * 4)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|source| self.broken(source))?;
        self.shared.env.tasks.spawn("http connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
        *self.shared.http2.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        Ok(Some(sender))
    }

    /// One request on a connection of its own, by HTTP/1.1.
    async fn request_alone(
        &self,
        mut request: Request<Full<Bytes>>,
        address: &str,
    ) -> Result<Response<Incoming>, Error> {
        let stream: Box<dyn Stream> = match &self.shared.tls {
            Some(tls) => Box::new(TokioIo::new(self.secure(&tls.single, tls.name.clone(), address).await?)),
            None => Box::new(TokioIo::new(self.connect(address).await?)),
        };
        let handshake = http1::handshake::<_, Full<Bytes>>(stream).await;
        let (mut sender, connection) = handshake.map_err(|source| self.broken(source))?;
        self.shared.env.tasks.spawn("http connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("a connection ended: {error}");
            }
        });
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| Error::BadRequest {
            path: path.clone(),
            source: error.into(),
        })?;
        if let Ok(host) = HeaderValue::from_str(&self.shared.authority) {
            request.headers_mut().insert(HOST, host);
        }
        sender.send_request(request).await.map_err(|source| self.broken(source))
    }

    async fn connect(&self, address: &str) -> Result<TcpStream, Error> {
        let connecting = self.shared.env.clock.timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        let stream = connecting
            .ok_or_else(|| Error::TimedOut { address: address.to_owned(), seconds: CONNECT_LIMIT.as_secs() })?
            .map_err(|source| Error::Unreachable { address: address.to_owned(), source })?;
        stream
            .set_nodelay(true)
            .map_err(|source| Error::Unreachable { address: address.to_owned(), source })?;
        Ok(stream)
    }

    async fn secure(
        &self,
        connector: &TlsConnector,
        name: ServerName<'static>,
        address: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        let stream = self.connect(address).await?;
        let handshake = self.shared.env.clock.timeout(CONNECT_LIMIT, connector.connect(name, stream)).await;
        handshake
            .ok_or_else(|| Error::TimedOut { address: address.to_owned(), seconds: CONNECT_LIMIT.as_secs() })?
            .map_err(|source| Error::Handshake { address: address.to_owned(), source })
    }
}

fn clone(request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

impl Tls {
    fn new(config: &Config, host: &str) -> Result<Tls, Error> {
        let name = config.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|_| Error::BadServer(config.server.clone()))?;
        let connector = |protocols: &[&[u8]]| -> Result<TlsConnector, Error> {
            let config: ClientConfig = tls::client_config(config, protocols)?;
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Tls { name, multiplexed: connector(&[b"h2", b"http/1.1"])?, single: connector(&[b"http/1.1"])? })
    }
}
