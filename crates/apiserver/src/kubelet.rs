//! The way to the kubelets: requests about running containers are passed on to the node, streams and all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::{Reason, Status, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::core::Core;
use crate::http::body::{Pieces, RequestBody};
use crate::http::tls::{self, TlsError};
use crate::http::{Body, Response};

/// How long a kubelet may take to take our connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Where kubelets listen unless their node says otherwise.
const DEFAULT_PORT: u16 = 10_250;
/// Kinds of addresses of a node, best first.
const ADDRESSES: [&str; 3] = ["InternalIP", "ExternalIP", "Hostname"];

/// Connects to kubelets.
pub struct Kubelets {
    connector: Option<TlsConnector>,
}

impl std::fmt::Debug for Kubelets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Kubelets")
    }
}

/// A request to pass on.
pub struct Passed {
    /// Method, path with query, and headers for the other side.
    pub head: http::request::Builder,
    /// The headers of the client.
    pub headers: HeaderMap,
    /// The body of the client.
    pub body: RequestBody,
    /// The client's side of an upgraded connection, if it asks for one.
    pub upgrade: Option<OnUpgrade>,
}

impl Kubelets {
    /// With the configured CA and our certificate. Without a CA no kubelet is trusted, and none is talked to.
    pub fn new(config: &Config) -> Result<Kubelets, TlsError> {
        if config.kubelet_ca.is_empty() {
            return Ok(Kubelets { connector: None });
        }
        let what = "kubelet client certificate";
        let unusable = |source| TlsError::Unusable { what, source };
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(tls::roots(&config.kubelet_ca, "kubelet CA")?);
        let mut client = if config.kubelet_client.chain.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = tls::certificates(&config.kubelet_client.chain, what)?;
            let key = tls::private_key(&config.kubelet_client.key, "kubelet client key")?;
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        };
        // Upgraded connections are HTTP/1.1.
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Kubelets { connector: Some(TlsConnector::from(Arc::new(client))) })
    }

    /// Connects to the kubelet of a node.
    pub async fn connect(&self, node: &Value) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Status> {
        let name = node.at(&["metadata", "name"]).str_or_empty();
        let Some(connector) = &self.connector else {
            return Err(Status::internal("no CA for kubelets is configured, so none can be trusted"));
        };
        let (host, port) = address_of(node).ok_or_else(|| nowhere(node))?;
        let failed = |error: &dyn std::fmt::Display| {
            Status::internal(format!(
                "error dialing backend: the kubelet of {name} at {host}:{port}: {error}"
            ))
        };
        let stream = match host.parse::<IpAddr>() {
            Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
            Err(_) => TcpStream::connect((host.as_str(), port)).await,
        };
        let stream = stream.map_err(|error| failed(&error))?;
        // Keystrokes must not wait for more.
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let server = ServerName::try_from(host.clone()).map_err(|error| failed(&error))?;
        connector.connect(server, stream).await.map_err(|error| failed(&error))
    }
}

/// 500, without a reason, as upstream answers for a node without an address.
pub fn nowhere(node: &Value) -> Status {
    let addresses = node.at(&["status", "addresses"]).items().iter();
    let text = |address: &Value, name: &str| address.get(name).str_or_empty().to_owned();
    let shown =
        addresses.map(|address| format!("{{{} {}}}", text(address, "type"), text(address, "address")));
    let shown: Vec<String> = shown.collect();
    let message = format!("no preferred addresses found; known addresses: [{}]", shown.join(" "));
    Status::new(500, Reason::Unknown, message)
}

/// Where a node's kubelet listens.
pub fn address_of(node: &Value) -> Option<(String, u16)> {
    let status = node.get("status");
    let port = status.at(&["daemonEndpoints", "kubeletEndpoint", "Port"]).as_int();
    let port =
        port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(DEFAULT_PORT);
    let addresses = status.get("addresses").items();
    let best = ADDRESSES.iter().find_map(|kind| {
        let found = addresses.iter().find(|address| address.get("type").as_str() == Some(kind));
        found.map(|address| address.get("address").str_or_empty())
    });
    best.filter(|host| !host.is_empty()).map(|host| (host.to_owned(), port))
}

