//! The proxy: requests to `…/proxy/…` of a pod, a Service or a node are passed on to whatever listens there, and its
//! answers back, with links made to lead through here again.

pub(crate) mod foreign;
mod html;
mod place;
mod rewrite;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    HeaderName, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use machinery::{Reason, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::core::Core;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::body::{Pieces, RequestBody};
use crate::http::{Body, Response};
use crate::kubelet;
use html::Html;
use place::{Place, Way};
use rewrite::Rewriter;

/// How long the other side may take to take our connection, as upstream's dialer waits.
const CONNECT: Duration = Duration::from_secs(30);
/// Headers that are about one connection, not about what is asked.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A connection to the other side.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Passes a request on, whatever its method, and the answer back.
pub(crate) async fn answer(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    let place = place::find(call, &request.route).await?;
    let path = rewrite::target_path(&request.route.path, &request.route.rest);
    let wants_upgrade = is_upgrade(&request.headers);
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    if path.is_empty() && reads && !wants_upgrade {
        return Ok(with_slash(&request));
    }
    let rewriter = Rewriter {
        prefix: rewrite::prefix(&request.route.path, &request.route.rest),
        own_host: request.header(HOST).to_owned(),
        endpoint: place.authority.clone(),
    };
    let mut target = rewrite::escape(if path.is_empty() { "/" } else { &path });
    if let Some(query) = request.raw.target.query() {
        target.push('?');
        target.push_str(query);
    }
    let head = Request::builder().method(request.method.clone()).uri(target);
    let headers = outgoing(&request, &rewriter.forwarded_uri(&path), wants_upgrade);
    let mut passed = head
        .body(request.body)
        .map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))?;
    *passed.headers_mut() = headers;
    let response = send(call.core, &place, passed).await?;
    if wants_upgrade {
        return upgraded(call.core, response, request.upgrade);
    }
    Ok(back(response, rewriter))
}

/// Whether a request asks to switch protocols.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut words = named.flat_map(|value| value.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case("upgrade")) && headers.contains_key(UPGRADE)
}

/// The root of a place has a slash at its end, or links that are relative to it would lead elsewhere.
fn with_slash(request: &Arrived) -> Response {
    let query = request.raw.target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", rewrite::escape(&request.route.path));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    no_cache(&mut response);
    response
}

