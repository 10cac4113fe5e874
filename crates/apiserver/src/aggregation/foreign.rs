//! A group and version that another server serves: where that is, and what it said of itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use bytes::Bytes;
use client::https::{Config, Connection, Credentials};
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use machinery::Value;
use smol_str::SmolStr;

use crate::backends::{self, Wanted};
use crate::core::Core;
use crate::hook;
use crate::identity::Identity;

/// Where foreign servers are unless they say otherwise.
const PORT: u16 = 443;
/// How large a document may be: the OpenAPI of a server with very many kinds.
const DOCUMENT_MAX: usize = 32 << 20;
/// How long a server has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group and version that another server serves.
pub struct Foreign {
    /// The group.
    pub group: SmolStr,
    /// The version.
    pub version: SmolStr,
    /// Which groups come first: those with higher numbers.
    pub group_priority: i64,
    /// Which versions of a group come first: those with higher numbers.
    pub version_priority: i64,
    /// Whether it answered when it was last asked.
    pub is_available: bool,
    /// What it is made of, beside its priorities: who has the same is the same server.
    pub(super) source: Value,
    /// Namespace and name of the Service it is behind.
    pub(super) service: (String, String),
    pub(super) port: u16,
    connection: Result<Connection, String>,
    said: Arc<ArcSwap<Said>>,
}

/// What a server said of itself.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its resources, as the aggregated discovery document has them.
    pub resources: Value,
    /// Whether they are what it says now, not what it said once.
    pub is_current: bool,
    /// Its OpenAPI of version 2.
    pub openapi: Arc<Value>,
    /// The address there of its OpenAPI of version 3, with the hash of what that holds; empty if it has none.
    pub openapi_three: String,
    /// What tells versions of `openapi` apart.
    pub(super) tag: Option<HeaderValue>,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Foreign({}/{} at {}/{})", self.group, self.version, self.service.0, self.service.1)
    }
}

/// An answer to a question of our own.
pub(super) enum Answer {
    /// Its code, its headers and what it holds.
    Said(StatusCode, HeaderMap, Bytes),
    /// It is as it was.
    Unchanged,
}

impl Foreign {
    /// What an `APIService` says; `None` if it is about this server. What is known of the same server is kept.
    pub(super) fn read(core: &Core, document: &Value, before: Option<&Arc<Foreign>>) -> Option<Foreign> {
        let spec = document.get("spec");
        let service = spec.get("service");
        if service.is_null() {
            return None;
        }
        let text = |from: &Value, name: &str| from.get(name).str_or_empty().to_owned();
        let port = service.get("port").as_int().and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
        let source = source(document);
        let same = before.filter(|before| before.source == source);
        let (namespace, name) = (text(service, "namespace"), text(service, "name"));
        let connection = match same {
            Some(same) => same.connection.clone(),
            None => connection(core, spec, &format!("{name}.{namespace}.svc:{port}")),
        };
        Some(Foreign {
            group: text(spec, "group").into(),
            version: text(spec, "version").into(),
            group_priority: spec.get("groupPriorityMinimum").as_int().unwrap_or(0),
            version_priority: spec.get("versionPriority").as_int().unwrap_or(0),
            is_available: super::plan::is_available(document),
            source,
            service: (namespace, name),
            port,
            connection,
            said: same.map(|same| same.said.clone()).unwrap_or_default(),
        })
    }

