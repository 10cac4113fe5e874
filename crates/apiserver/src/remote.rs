//! Others that the server asks: issuers of tokens, and webhooks that a kubeconfig leads to.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::https::{Config, Connection, Credentials};
use env::Env;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use machinery::Value;

/// How large an answer may be.
const MAX_ANSWER: usize = 1 << 20;
/// Where Debian keeps the certificates that everybody trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Somebody who is asked over HTTPS.
#[derive(Clone)]
pub struct Remote {
    connection: Connection,
    env: Env,
    timeout: Duration,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Remote({})", self.connection.address())
    }
}

impl Remote {
    /// By its address. Without a CA, those that the system trusts are trusted.
    pub fn new(env: &Env, mut config: Config, timeout: Duration) -> Result<Remote, String> {
        if config.ca.is_empty() && !config.insecure {
            config.ca = std::fs::read(SYSTEM_ROOTS).unwrap_or_default();
        }
        config.user_agent = "kube-apiserver/v1.36.2".to_owned();
        let connection = Connection::new(&config, env).map_err(|error| error.chain())?;
        Ok(Remote { connection, env: env.clone(), timeout })
    }

    /// The one that the current context of a kubeconfig leads to, and the path there.
    pub fn of_kubeconfig(env: &Env, file: &Path, timeout: Duration) -> Result<(Remote, String), String> {
        let shown = file.display();
        let text = std::fs::read(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        let document = machinery::yaml::decode(&text).map_err(|error| format!("{shown}: {error}"))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let (config, path) = target(&document, folder).map_err(|why| format!("{shown}: {why}"))?;
        Ok((Remote::new(env, config, timeout)?, path))
    }

    /// Asks with a document.
    pub async fn post(&self, path: &str, document: &Value) -> Result<Value, String> {
        let body = Bytes::from(machinery::json::to_vec(document));
        self.ask(Method::POST, path, body).await
    }

    /// Asks for a document.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answered = async {
            let answer = self.connection.request(method, path, headers, body).await;
            let answer = answer.map_err(|error| error.chain())?;
            let code = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?.to_bytes();
            if !code.is_success() {
                return Err(format!("it answered {code}"));
            }
            machinery::json::parse(&body).map_err(|error| format!("its answer is no JSON: {error}"))
        };
        let late = || Err(format!("{} took too long to answer", self.connection.address()));
        self.env.clock.timeout(self.timeout, answered).await.unwrap_or_else(late)
    }
}

/// Splits an address into that of the server and the path there.
pub fn split_url(url: &str) -> Result<(String, String), String> {
    let uri: http::Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("{url:?} is no URL with scheme and host"));
    };
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Ok((format!("{scheme}://{authority}"), path.to_owned()))
}

fn target(document: &Value, folder: &Path) -> Result<(Config, String), String> {
    let named = |list: &str, member: &str, name: &str| {
        let found = document.get(list).items().iter().find(|entry| entry.get("name").str_or_empty() == name);
        found.map(|entry| entry.get(member).clone())
    };
    let current = document.get("current-context").str_or_empty();
    let context = match named("contexts", "context", current) {
        Some(context) => context,
        // Upstream's examples often have one context and do not name it as the current one.
        None => document
            .get("contexts")
            .items()
            .first()
            .map(|entry| entry.get("context").clone())
            .ok_or("it has no context")?,
    };
    let cluster = named("clusters", "cluster", context.get("cluster").str_or_empty())
        .ok_or("it has no cluster that its context names")?;
    let user = named("users", "user", context.get("user").str_or_empty()).unwrap_or_default();
    let (server, path) = split_url(cluster.get("server").str_or_empty())?;
    let bytes = |from: &Value, name: &str| -> Result<Vec<u8>, String> {
        if let Some(data) = from.get(&format!("{name}-data")).as_str() {
            return STANDARD.decode(data).map_err(|error| format!("{name}-data: {error}"));
        }
        match from.get(name).as_str() {
            Some(file) => std::fs::read(folder.join(file)).map_err(|error| format!("{file}: {error}")),
            None => Ok(Vec::new()),
        }
    };
    let (chain, key) = (bytes(&user, "client-certificate")?, bytes(&user, "client-key")?);
    let credentials = match user.get("token").as_str() {
        Some(token) => Credentials::Token(token.to_owned()),
        None if chain.is_empty() => Credentials::Anonymous,
        None => Credentials::Certificate { chain, key },
    };
    let config = Config {
        server,
        ca: bytes(&cluster, "certificate-authority")?,
        insecure: cluster.get("insecure-skip-tls-verify").is_true(),
        server_name: cluster.get("tls-server-name").as_str().map(str::to_owned),
        credentials,
        user_agent: String::new(),
    };
    Ok((config, path))
}

#[cfg(test)]
pub(crate) mod tests;