/// The client's headers as the other side gets them: who the client is stays here.
fn outgoing(request: &Arrived, forwarded_uri: &str, wants_upgrade: bool) -> HeaderMap {
    let mut headers = request.headers.clone();
    let listed: Vec<String> = request
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    if !wants_upgrade {
        for name in listed.iter().filter(|name| !name.is_empty()) {
            headers.remove(name.as_str());
        }
        HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    }
    headers.remove(AUTHORIZATION);
    let private: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    private.iter().for_each(|name| drop(headers.remove(name)));
    // Pages are looked into; packed ones could not be.
    headers.remove(ACCEPT_ENCODING);
    if !headers.contains_key(HOST)
        && let Some(authority) = request.raw.target.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    let before = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let client = request.raw.peer.ip().to_string();
    let chain = before.map_or_else(|| client.clone(), |before| format!("{before}, {client}"));
    for (name, value) in [("x-forwarded-for", chain.as_str()), ("x-forwarded-uri", forwarded_uri)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Sends a request to a place.
async fn send(
    core: &Arc<Core>,
    place: &Place,
    request: Request<RequestBody>,
) -> Result<http::Response<Incoming>, Status> {
    let connecting = core.env.clock.timeout(CONNECT, connect(core, place)).await;
    let late = || Err(unreachable(&format!("dial tcp {}: i/o timeout", place.authority)));
    let stream = connecting.unwrap_or_else(late)?;
    send_over(core, stream, request).await
}

/// Sends a request over a connection that is its own.
async fn send_over(
    core: &Arc<Core>,
    stream: impl Stream + 'static,
    request: Request<RequestBody>,
) -> Result<http::Response<Incoming>, Status> {
    let broken = |error: hyper::Error| {
        Status::new(503, Reason::ServiceUnavailable, format!("error trying to reach service: {error}"))
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    core.env.tasks.spawn("proxied connection", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection ended");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

fn unreachable(why: &str) -> Status {
    let message = format!("error trying to reach service: {why}");
    Status::new(503, Reason::ServiceUnavailable, message)
}

async fn connect(core: &Core, place: &Place) -> Result<Box<dyn Stream>, Status> {
    let (address, is_tls): (SocketAddr, bool) = match &place.way {
        Way::Kubelet(node) => return Ok(Box::new(core.kubelets.connect(node).await?)),
        Way::Direct { address, is_tls } => (*address, *is_tls),
    };
    let failed = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => error.to_string(),
        };
        unreachable(&format!("dial tcp {}: {why}", place.authority))
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if !is_tls {
        return Ok(Box::new(stream));
    }
    // As upstream: whatever certificate is shown is fine, since there is nobody who could vouch for it.
    let config = client::https::unverified(&[b"http/1.1"]).map_err(Status::internal)?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(address.ip().into(), stream).await.map_err(failed)?;
    Ok(Box::new(stream))
}

/// Joins an upgraded connection, or passes a refusal on.
fn upgraded(
    core: &Arc<Core>,
    mut response: http::Response<Incoming>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Result<Response, Status> {
    let code = response.status();
    if code == StatusCode::SWITCHING_PROTOCOLS {
        let theirs = hyper::upgrade::on(&mut response);
        let answer = kubelet::switched(&response);
        if let Some(ours) = upgrade {
            core.env.tasks.spawn("proxied stream", kubelet::tunnel(ours, theirs));
        }
        return Ok(answer);
    }
    if code.as_u16() < 400 {
        let message = format!("invalid upgrade response: status code {}", code.as_u16());
        return Err(Status::internal(message));
    }
    Ok(back(response, Rewriter::nothing()))
}

/// The answer as the client gets it.
fn back(response: http::Response<Incoming>, rewriter: Rewriter) -> Response {
    let (head, body) = response.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"));
    let rewrites = is_page && !head.headers.contains_key("content-encoding") && !rewriter.is_nothing();
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.map(|location| rewriter.url(location));
    let pieces = if rewrites { page(body, rewriter) } else { plain(body) };
    let mut answer = Response::new(Body::Pieces(pieces));
    *answer.status_mut() = head.status;
    no_cache(&mut answer);
    for (name, value) in &head.headers {
        let is_ours = HOP_BY_HOP.contains(name)
            || name.as_str().starts_with("access-control-allow-")
            || (rewrites && *name == CONTENT_LENGTH)
            || *name == LOCATION;
        if !is_ours {
            answer.headers_mut().append(name, value.clone());
        }
    }
    if let Some(Ok(location)) = location.map(|location| HeaderValue::from_str(&location)) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

fn no_cache(answer: &mut Response) {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
}

/// A body as it comes. One that breaks off ends: there is nobody to tell.
fn plain(body: Incoming) -> Pieces {
    Box::pin(futures_util::stream::unfold(body, |mut body| async move {
        loop {
            if let Ok(data) = body.frame().await?.ok()?.into_data() {
                return Some((data, body));
            }
        }
    }))
}

/// A page whose links are made to lead through here.
fn page(body: Incoming, rewriter: Rewriter) -> Pieces {
    let state = Some((body, Html::new(rewriter)));
    Box::pin(futures_util::stream::unfold(state, |state| async move {
        let (mut body, mut html) = state?;
        loop {
            let Some(Ok(frame)) = body.frame().await else {
                return Some((html.finish().into(), None));
            };
            let Ok(data) = frame.into_data() else { continue };
            let ready = html.push(&data);
            if !ready.is_empty() {
                return Some((ready.into(), Some((body, html))));
            }
        }
    }))
}

#[cfg(test)]
mod tests;
