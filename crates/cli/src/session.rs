//! The connection to the server and what it serves; requests with their answers as documents.

use bytes::Bytes;
use client::https::Connection;
use env::Env;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use machinery::{Status, Value};
use tokio::sync::OnceCell;

use crate::args::Global;
use crate::resource::{Discovery, encode};
use crate::{Defaults, Failure, kubeconfig};

/// Largest answer that is read whole.
const ANSWER_BYTES_MAX: usize = 1 << 30;
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const DISCOVERY: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// A query: names and values, not yet encoded.
pub type Query<'a> = [(&'static str, String)];

/// A connection as somebody, in a namespace.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    namespace: String,
    discovery: OnceCell<Discovery>,
    /// The clock, for waiting.
    pub env: Env,
}

/// What a watch sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The objects themselves.
    Objects,
    /// A table for each.
    Tables,
}

/// A change: the path, how the body is to be read, the body.
#[derive(Debug)]
pub struct Change<'a> {
    /// POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Where.
    pub path: &'a str,
    /// The query.
    pub query: &'a Query<'a>,
    /// `application/json`, or a patch's type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Session {
    /// From flags, environment and files. Nothing is sent yet.
    pub fn open(global: &Global, defaults: &Defaults) -> Result<Session, Failure> {
        let context = kubeconfig::read(global, defaults)?;
        let env = Env::real();
        let connection =
            Connection::new(&context.config, &env).map_err(|error| Failure::client(error.chain()))?;
        Ok(Session { connection, namespace: context.namespace, discovery: OnceCell::new(), env })
    }

    /// The namespace of the flags or the context.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection, where a stream is to be upgraded.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the server serves; asked for once.
    pub async fn discovery(&self) -> Result<&Discovery, Failure> {
        self.discovery
            .get_or_try_init(|| async {
                let mut documents = Vec::new();
                for path in ["/api", "/apis"] {
                    documents.push(self.document(Method::GET, path, DISCOVERY).await?);
                }
                Ok(Discovery::from_documents(&documents))
            })
            .await
    }

    /// Reads a document.
    pub async fn get(&self, path: &str, query: &Query<'_>) -> Result<Value, Failure> {
        self.document(Method::GET, &with_query(path, query), "application/json").await
    }

    /// Reads as a table.
    pub async fn table(&self, path: &str, query: &Query<'_>) -> Result<Value, Failure> {
        let mut query = query.to_vec();
        // Rows come with the whole metadata, so that labels can be shown.
        query.push(("includeObject", "Metadata".to_owned()));
        self.document(Method::GET, &with_query(path, &query), TABLE).await
    }

    /// Sends a change and reads the answer.
    pub async fn change(&self, change: Change<'_>) -> Result<Value, Failure> {
        let mut headers = accept("application/json");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(change.content_type));
        let path = with_query(change.path, change.query);
        let answer = self.send(change.method, &path, headers, Bytes::from(change.body)).await?;
        read_document(answer).await
    }

    /// Sends a request and answers its body as it comes; failures are read and returned.
    pub async fn stream(&self, path: &str, query: &Query<'_>) -> Result<Incoming, Failure> {
        let answer = self.send(Method::GET, &with_query(path, query), accept("*/*"), Bytes::new()).await?;
        Ok(answer.into_body())
    }

    /// Follows changes from a revision on until `tell` answers false; when the server ends the watch, it is begun anew
    /// where it was.
    pub async fn watch(
        &self,
        (path, query): (&str, &Query<'_>),
        revision: &str,
        form: Watched,
        mut tell: impl FnMut(&Value) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut revision = revision.to_owned();
        loop {
            let mut query = query.to_vec();
            query.push(("watch", "true".to_owned()));
            query.push(("allowWatchBookmarks", "true".to_owned()));
            query.push(("resourceVersion", revision.clone()));
            if form == Watched::Tables {
                query.push(("includeObject", "Metadata".to_owned()));
            }
            let headers = accept(if form == Watched::Tables { TABLE } else { "application/json" });
            let answer = self.send(Method::GET, &with_query(path, &query), headers, Bytes::new()).await?;
            let mut lines = Lines { body: answer.into_body(), rest: Vec::new() };
            while let Some(line) = lines.next().await? {
                let event = decode(&line)?;
                let object = event.get("object");
                match event.get("type").str_or_empty() {
                    "ERROR" => return Err(Failure::Server(Status::from_value(object))),
                    "BOOKMARK" => {}
                    _ if !tell(&event)? => return Ok(()),
                    _ => {}
                }
                if let Some(newer) = newest_revision(object) {
                    revision = newer.to_owned();
                }
            }
        }
    }

    async fn document(&self, method: Method, path: &str, form: &'static str) -> Result<Value, Failure> {
        read_document(self.send(method, path, accept(form), Bytes::new()).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Failure> {
        let sent = self.connection.request(method, path, headers, body).await;
        let answer = sent.map_err(|error| Failure::client(unreachable_text(&error.chain())))?;
        for warning in answer.headers().get_all(http::header::WARNING) {
            let text = warning.to_str().unwrap_or_default();
            // 299 - "text"
            if let Some((_, quoted)) = text.split_once('"') {
                eprintln!("Warning: {}", quoted.trim_end_matches('"').replace("\\\"", "\""));
            }
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(failure(answer).await)
    }
}

fn unreachable_text(why: &str) -> String {
    format!("{why}\nIs the cluster up? `ironclad status` tells, `ironclad up` starts it.")
}

/// The failure in an answer.
pub async fn failure(answer: http::Response<Incoming>) -> Failure {
    let code = answer.status().as_u16();
    match read_document(answer).await {
        Ok(document) if document.get("kind").as_str() == Some("Status") => {
            Failure::Server(Status::from_value(&document))
        }
        _ => Failure::client(format!("the server answered with code {code}")),
    }
}

fn accept(form: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(form))])
}

fn with_query(path: &str, query: &Query<'_>) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

async fn read_document(answer: http::Response<Incoming>) -> Result<Value, Failure> {
    let body = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    let bytes =
        body.collect().await.map_err(|error| Failure::client(format!("the answer broke off: {error}")))?;
    decode(&bytes.to_bytes())
}

fn decode(bytes: &[u8]) -> Result<Value, Failure> {
    machinery::json::parse(bytes)
        .map_err(|error| Failure::client(format!("the server's answer cannot be read: {error}")))
}

/// The revision of an object, of a table, or of a table's one row.
fn newest_revision(object: &Value) -> Option<&str> {
    let row =
        object.get("rows").items().first().map(|row| row.at(&["object", "metadata", "resourceVersion"]));
    let own = object.at(&["metadata", "resourceVersion"]);
    [Some(own), row].into_iter().flatten().filter_map(Value::as_str).find(|revision| !revision.is_empty())
}

/// A body, line by line.
pub struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line without its end; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let tail = self.rest.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.rest, tail);
                line.pop();
                return Ok(Some(line));
            }
            match next_chunk(&mut self.body).await? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.rest))),
            }
        }
    }
}

/// The next piece of a body; `None` at its end.
pub async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::client(format!("the answer broke off: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