/// The node a pod runs on.
pub fn node_of(core: &Core, pod: &Value) -> Result<Value, Status> {
    let name = pod.at(&["spec", "nodeName"]).str_or_empty();
    let nodes = core.caches.collection("core/nodes");
    let node = nodes.and_then(|nodes| nodes.get(name)).ok_or_else(|| {
        let resource = machinery::status::GroupName { group: "", name: "nodes" };
        Status::not_found(resource, name)
    })?;
    node.object().to_value()
}

/// Passes a request on to the kubelet of a node, and its answer back.
pub async fn pass(core: &Arc<Core>, node: &Value, passed: Passed) -> Result<Response, Status> {
    let connecting = core.kubelets.connect(node);
    let stream = core.env.clock.timeout(CONNECT, connecting).await.unwrap_or_else(|| {
        let name = node.at(&["metadata", "name"]).str_or_empty();
        let message = format!("the kubelet of {name} took too long to answer");
        Err(Status::new(504, Reason::Timeout, message))
    })?;
    let broken = |error: hyper::Error| Status::internal(format!("error dialing backend: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    core.env.tasks.spawn("kubelet connection", connection.with_upgrades());
    let wants_upgrade = passed.headers.contains_key(UPGRADE);
    let request = outgoing(passed.head, &passed.headers, passed.body)?;
    let mut response = sender.send_request(request).await.map_err(broken)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && wants_upgrade {
        let theirs = hyper::upgrade::on(&mut response);
        let answer = switched(&response);
        if let Some(ours) = passed.upgrade {
            core.env.tasks.spawn("stream to a kubelet", tunnel(ours, theirs));
        }
        return Ok(answer);
    }
    Ok(back(response))
}

/// The client's request as the kubelet gets it: credentials stay here.
fn outgoing(
    head: http::request::Builder,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Request<RequestBody>, Status> {
    let mut request = head
        .header(HOST, HeaderValue::from_static("kubelet"))
        .body(body)
        .map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))?;
    for (name, value) in headers {
        let text = name.as_str();
        let private = matches!(text, "authorization" | "host" | "cookie") || text.starts_with("impersonate-");
        if !private {
            request.headers_mut().append(name, value.clone());
        }
    }
    Ok(request)
}

/// The other side's agreement to switch protocols, as the client gets it.
pub fn switched(response: &http::Response<Incoming>) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in response.headers() {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}

/// The kubelet's answer as the client gets it.
fn back(response: http::Response<Incoming>) -> Response {
    let (head, body) = response.into_parts();
    let pieces = futures_util::stream::unfold(body, |mut body| async move {
        loop {
            // A broken stream ends the answer; there is nobody to tell.
            let frame = body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                return Some((data, body));
            }
        }
    });
    let pieces: Pieces = Box::pin(pieces);
    let mut answer = Response::new(Body::Pieces(pieces));
    *answer.status_mut() = head.status;
    for (name, value) in &head.headers {
        if ![CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH].contains(name) {
            answer.headers_mut().append(name, value.clone());
        }
    }
    let cache = HeaderValue::from_static("no-cache, private");
    answer.headers_mut().insert(http::header::CACHE_CONTROL, cache);
    answer
}

/// Joins the two sides of an upgraded connection until one of them ends.
pub async fn tunnel(ours: OnUpgrade, theirs: OnUpgrade) {
    let (ours, theirs) = match (ours.await, theirs.await) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (ours, theirs) => {
            let error = ours.err().or(theirs.err());
            tracing::debug!(?error, "a stream could not be upgraded");
            return;
        }
    };
    let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
    if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
        tracing::debug!(%error, "a stream broke off");
    }
}
