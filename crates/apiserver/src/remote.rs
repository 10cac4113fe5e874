//! Others that the server asks: issuers of tokens, and webhooks.

use std::time::Duration;

use bytes::Bytes;
use client::https::{Config, Connection};
use env::Env;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use machinery::Value;

/// Who we say we are.
pub const USER_AGENT: &str = "kube-apiserver/v1.36.2";
/// How large an answer may be.
const MAX_ANSWER: usize = 1 << 20;

/// Where somebody is who is to be asked.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The server, and who we are to it.
    pub server: Config,
    /// The path there.
    pub path: String,
}

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
    /// By its address.
    pub fn new(env: &Env, mut config: Config, timeout: Duration) -> Result<Remote, String> {
        config.user_agent = USER_AGENT.to_owned();
        let connection = Connection::new(&config, env).map_err(|error| error.chain())?;
        Ok(Remote { connection, env: env.clone(), timeout })
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

#[cfg(test)]
pub(crate) mod tests;
