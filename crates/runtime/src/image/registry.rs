//! A registry, spoken to in the OCI distribution protocol.

mod auth;
mod connection;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cri::Credentials;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};

use super::RegistryConfig;
use super::document::{DOCKER_LIST, DOCKER_MANIFEST, MAX_DOCUMENT, OCI_INDEX, OCI_MANIFEST};

/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Blobs are often elsewhere, and elsewhere again; more steps than this are a circle.
const MAX_REDIRECTS: usize = 8;

/// TLS configurations, made when first needed: reading a machine's certificates takes milliseconds.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    system: OnceLock<Arc<rustls::ClientConfig>>,
}

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    /// Trying again may help.
    #[error("{0}")]
    Passing(String),
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// Not with these credentials.
    #[error("{0}")]
    Denied(String),
    /// Trying again does not help.
    #[error("{0}")]
    Final(String),
}

/// One repository's registry, with the rights to read it.
pub(super) struct Registry<'a> {
    pub host: String,
    pub repository: String,
    pub config: RegistryConfig,
    pub credentials: Option<&'a Credentials>,
    pub authorities: &'a Authorities,
    pub env: &'a env::Env,
    /// What the registry wants to see in `Authorization`, once it said so.
    pub token: Mutex<Option<HeaderValue>>,
}

impl Registry<'_> {
    /// A manifest or list of manifests by tag or digest: its bytes and what the registry says they are.
    pub async fn manifest(&self, target: &str) -> Result<(Bytes, String), RegistryError> {
        let accept = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_str(&accept).map_err(|error| RegistryError::Final(error.to_string()))?,
        );
        let response = self.get(&format!("manifests/{target}"), headers).await?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        Ok((self.document(response).await?, kind))
    }

    /// A small blob, whole.
    pub async fn small_blob(&self, digest: &str) -> Result<Bytes, RegistryError> {
        let response = self.get(&format!("blobs/{digest}"), HeaderMap::new()).await?;
        self.document(response).await
    }

    /// A blob from a byte on. The registry may begin at zero nevertheless; the answer's status says so.
    pub async fn blob(&self, digest: &str, from: u64) -> Result<Response<Incoming>, RegistryError> {
        let mut headers = HeaderMap::new();
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-"));
            headers.insert(header::RANGE, range.map_err(|error| RegistryError::Final(error.to_string()))?);
        }
        self.get(&format!("blobs/{digest}"), headers).await
    }

    async fn document(&self, response: Response<Incoming>) -> Result<Bytes, RegistryError> {
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next_chunk(&mut body).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MAX_DOCUMENT {
                return Err(RegistryError::Final("the document is longer than any image's".into()));
            }
        }
        Ok(bytes.into())
    }

    /// The next bytes of an answer; `None` at its end.
    pub async fn next_chunk(&self, body: &mut Incoming) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let Some(frame) = self.env.clock.timeout(SILENCE, body.frame()).await else {
                return Err(RegistryError::Passing(format!("{} fell silent", self.host)));
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(RegistryError::Passing(format!("the connection broke: {error}")));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn get(&self, path: &str, headers: HeaderMap) -> Result<Response<Incoming>, RegistryError> {
        let url = format!("{}://{}/v2/{}/{path}", self.scheme(), api_host(&self.host), self.repository);
        let mut asked_for_token = false;
        loop {
            let response = self.follow(&url, &headers).await?;
            let status = response.status();
            match status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(response),
                StatusCode::UNAUTHORIZED if !asked_for_token => {
                    asked_for_token = true;
                    let authorization = self.authorize(response.headers()).await?;
                    *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(RegistryError::Denied(
                        "pull access denied, repository does not exist or may require authorization".into(),
                    ));
                }
                StatusCode::NOT_FOUND => return Err(RegistryError::NotFound),
                StatusCode::TOO_MANY_REQUESTS => {
                    return Err(RegistryError::Passing(format!("{} says: too many requests", self.host)));
                }
                _ if status.is_server_error() => {
                    return Err(RegistryError::Passing(format!("{} says: {status}", self.host)));
                }
                _ => {
                    return Err(RegistryError::Final(format!(
                        "unexpected status from GET request to {url}: {status}"
                    )));
                }
            }
        }
    }

    fn scheme(&self) -> &'static str {
        if self.config.plain_http || is_loopback(&self.host) { "http" } else { "https" }
    }

    /// Sends a request and follows where it is sent to. Rights are shown to the registry only.
    async fn follow(&self, url: &str, headers: &HeaderMap) -> Result<Response<Incoming>, RegistryError> {
        let bad =
            |error: &dyn std::fmt::Display| RegistryError::Final(format!("{url:?} is no address: {error}"));
        let first: Uri = url.parse().map_err(|error| bad(&error))?;
        let mut uri = first.clone();
        for _ in 0..MAX_REDIRECTS {
            let mut headers = headers.clone();
            if uri.authority() == first.authority() && uri.scheme() == first.scheme() {
                let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
                headers.extend(token.map(|token| (header::AUTHORIZATION, token)));
            }
            let response = self.send(&uri, headers).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            uri = redirected(&uri, to.unwrap_or_default()).map_err(|error| bad(&error))?;
        }
        Err(RegistryError::Final(format!("{url} leads in a circle")))
    }

    /// Sends one request over a connection of its own.
    async fn send(&self, uri: &Uri, headers: HeaderMap) -> Result<Response<Incoming>, RegistryError> {
        let sending = async {
            let mut sender = connection::open(self, uri).await?;
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let mut request = Request::builder().method(Method::GET).uri(path).body(Empty::<Bytes>::new());
            if let Ok(request) = &mut request {
                *request.headers_mut() = headers;
                let host = uri.authority().map_or("", |authority| authority.as_str());
                let agent = concat!("ironclad/", env!("CARGO_PKG_VERSION"));
                request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(agent));
                if let Ok(host) = HeaderValue::from_str(host) {
                    request.headers_mut().insert(header::HOST, host);
                }
            }
            let request = request.map_err(|error| RegistryError::Final(error.to_string()))?;
            let broken = |error| RegistryError::Passing(format!("the connection to {uri} broke: {error}"));
            sender.send_request(request).await.map_err(broken)
        };
        let silent = || RegistryError::Passing(format!("no answer from {} within {SILENCE:?}", self.host));
        self.env.clock.timeout(SILENCE, sending).await.ok_or_else(silent)?
    }
}

/// The host that serves a registry's protocol.
fn api_host(registry: &str) -> &str {
    if registry == "docker.io" { "registry-1.docker.io" } else { registry }
}

/// Nobody listens in on the loopback.
fn is_loopback(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Where a redirection leads: elsewhere, or to another path of the same place.
fn redirected(from: &Uri, to: &str) -> Result<Uri, http::Error> {
    let target: Uri = to.parse()?;
    if target.authority().is_some() {
        return Ok(target);
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = target.into_parts().path_and_query;
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_name_and_address() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.com", "10.0.0.1:5000", "docker.io", "[2001:db8::1]:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn redirections_lead_on() {
        let from: Uri = "http://a:1/v2/x?y".parse().unwrap();
        assert_eq!(redirected(&from, "/z?q").unwrap().to_string(), "http://a:1/z?q");
        assert_eq!(redirected(&from, "https://b/c").unwrap().to_string(), "https://b/c");
        assert!(redirected(&from, "").is_err());
    }
}
