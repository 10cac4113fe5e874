//! The node's own server: logs, commands in containers, ports of pods, and what everything uses.
//!
//! It speaks HTTPS to those who show a certificate of the cluster's authority or a token that the API server knows, and
//! answers what the API server lets them ask.

mod access;
pub(crate) mod commands;
pub(crate) mod forward;
mod identity;
mod logs;
mod metrics;
mod pods;
mod socket;
mod spdy;
mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod upgrade;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::Cache;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use machinery::Status;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::kit::Kit;
use access::Access;
use identity::Identities;
pub(crate) use tls::acceptor;

/// A body that may be whole or come in pieces.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
/// What is answered.
pub(crate) type Answer = Response<Body>;

/// How long a client gets to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after the machine could not give us a connection (too many open files, say).
const PAUSE: Duration = Duration::from_millis(100);

/// What requests are answered from.
#[derive(Debug)]
pub(crate) struct Server {
    kit: Arc<Kit>,
    pods: Cache,
    identities: Identities,
    access: Access,
}

impl Server {
    /// Answers for these pods.
    pub fn new(kit: Arc<Kit>, pods: Cache) -> Server {
        let access = Access::new(kit.client.clone(), kit.env.clock.clone(), &kit.config.node_name);
        let identities = Identities::new(kit.client.clone(), kit.env.clock.clone());
        Server { kit, pods, identities, access }
    }

    fn means(&self) -> commands::Means {
        commands::Means { runtime: self.kit.runtime.clone(), env: self.kit.env.clone() }
    }

    /// Accepts connections for ever.
    pub async fn serve(self, listener: TcpListener, acceptor: TlsAcceptor) {
        let server = Arc::new(self);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(server.clone(), stream, acceptor.clone());
                    server.kit.env.tasks.spawn("node server connection", connection);
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    server.kit.env.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    async fn answer(&self, caller: &tls::Caller, request: Request<Incoming>) -> Answer {
        match self.route(caller, request).await {
            Ok(answer) => answer,
            Err(refusal) => plain(refusal.code, refusal.message),
        }
    }

    async fn route(&self, caller: &tls::Caller, request: Request<Incoming>) -> Result<Answer, Status> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let caller = self.identities.of(caller, request.headers()).await?;
        self.access.check(&caller, request.method(), &parts).await?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let read_only = matches!(*request.method(), Method::GET | Method::HEAD);
        match parts.as_slice() {
            ["healthz", ..] if read_only => Ok(plain(200, "ok".to_owned())),
            ["pods"] if read_only => Ok(pods::list(&self.pods)),
            ["runningpods"] if read_only => Ok(pods::running(&self.kit)),
            ["containerLogs", namespace, pod, container] if read_only => {
                logs::logs(self, (namespace, pod, container), &query).await
            }
            ["exec", namespace, pod, rest @ ..] => {
                commands::exec(self, (namespace, pod, rest), &query, request).await
            }
            ["attach", namespace, pod, rest @ ..] => {
                commands::attach(self, (namespace, pod, rest), &query, request).await
            }
            ["run", namespace, pod, rest @ ..] => commands::run(self, (namespace, pod, rest), &query).await,
            ["portForward", namespace, pod, ..] => {
                forward::forward(self, (namespace, pod), &query, request).await
            }
            ["metrics", "resource"] if read_only => Ok(text(metrics::resource(&self.kit).await)),
            ["metrics"] if read_only => Ok(text(metrics::own::own(&self.kit, &self.pods))),
            ["metrics", "probes"] if read_only => Ok(text(metrics::own::probes(&self.kit))),
            ["metrics", "cadvisor"] if read_only => {
                Ok(text(metrics::cadvisor::page(&self.kit, &self.pods).await))
            }
            ["stats", "summary"] if read_only => Ok(json(&stats::summary(&self.kit).await)),
            ["configz"] if read_only => Ok(json(&pods::configz(&self.kit))),
            _ => Err(Status::new(404, machinery::Reason::NotFound, "404 page not found")),
        }
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream, acceptor: TlsAcceptor) {
    let clock = server.kit.env.clock.clone();
    // Small pieces (a typed letter) must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection cannot be made quick: {error}");
    }
    let stream = match clock.timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return tracing::debug!("a client could not shake hands: {error}"),
        None => return tracing::debug!("a client took too long to shake hands"),
    };
    let caller = Arc::new(tls::caller(stream.get_ref().1));
    let service = service_fn(move |request| {
        let (server, caller) = (server.clone(), caller.clone());
        async move { Ok::<_, Infallible>(server.answer(&caller, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!("a connection ended badly: {error}");
    }
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    values: BTreeMap<String, Vec<String>>,
}

impl Query {
    fn parse(query: &str) -> Query {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(name)).or_default().push(decode(value));
        }
        Query { values }
    }

    fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_set(&self, names: [&str; 2]) -> bool {
        names.into_iter().filter_map(|name| self.one(name)).any(|value| matches!(value, "1" | "true"))
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let hex = bytes
            .get(position + 1..position + 3)
            .filter(|_| bytes[position] == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (hex, bytes[position]) {
            (Some(byte), _) => {
                out.push(byte);
                position += 3;
                continue;
            }
            (None, b'+') => out.push(b' '),
            (None, other) => out.push(other),
        }
        position += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn whole(code: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}

pub(crate) fn plain(code: u16, text: String) -> Answer {
    whole(code, "text/plain; charset=utf-8", text)
}

fn text(text: String) -> Answer {
    whole(200, "text/plain; version=0.0.4; charset=utf-8", text)
}

fn json(value: &serde_json::Value) -> Answer {
    whole(200, "application/json", value.to_string())
}