    /// The path of what it serves.
    pub fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }

    /// What it said of itself.
    pub fn said(&self) -> Arc<Said> {
        self.said.load_full()
    }

    pub(super) fn remember(&self, said: Said) {
        self.said.store(Arc::new(said));
    }

    /// The way to it, or why there is none.
    pub fn connection(&self) -> Result<&Connection, String> {
        self.connection.as_ref().map_err(Clone::clone)
    }

    /// Where to connect to.
    pub fn address(&self, core: &Core) -> Result<String, String> {
        let (namespace, name) = (self.service.0.as_str(), self.service.1.as_str());
        let wanted = Wanted { namespace, name, port: self.port };
        let (host, port) = backends::find(&core.caches, wanted, &core.env.entropy)?;
        Ok(hook::join(&host, port))
    }

    /// Asks for a document on our own behalf.
    pub(super) async fn ask(
        &self,
        core: &Core,
        path: &str,
        accept: &'static str,
        tag: Option<&HeaderValue>,
    ) -> Result<Answer, String> {
        let address = self.address(core)?;
        let url = format!("https://{address}{path}");
        let failed = |why: String| format!("failing or missing response from {url}: {why}");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(tag) = tag {
            headers.insert(IF_NONE_MATCH, tag.clone());
        }
        speak_for(&aggregator(), &mut headers);
        let connection = self.connection().map_err(failed)?;
        let asked = async {
            let response = connection.request_at(&address, (Method::GET, path), headers, Bytes::new()).await;
            let response = response.map_err(|error| format!("Get \"{url}\": {}", hook::told(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, DOCUMENT_MAX).collect().await.map_err(|error| error.to_string())?;
            Ok(match head.status {
                StatusCode::NOT_MODIFIED => Answer::Unchanged,
                code => Answer::Said(code, head.headers, body.to_bytes()),
            })
        };
        let late = || Err(format!("Get \"{url}\": context deadline exceeded"));
        core.env.clock.timeout(PATIENCE, asked).await.unwrap_or_else(late).map_err(failed)
    }

    /// The document at a path, and what tells its versions apart; `None` if it is as it was.
    pub(super) async fn document(
        &self,
        core: &Core,
        path: &str,
        accept: &'static str,
        tag: Option<&HeaderValue>,
    ) -> Result<Option<(Value, Option<HeaderValue>)>, String> {
        match self.ask(core, path, accept, tag).await? {
            Answer::Unchanged => Ok(None),
            Answer::Said(code, headers, body) if code.is_success() => {
                let document = machinery::json::parse(&body).map_err(|error| format!("{path}: {error}"))?;
                Ok(Some((document, headers.get(ETAG).cloned())))
            }
            Answer::Said(code, ..) => Err(format!("{path} was answered {}", code.as_u16())),
        }
    }
}

/// Who asks on our own behalf: everything is open to it.
fn aggregator() -> Identity {
    Identity { name: "system:kube-aggregator".to_owned(), ..Identity::new("", &["system:masters"]) }
}

/// What tells servers apart: who they are to clients is no part of it.
pub(super) fn source(document: &Value) -> Value {
    let spec = document.get("spec");
    Value::from([
        ("uid", document.at(&["metadata", "uid"]).clone()),
        ("service", spec.get("service").clone()),
        ("caBundle", spec.get("caBundle").clone()),
        ("insecureSkipTLSVerify", spec.get("insecureSkipTLSVerify").clone()),
    ])
}

fn connection(core: &Core, spec: &Value, authority: &str) -> Result<Connection, String> {
    let bundle = spec.get("caBundle").str_or_empty();
    let ca = base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|error| error.to_string())?;
    let own = &core.config.proxy_client;
    let credentials = if own.chain.is_empty() {
        Credentials::Anonymous
    } else {
        Credentials::Certificate { chain: own.chain.clone(), key: own.key.clone() }
    };
    let config = Config {
        server: format!("https://{authority}"),
        ca: if ca.is_empty() { core.config.system_roots.clone() } else { ca },
        insecure: spec.get("insecureSkipTLSVerify").is_true(),
        credentials,
        user_agent: crate::remote::USER_AGENT.to_owned(),
        ..Config::default()
    };
    Connection::new(&config, &core.env).map_err(|error| error.chain())
}

/// Says in headers for whom a request is made, which the certificate we show lets us say; nobody else's word counts.
pub fn speak_for(identity: &Identity, headers: &mut HeaderMap) {
    let given: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    given.iter().for_each(|name| drop(headers.remove(name)));
    let mut say = |name: &str, text: &str| {
        let parts = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(text.as_bytes()));
        if let (Ok(name), Ok(text)) = parts {
            headers.append(name, text);
        }
    };
    say("x-remote-user", &identity.name);
    if !identity.uid.is_empty() {
        say("x-remote-uid", &identity.uid);
    }
    identity.groups.iter().for_each(|group| say("x-remote-group", group));
    for (key, values) in &identity.extra {
        let name = format!("x-remote-extra-{}", escape(key));
        values.iter().for_each(|value| say(&name, value));
    }
}

/// A key as it may stand in the name of a header: in lower case, and what may not stand there percent-encoded.
fn escape(key: &str) -> String {
    let mut escaped = String::new();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' => escaped.push(char::from(byte.to_ascii_lowercase())),
            b'a'..=b'z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|'
            | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02x}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_for_whom_and_nobody_else_can() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-remote-user", "admin"), ("x-remote-extra-a", "forged"), ("accept", "a/b")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut identity = Identity::new("ann", &["g"]);
        identity.extra.insert("Example.com/Key".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
        speak_for(&identity, &mut headers);
        let spoken = crate::authn::front_proxy::spoken_for(&headers).unwrap();
        assert_eq!(spoken.name, "ann");
        assert_eq!(spoken.groups, ["g", "system:authenticated"]);
        assert_eq!(spoken.extra.keys().collect::<Vec<_>>(), ["example.com/key"]);
        assert_eq!(spoken.extra["example.com/key"], ["1", "2"]);
        assert_eq!(headers["accept"], "a/b");
    }
}
