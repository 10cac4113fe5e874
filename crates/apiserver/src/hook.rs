//! Webhooks that users name in objects: by a URL, or by a Service in the cluster.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use client::https::{Config, Connection, Error};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use machinery::Value;
use machinery::field::go_quote;

use crate::admission::Surroundings;
use crate::backends::{self, Wanted};

/// Where webhooks listen unless they say otherwise.
const PORT: u16 = 443;

/// A webhook.
pub struct Hook {
    /// Where it is, or why that cannot be known.
    place: Result<Place, String>,
    /// PEM certificates that vouch for it; none for those that the machine trusts.
    ca: Result<Vec<u8>, String>,
    timeout: Duration,
    /// Made when it is first asked.
    connection: OnceLock<Result<Connection, String>>,
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The name that its certificate must have.
    name: String,
    port: u16,
    /// The path and the query there.
    path: String,
    /// Namespace and name of the Service it is behind, if it is behind one.
    service: Option<(String, String)>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Hook({:?})", self.place)
    }
}

impl Hook {
    /// The webhook of a `clientConfig`, which has `timeout` to answer.
    pub fn new(client: &Value, timeout: Duration) -> Hook {
        Hook { place: place(client, timeout), ca: ca(client), timeout, connection: OnceLock::new() }
    }

