//! The way to a webhook: over TLS to an address of the web, or to a Service in the cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use machinery::Value;
use machinery::field::go_quote;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::Surroundings;
use super::catalog::Webhook;
use crate::http::tls;

/// How large an answer may be: as large as a request to us.
const ANSWER_MAX: usize = 3 << 20;
/// Where webhooks listen unless they say otherwise.
const PORT: u16 = 443;

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The name that its certificate must have.
    name: String,
    port: u16,
    path: String,
    /// Where to connect to.
    host: String,
    host_port: u16,
}

/// Sends a question; the answer, or why there is none.
pub(super) async fn post(
    webhook: &Webhook,
    body: Vec<u8>,
    around: Surroundings<'_>,
) -> Result<Vec<u8>, String> {
    let failed = |why: String| format!("failed to call webhook: {why}");
    let place = place(webhook, around).map_err(failed)?;
    let shown = format!(
        "Post {}",
        go_quote(&format!(
            "https://{}:{}{}?timeout={}s",
            place.name,
            place.port,
            place.path,
            webhook.timeout.as_secs()
        ))
    );
    let outcome = around.env.clock.timeout(webhook.timeout, exchange(webhook, &place, body, around)).await;
    match outcome {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(Broken::Connection(why))) => Err(failed(format!("{shown}: {why}"))),
        Some(Err(Broken::Answer(why))) => Err(failed(why)),
        None => Err(failed(format!("{shown}: context deadline exceeded"))),
    }
}

/// What went wrong.
enum Broken {
    Connection(String),
    Answer(String),
}

async fn exchange(
    webhook: &Webhook,
    place: &Place,
    body: Vec<u8>,
    around: Surroundings<'_>,
) -> Result<Vec<u8>, Broken> {
    let broken = |error: &dyn std::fmt::Display| Broken::Connection(error.to_string());
    let stream = match place.host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect(SocketAddr::new(address, place.host_port)).await,
        Err(_) => TcpStream::connect((place.host.as_str(), place.host_port)).await,
    };
    let target = format!("{}:{}", place.host, place.host_port);
    let stream = stream.map_err(|error| broken(&format!("dial tcp {target}: connect: {error}")))?;
    stream.set_nodelay(true).map_err(|error| broken(&error))?;
    let connector = connector(webhook).map_err(Broken::Connection)?;
    let server = ServerName::try_from(place.name.clone()).map_err(|error| broken(&error))?;
    let stream = connector
        .connect(server, stream)
        .await
        .map_err(|error| broken(&format!("tls: failed to verify certificate: {error}")))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    around.env.tasks.spawn("connection to a webhook", connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}?timeout={}s", place.path, webhook.timeout.as_secs()))
        .header(HOST, format!("{}:{}", place.name, place.port))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, */*")
        .body(Full::new(bytes::Bytes::from(body)))
        .map_err(|error| broken(&error))?;
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body =
        body.map_err(|error| Broken::Answer(format!("the response cannot be read: {error}")))?.to_bytes();
    if !status.is_success() {
        let why = "the server rejected our request for an unknown reason";
        let told = String::from_utf8_lossy(&body).trim().to_owned();
        let told = if told.is_empty() { why.to_owned() } else { told };
        return Err(Broken::Answer(format!(
            "an error on the server ({}) has prevented the request from succeeding",
            go_quote(&told)
        )));
    }
    Ok(body.to_vec())
}

/// Trusts the CA of the webhook's configuration.
fn connector(webhook: &Webhook) -> Result<TlsConnector, String> {
    let unknown =
        || "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned();
    let bundle = webhook.client.get("caBundle").str_or_empty();
    if bundle.is_empty() {
        return Err(unknown());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|error| error.to_string())?;
    let roots = tls::roots(&pem, "CA of a webhook").map_err(|error| error.to_string())?;
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn place(webhook: &Webhook, around: Surroundings<'_>) -> Result<Place, String> {
    let url = webhook.client.get("url").str_or_empty();
    if !url.is_empty() {
        return place_of_url(url);
    }
    let service = webhook.client.get("service");
    let text = |name: &str| service.get(name).str_or_empty();
    let (name, namespace) = (text("name"), text("namespace"));
    let port = service.get("port").as_int().and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
    let (host, host_port) = backend((namespace, name), port, around)?;
    let path = match text("path") {
        "" => "/".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    Ok(Place { name: format!("{name}.{namespace}.svc"), port, path, host, host_port })
}

fn place_of_url(url: &str) -> Result<Place, String> {
    let uri: http::Uri = url.parse().map_err(|error| format!("{}: {error}", go_quote(url)))?;
    let host = uri.host().ok_or_else(|| format!("{} has no host", go_quote(url)))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(PORT);
    let path = uri.path().to_owned();
    Ok(Place { name: host.clone(), port, path, host, host_port: port })
}

/// An endpoint of a Service that is ready. We need not be in the network of Services to reach it.
fn backend(
    (namespace, name): (&str, &str),
    port: u16,
    around: Surroundings<'_>,
) -> Result<(String, u16), String> {
    let services = around.caches.collection("core/services");
    let service = services.and_then(|services| services.get(&format!("{namespace}/{name}")));
    let service = service.ok_or_else(|| format!("service {} not found", go_quote(name)))?;
    let service = service.object().to_value().map_err(|status| status.to_string())?;
    let spec = service.get("spec");
    if spec.get("type").str_or_empty() == "ExternalName" {
        return Ok((spec.get("externalName").str_or_empty().to_owned(), port));
    }
    let ports = spec.get("ports").items();
    let chosen = ports.iter().find(|own| own.get("port").as_int() == Some(i64::from(port)));
    let chosen =
        chosen.ok_or_else(|| format!("no service port {port} found for service {}", go_quote(name)))?;
    let port_name = chosen.get("name").str_or_empty();
    let found = endpoints((namespace, name), port_name, around);
    let chosen = around.entropy.below((found.len() as u64).max(1));
    let chosen = found.into_iter().nth(usize::try_from(chosen).unwrap_or_default());
    chosen.ok_or_else(|| format!("no endpoints available for service {}", go_quote(name)))
}

/// All endpoints of a Service's port that are ready.
fn endpoints((namespace, name): (&str, &str), port: &str, around: Surroundings<'_>) -> Vec<(String, u16)> {
    let Some(slices) = around.caches.collection("discovery.k8s.io/endpointslices") else { return Vec::new() };
    let place = format!("{namespace}/");
    let snapshot = slices.snapshot();
    let own = snapshot
        .starting_at(&place)
        .take_while(|entry| entry.key().starts_with(&place))
        .filter(|entry| entry.object().header().label("kubernetes.io/service-name") == Some(name));
    let mut found = Vec::new();
    for slice in own {
        let Ok(slice) = slice.object().to_value() else { continue };
        let chosen = slice.get("ports").items().iter().find(|own| own.get("name").str_or_empty() == port);
        let number = chosen.and_then(|chosen| chosen.get("port").as_int());
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
        let is_ready = |endpoint: &&Value| endpoint.at(&["conditions", "ready"]).as_bool() != Some(false);
        for endpoint in slice.get("endpoints").items().iter().filter(is_ready) {
            let addresses = endpoint.get("addresses").items().first();
            found.extend(addresses.map(|address| (address.str_or_empty().to_owned(), number)));
        }
    }
    found
}
