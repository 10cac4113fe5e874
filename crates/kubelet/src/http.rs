//! Plain HTTP requests to pods, for probes and hooks: no proxy, no verification, small answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;

/// How much of an answer is looked at.
const MOST_BODY: usize = 10 * 1_024;
/// As many redirects as browsers and upstream follow.
const MOST_REDIRECTS: usize = 10;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Who is asked.
    pub host: String,
    /// On which port.
    pub port: u16,
    /// What for.
    pub path: String,
    /// Headers beside the usual ones.
    pub headers: Vec<(String, String)>,
    /// Who asks.
    pub agent: &'static str,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Its code.
    pub status: u16,
    /// The beginning of its body.
    pub body: String,
    /// Where it leads, if that is another host: it is not followed then.
    pub elsewhere: Option<String>,
}

/// The request that an action stands for.
pub(crate) fn from_action(
    action: &HTTPGetAction,
    container: &Container,
    pod_ip: &str,
    agent: &'static str,
) -> Result<Ask, String> {
    Ok(Ask {
        scheme: if action.scheme.as_deref() == Some("HTTPS") { "https" } else { "http" },
        host: action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_owned()),
        port: port(&action.port, container)?,
        path: action.path.clone().unwrap_or_default(),
        headers: action
            .http_headers
            .iter()
            .flatten()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        agent,
    })
}

/// A port by number or by its name in the container.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => {
                let mut ports = container.ports.iter().flatten();
                let found = ports.find(|port| port.name.as_deref() == Some(name));
                found.ok_or_else(|| format!("couldn't find port: {name}"))?.container_port
            }
        },
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}

impl Ask {
    fn authority(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The address, as errors show it.
    pub fn url(&self) -> String {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{}://{}{slash}{}", self.scheme, self.authority(), self.path)
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name:?}"))?;
            let value: HeaderValue = value.parse().map_err(|_| format!("invalid value of header {name}"))?;
            headers.append(name, value);
        }
        let agent = HeaderValue::from_static(self.agent);
        headers.entry(http::header::USER_AGENT).or_insert(agent);
        headers.entry(http::header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        if !headers.contains_key(http::header::HOST) {
            let host = self.authority().parse().map_err(|_| format!("invalid host {:?}", self.host))?;
            headers.insert(http::header::HOST, host);
        }
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        let uri: Uri =
            self.url().parse().map_err(|error| format!("invalid URL {:?}: {error}", self.url()))?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(target)
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Asks, following redirects on the same host.
pub(crate) async fn get(ask: &Ask) -> Result<Answer, String> {
    let mut ask = ask.clone();
    for _ in 0..=MOST_REDIRECTS {
        let (answer, location) = once(&ask).await?;
        let Some(location) = location.filter(|_| (300..400).contains(&answer.status)) else {
            return Ok(answer);
        };
        match redirected(&ask, &location) {
            Some(next) => ask = next,
            None => return Ok(Answer { elsewhere: Some(location), ..answer }),
        }
    }
    Err(format!("Get {:?}: stopped after {MOST_REDIRECTS} redirects", ask.url()))
}

fn redirected(ask: &Ask, location: &str) -> Option<Ask> {
    let uri: Uri = location.parse().ok()?;
    let path = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let Some(host) = uri.host() else {
        return Some(Ask { path, ..ask.clone() });
    };
    if host.trim_matches(['[', ']']) != ask.host.trim_matches(['[', ']']) {
        return None;
    }
    let scheme = if uri.scheme_str() == Some("https") { "https" } else { "http" };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some(Ask { scheme, port, path, ..ask.clone() })
}

async fn once(ask: &Ask) -> Result<(Answer, Option<String>), String> {
    let say = |error: String| format!("Get {}: {error}", machinery::field::go_quote(&ask.url()));
    let request = ask.request().map_err(say)?;
    let stream = connect(&ask.host, ask.port).await.map_err(say)?;
    if ask.scheme == "https" {
        let name = ServerName::try_from(ask.host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| say(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting().map_err(say)?));
        let stream = connector.connect(name, stream).await.map_err(|error| say(error.to_string()))?;
        exchange(stream, request).await.map_err(say)
    } else {
        exchange(stream, request).await.map_err(say)
    }
}

/// Connects, with errors as Go words them.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let bare = host.trim_matches(['[', ']']);
    TcpStream::connect((bare, port)).await.map_err(|error| {
        let shown = if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => format!("dial tcp {shown}: connect: connection refused"),
            _ => format!("dial tcp {shown}: {error}"),
        }
    })
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(Answer, Option<String>), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
{
    let text = |error: hyper::Error| {
        if error.is_incomplete_message() || error.is_canceled() {
            "EOF".to_owned()
        } else {
            error.to_string()
        }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status().as_u16();
        let location = response.headers().get(http::header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // What is beyond the limit is not wanted.
        let body = match Limited::new(response.into_body(), MOST_BODY).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(_) => String::new(),
        };
        Ok((Answer { status, body, elsewhere: None }, location))
    };
    tokio::pin!(talk);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        // Whatever came before the end of the connection is already on its way to whoever asked.
        _ = &mut connection => talk.await,
    }
}

/// Whether a code is a good answer.
pub(crate) fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success() || status.is_redirection())
}

/// Certificates of pods are nobody's business here.
#[derive(Debug)]
struct Trusting(Arc<rustls::crypto::CryptoProvider>);

fn trusting() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
        .with_no_client_auth();
    Ok(config)
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