    /// Sends it a document. The answer has at most `most` bytes.
    pub async fn post(&self, body: Vec<u8>, most: usize, around: Surroundings<'_>) -> Result<Bytes, String> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let address = match &place.service {
            None => join(&place.name, place.port),
            Some((namespace, name)) => {
                let wanted = Wanted { namespace, name, port: place.port };
                let (host, port) = backends::find(around.caches, wanted, around.entropy)?;
                join(&host, port)
            }
        };
        let url = go_quote(&format!("https://{}{}", join(&place.name, place.port), place.path));
        let asked = self.exchange(place, &address, body, (most, around));
        match around.env.clock.timeout(self.timeout, asked).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(Broken::Connection(why))) => Err(format!("Post {url}: {why}")),
            Some(Err(Broken::Answer(why))) => Err(why),
            None => Err(format!("Post {url}: context deadline exceeded")),
        }
    }

    async fn exchange(
        &self,
        place: &Place,
        address: &str,
        body: Vec<u8>,
        (most, around): (usize, Surroundings<'_>),
    ) -> Result<Bytes, Broken> {
        let connection = self.connection.get_or_init(|| self.connection(place, around));
        let connection = connection.as_ref().map_err(|why| Broken::Connection(why.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        let request = (Method::POST, place.path.as_str());
        let response = connection.request_at(address, request, headers, body.into()).await;
        let response = response.map_err(|error| Broken::Connection(told(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let unreadable = |error| Broken::Answer(format!("the response cannot be read: {error}"));
        let body = body.map_err(unreadable)?.to_bytes();
        if !status.is_success() {
            let why = "the server rejected our request for an unknown reason";
            let told = String::from_utf8_lossy(&body).trim().to_owned();
            let told = if told.is_empty() { why.to_owned() } else { told };
            return Err(Broken::Answer(format!(
                "an error on the server ({}) has prevented the request from succeeding",
                go_quote(&told)
            )));
        }
        Ok(body)
    }

    fn connection(&self, place: &Place, around: Surroundings<'_>) -> Result<Connection, String> {
        let own = self.ca.as_ref().map_err(Clone::clone)?;
        let ca = if own.is_empty() { around.system_roots } else { own };
        let config = Config {
            server: format!("https://{}", join(&place.name, place.port)),
            ca: ca.to_vec(),
            user_agent: crate::remote::USER_AGENT.to_owned(),
            ..Config::default()
        };
        Connection::new(&config, around.env).map_err(|error| error.chain())
    }
}

/// What went wrong.
enum Broken {
    Connection(String),
    Answer(String),
}

/// An address as it stands in URLs.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why nobody answers, in upstream's words where they are known.
pub fn told(error: &Error) -> String {
    match error {
        Error::Unreachable { address, source } => format!("dial tcp {address}: {}", dialling(source)),
        Error::Handshake { source, .. } => {
            format!("tls: failed to verify certificate: {}", untrusted(source))
        }
        other => other.chain(),
    }
}

fn dialling(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::ConnectionReset => "connect: connection reset by peer".to_owned(),
        _ => error.to_string(),
    }
}

fn untrusted(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The bundle of a configuration; blank counts as none, as upstream has it.
fn ca(client: &Value) -> Result<Vec<u8>, String> {
    let bundle = client.get("caBundle").str_or_empty();
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|error| error.to_string())?;
    Ok(if pem.trim_ascii().is_empty() { Vec::new() } else { pem })
}

fn place(client: &Value, timeout: Duration) -> Result<Place, String> {
    let seconds = timeout.as_secs();
    let url = client.get("url").str_or_empty();
    if !url.is_empty() {
        let uri: http::Uri = url.parse().map_err(|error| format!("{}: {error}", go_quote(url)))?;
        let host = uri.host().ok_or_else(|| format!("{} has no host", go_quote(url)))?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(PORT);
        return Ok(Place { name, port, path: format!("{}?timeout={seconds}s", uri.path()), service: None });
    }
    let service = client.get("service");
    let text = |name: &str| service.get(name).str_or_empty().to_owned();
    let (name, namespace) = (text("name"), text("namespace"));
    let port = service.get("port").as_int().and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
    let path = text("path");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Place {
        name: format!("{name}.{namespace}.svc"),
        port,
        path: format!("{slash}{path}?timeout={seconds}s"),
        service: Some((namespace, name)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;
    use env::Env;

    use super::*;
    use crate::authz::tests::World;
    use crate::registry::Registry;
    use crate::remote::tests::serve;

    #[test]
    fn configurations_name_urls_and_services() {
        let cases = [
            (r#"{"url":"https://hook.example.com/a"}"#, "hook.example.com", 443, "/a?timeout=3s", None),
            (r#"{"url":"https://[::1]:8443"}"#, "::1", 8443, "/?timeout=3s", None),
            (
                r#"{"service":{"namespace":"n","name":"s","path":"b","port":9443}}"#,
                "s.n.svc",
                9443,
                "/b?timeout=3s",
                Some(("n", "s")),
            ),
            (r#"{"service":{"namespace":"n","name":"s"}}"#, "s.n.svc", 443, "/?timeout=3s", Some(("n", "s"))),
        ];
        for (client, name, port, path, service) in cases {
            let client = machinery::json::parse(client.as_bytes()).unwrap();
            let expected = Place {
                name: name.to_owned(),
                port,
                path: path.to_owned(),
                service: service.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
            };
            assert_eq!(place(&client, Duration::from_secs(3)), Ok(expected));
        }
        let nowhere = machinery::json::parse(br#"{"url":"not a url"}"#).unwrap();
        assert!(place(&nowhere, Duration::from_secs(3)).is_err());
    }

    #[tokio::test]
    async fn who_names_no_authority_is_vouched_for_by_those_of_the_system() {
        let world = World::new().await;
        let (address, ca) = serve(&Env::real(), Arc::new(|_, document| (200, document))).await;
        let registry = ArcSwap::from_pointee(Registry::built_in(api::Table::load(), &world.caches));
        let client = Value::from([("url", Value::from(format!("https://{address}")))]);
        for (system_roots, is_trusted) in [(ca.as_slice(), true), (&[], false)] {
            let around = Surroundings {
                caches: &world.caches,
                registry: &registry,
                entropy: &world.env.entropy,
                env: &world.env,
                system_roots,
            };
            let hook = Hook::new(&client, Duration::from_secs(100));
            let outcome = hook.post(b"{}".to_vec(), 100, around).await;
            let refused = format!(
                "Post \"https://{address}/?timeout=100s\": tls: failed to verify certificate: x509: certificate \
                 signed by unknown authority"
            );
            assert_eq!(outcome, if is_trusted { Ok(Bytes::from_static(b"{}")) } else { Err(refused) });
        }
    }

    #[test]
    fn a_blank_bundle_is_none() {
        let bundle = |text: &str| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            ca(&Value::from([("caBundle", Value::from(encoded))]))
        };
        assert_eq!(bundle(" \n"), Ok(Vec::new()));
        assert_eq!(bundle("pem"), Ok(b"pem".to_vec()));
        assert_eq!(ca(&Value::object()), Ok(Vec::new()));
        assert!(ca(&Value::from([("caBundle", Value::from("%"))])).is_err());
    }
}
