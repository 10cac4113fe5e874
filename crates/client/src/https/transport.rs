//! The transport over a connection.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use machinery::{Object, Reason, Status};
use serde_json::json;

use super::answer::{self, Frame};
use super::{Connection, Error, url};
use crate::transport::{
    BoxFuture, CALL_LIMIT, Call, Delete, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write,
};

/// Servers end watches after a while, so that they spread over servers; so do upstream's clients, within 5 to 10 minutes.
const WATCH_SECONDS: u64 = 300;
/// The longest frame of a watch: an object may have 3 MiB, and its bytes may be escaped.
const LONGEST_FRAME: usize = 16 << 20;

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        Status::new(503, Reason::ServiceUnavailable, error.chain())
    }
}

impl Connection {
    async fn ask(
        &self,
        method: Method,
        path: String,
        content: Option<(&'static str, Bytes)>,
    ) -> Result<Bytes, Status> {
        let call = async {
            let answer = self.send(method, &path, content).await?;
            whole(answer).await
        };
        let answer = self.env().clock.timeout(CALL_LIMIT, call).await;
        answer.unwrap_or_else(|| {
            let address = self.address().to_owned();
            Err(Error::TimedOut { address, seconds: CALL_LIMIT.as_secs() }.into())
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Incoming>, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let body = match content {
            Some((kind, body)) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                body
            }
            None => Bytes::new(),
        };
        let answer = self.request(method, path, headers, body).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let retry_after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = whole(answer).await?;
        let mut status = answer::failure(code, &body);
        if let Some(seconds) =
            retry_after.filter(|_| status.details.as_ref().is_none_or(|d| d.retry_after_secs == 0))
        {
            status = status.retry_after(seconds);
        }
        Err(status)
    }

    fn broken_body(&self, source: hyper::Error) -> Status {
        Error::Broken { address: self.address().to_owned(), source }.into()
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, Status> {
    let body = answer.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        Status::new(503, Reason::ServiceUnavailable, format!("the server's answer broke off: {error}"))
    })
}

/// The method, media type, extra query and body of a write.
struct Request {
    method: Method,
    content: (&'static str, Bytes),
    query: Vec<(&'static str, String)>,
}

impl Request {
    fn of(write: Write, manager: &str) -> Request {
        let patch = |kind, body| Request { method: Method::PATCH, content: (kind, body), query: Vec::new() };
        match write {
            Write::Create(body) => {
                Request { method: Method::POST, content: ("application/json", body), query: Vec::new() }
            }
            Write::Update(body) => {
                Request { method: Method::PUT, content: ("application/json", body), query: Vec::new() }
            }
            Write::MergePatch(body) => patch("application/merge-patch+json", body),
            Write::StrategicPatch(body) => patch("application/strategic-merge-patch+json", body),
            Write::JsonPatch(body) => patch("application/json-patch+json", body),
            Write::Apply(body) => Request {
                query: vec![("fieldManager", manager.to_owned()), ("force", "true".to_owned())],
                ..patch("application/apply-patch+yaml", body)
            },
            Write::Delete(how) => {
                let content = ("application/json", Bytes::from(delete_options(&how).to_string()));
                Request { method: Method::DELETE, content, query: Vec::new() }
            }
        }
    }
}

fn delete_options(how: &Delete) -> serde_json::Value {
    let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
    if let Some(seconds) = how.grace_secs {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if !how.uid.is_empty() {
        options["preconditions"]["uid"] = json!(how.uid);
    }
    if !how.resource_version.is_empty() {
        options["preconditions"]["resourceVersion"] = json!(how.resource_version);
    }
    if !how.propagation.is_empty() {
        options["propagationPolicy"] = json!(how.propagation);
    }
    options
}

impl Transport for Connection {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(async move {
            let body = self.ask(Method::GET, url::path(resource, &call), None).await?;
            Object::from_json(&body)
        })
    }

    fn list(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        Box::pin(async move {
            let path = url::with_query(url::path(resource, &call), &url::selectors(&call));
            let body = self.ask(Method::GET, path, None).await?;
            answer::list(resource, &body)
        })
    }

    fn watch(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        Box::pin(async move {
            let mut query = url::selectors(&call);
            let seconds = WATCH_SECONDS + self.env().entropy.below(WATCH_SECONDS);
            query.extend([
                ("watch", "true".to_owned()),
                ("resourceVersion", revision.to_string()),
                ("allowWatchBookmarks", "true".to_owned()),
                ("timeoutSeconds", seconds.to_string()),
            ]);
            let path = url::with_query(url::path(resource, &call), &query);
            let answer = self.send(Method::GET, &path, None).await?;
            let stream = Frames {
                connection: self.clone(),
                body: answer.into_body(),
                read: BytesMut::new(),
                searched: 0,
                limit: Duration::from_secs(seconds) + CALL_LIMIT,
            };
            Ok(Box::new(stream) as Box<dyn WatchStream>)
        })
    }

    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(async move {
            let request = Request::of(write, self.manager());
            let path = url::with_query(url::path(resource, &call), &request.query);
            let body = self.ask(request.method, path, Some(request.content)).await?;
            Object::from_json(&body)
        })
    }
}

/// The events of a watch: one JSON document per line.
struct Frames {
    connection: Connection,
    body: Incoming,
    read: BytesMut,
    searched: usize,
    /// A server that is silent for longer than it was asked to watch has vanished.
    limit: Duration,
}

impl Frames {
    fn take_line(&mut self) -> Option<Bytes> {
        let end = self.read[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            self.searched = self.read.len();
            return None;
        };
        let line = self.read.split_to(end).freeze();
        self.read.advance(1);
        self.searched = 0;
        Some(line)
    }
}

impl WatchStream for Frames {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(async move {
            loop {
                if let Some(line) = self.take_line() {
                    if line.is_empty() {
                        continue;
                    }
                    return match answer::frame(&line)? {
                        Frame::Event(event) => Ok(Some(event)),
                        Frame::Failure(status) => Err(status),
                    };
                }
                if self.read.len() > LONGEST_FRAME {
                    return Err(Status::internal("a watch event is larger than any object can be"));
                }
                let clock = self.connection.env().clock.clone();
                match clock.timeout(self.limit, self.body.frame()).await {
                    None | Some(None) => return Ok(None),
                    Some(Some(Err(error))) => return Err(self.connection.broken_body(error)),
                    Some(Some(Ok(frame))) => {
                        if let Some(data) = frame.data_ref() {
                            self.read.extend_from_slice(data);
                        }
                    }
                }
            }
        })
    }
}
