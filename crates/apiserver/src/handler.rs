//! From a request over HTTP to its answer: who are you, may you, and then the verb.

pub(crate) mod objects;
mod paths;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use machinery::{Reason, Status};

use crate::answer;
use crate::audit::{self, About, Record};
use crate::authn;
use crate::authz::{self, Attributes, Decision, Selectors};
use crate::core::Core;
use crate::flow::{self, Seat};
use crate::http::accept::{self, DOCUMENTS, Form};
use crate::http::body::RequestBody;
use crate::http::listener::{Handler, Peer};
use crate::http::{Response, compress};
use crate::identity::Identity;
use crate::impersonate;
use crate::proxy;
use crate::query::{self, Query};
use crate::route::Route;

/// Answers requests over HTTP.
#[derive(Debug)]
pub struct Requests {
    core: Arc<Core>,
}

/// What is known about a connection.
#[derive(Debug)]
pub struct Connection {
    /// Who its certificate says it is; an error if the certificate was refused.
    certified: Result<Option<Arc<Identity>>, ()>,
    /// Whether it may speak for others.
    is_front_proxy: bool,
    /// Who is at the other end.
    peer: Peer,
}

/// A request whose path and parameters were read.
pub(crate) struct Arrived {
    pub method: Method,
    pub route: Route,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: RequestBody,
    /// The connection itself, should the request ask to switch protocols.
    pub upgrade: Option<OnUpgrade>,
    /// What is written down of it.
    pub record: Option<Arc<Record>>,
    /// What the request was before it was read.
    pub raw: Raw,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Its path and query, still encoded.
    pub target: Uri,
    /// Who sent it.
    pub peer: SocketAddr,
}

impl Requests {
    /// For this server.
    pub fn new(core: Arc<Core>) -> Requests {
        Requests { core }
    }

    async fn answer(
        &self,
        connection: &Connection,
        request: http::Request<RequestBody>,
        id: &HeaderValue,
    ) -> Response {
        let (mut head, body) = request.into_parts();
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let route = Route::read(&head.method, head.uri.path(), &query);
        let upgrade = head.extensions.remove::<OnUpgrade>();
        let uri = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let raw = Raw { target: head.uri, peer: connection.peer.address };
        let (method, headers) = (head.method, head.headers);
        let mut request = Arrived { method, route, query, headers, body, upgrade, record: None, raw };
        let own = self.authenticate(connection, &request).await;
        let acting = match &own {
            Ok(own) => {
                let asked = (&request.headers, &request.route);
                impersonate::impersonate(&self.core.authorizer, own.clone(), asked).await
            }
            Err(()) => Err(Status::unauthorized()),
        };
        let Some(audit) = &self.core.audit else { return self.proceed(acting, request).await };
        let own = own.as_deref().ok();
        let about = About {
            id: id.to_str().unwrap_or_default(),
            uri: &uri,
            route: &request.route,
            identity: own,
            acting: acting.as_deref().ok().filter(|acting| Some(*acting) != own),
            address: connection.peer.address,
            agent: request.header(http::header::USER_AGENT),
        };
        let Some(record) = audit.begin(about).await else { return self.proceed(acting, request).await };
        request.record = Some(record.clone());
        let lasting = request.route.verb == "watch" || objects::is_stream(&request.route);
        let response = self.proceed(acting, request).await;
        record.set_answer(&response, lasting);
        if lasting && !response.status().is_client_error() {
            audit.started(&record).await;
            return audit::when_ended(audit, record, response);
        }
        audit.completed(&record).await;
        response
    }

    /// Answers a request whose sender is known, or is known to be nobody.
    async fn proceed(&self, identity: Result<Arc<Identity>, Status>, request: Arrived) -> Response {
        let form = accept::negotiate(&request.headers, &request.query, DOCUMENTS).unwrap_or_default();
        let known = identity.and_then(|identity| Ok((identity, self.limit(&request)?)));
        let (identity, limit) = match known {
            Ok(known) => known,
            Err(status) => return self.failure(&status, form),
        };
        let seat = match self.enter(&identity, &request, limit / flow::WAITING_PART).await {
            Ok(seat) => seat,
            Err(response) => return response,
        };
        // Who serves the path answers as it likes.
        let is_ours = self.core.aggregation.serving(&request.route.path).is_none();
        let zipped = is_ours && compress::wanted(&request.headers) && request.method == Method::GET;
        let lasting = request.route.verb == "watch" || objects::is_stream(&request.route);
        // In a box: it is large, and would be moved as a whole into whatever waits for it.
        let answered = Box::pin(self.dispatch(identity, request, form));
        let mut response = if lasting {
            answered.await
        } else {
            match self.core.env.clock.timeout(limit, answered).await {
                Some(response) => response,
                None => return self.failure(&timed_out(limit), form),
            }
        };
        if let Some(seat) = seat {
            seat.headers.add_to(response.headers_mut());
        }
        if zipped && !lasting { compress::compress(response) } else { response }
    }

    /// Waits until it is the request's turn; 429 if that takes too long or too many wait already.
    async fn enter(
        &self,
        identity: &Identity,
        request: &Arrived,
        patience: Duration,
    ) -> Result<Option<Seat>, Response> {
        // What lasts as long as its sender likes would never give its seat back.
        if objects::is_stream(&request.route) {
            return Ok(None);
        }
        let asked = (&request.route, &request.query);
        match self.core.flow.enter(&self.core, identity, asked, patience).await {
            Ok(seat) => Ok(Some(seat)),
            Err(headers) => {
                let mut response = answer::too_many_requests();
                headers.add_to(response.headers_mut());
                Err(response)
            }
        }
    }

    /// Who sent a request: by its certificate, else by its token. A certificate that proves nothing is no harm to whom a
    /// token speaks for.
    async fn authenticate(&self, connection: &Connection, request: &Arrived) -> Result<Arc<Identity>, ()> {
        if connection.is_front_proxy
            && let Some(identity) = authn::front_proxy::spoken_for(&request.headers)
        {
            return Ok(Arc::new(identity));
        }
        if let Ok(Some(identity)) = &connection.certified {
            return Ok(identity.clone());
        }
        let has_token = request.headers.contains_key(http::header::AUTHORIZATION);
        if connection.certified.is_err() && !has_token {
            return Err(());
        }
        let (headers, path) = (&request.headers, request.route.path.as_str());
        let identified = self.core.authenticator.identify(&self.core, headers, path).await;
        identified.map(Arc::new).map_err(|error| tracing::debug!(%error, "credentials were refused"))
    }

    /// How long the request may take.
    fn limit(&self, request: &Arrived) -> Result<Duration, Status> {
        let most = self.core.config.limits.request;
        // What is passed on has parameters of its own.
        if objects::is_stream(&request.route) {
            return Ok(most);
        }
        let Some(text) = request.query.get("timeout").filter(|text| !text.is_empty()) else {
            return Ok(most);
        };
        let wanted = query::go_parse_duration(text).map_err(|why| {
            Status::bad_request(format!("invalid timeout specified in the request URL - {why}"))
        })?;
        Ok(if wanted.is_zero() { most } else { wanted.min(most) })
    }

    async fn dispatch(&self, identity: Arc<Identity>, request: Arrived, form: Form) -> Response {
        if let Err(status) = self.authorize(&identity, &request).await {
            return self.failure(&status, form);
        }
        if let Some(foreign) = self.core.aggregation.serving(&request.route.path) {
            return Box::pin(proxy::foreign::answer(&self.core, &identity, &foreign, request)).await;
        }
        if request.route.is_resource {
            Box::pin(objects::answer(&self.core, &identity, request, form)).await
        } else {
            let response = paths::answer(&self.core, &request).await;
            let response = response.unwrap_or_else(|status| self.failure(&status, form));
            self.core.metrics.other_requests.count(&request.route.verb, response.status().as_u16());
            response
        }
    }

    fn failure(&self, status: &Status, form: Form) -> Response {
        answer::failure(self.core.registry.load().table(), status, form)
    }

    async fn authorize(&self, identity: &Identity, request: &Arrived) -> Result<(), Status> {
        let Arrived { route, query, .. } = request;
        let selectors = if matches!(route.verb.as_str(), "list" | "watch" | "deletecollection") {
            Selectors::read(query.text("fieldSelector"), query.text("labelSelector"))
        } else {
            None
        };
        let attributes = Attributes {
            identity,
            verb: &route.verb,
            is_resource: route.is_resource,
            path: &route.path,
            group: &route.group,
            resource: &route.resource,
            subresource: &route.subresource,
            namespace: &route.namespace,
            name: &route.name,
            selectors: selectors.as_ref(),
        };
        let decision = self.core.authorizer.authorize(&attributes).await;
        let (word, reason) = match &decision {
            Decision::Allow(reason) => ("allow", reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => ("forbid", reason),
        };
        if let Some(record) = &request.record {
            record.note("authorization.k8s.io/decision", word);
            record.note("authorization.k8s.io/reason", reason);
        }
        if word == "allow" { Ok(()) } else { Err(authz::forbidden(&attributes, reason)) }
    }
}

fn timed_out(limit: Duration) -> Status {
    let message = format!(
        "Timeout: request did not complete within the allotted timeout of {} seconds",
        limit.as_secs()
    );
    let mut status = Status::new(504, Reason::Timeout, message);
    status.details = Some(Box::default());
    status
}

impl Arrived {
    /// A header as text; empty if it is not there.
    pub fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A body that is too large is read on for this many times the limit, so that its sender gets to see the answer.
const DRAIN: usize = 8;

/// Reads a body, as far as the limit allows.
pub(crate) async fn read_body(body: RequestBody, limit: usize) -> Result<Bytes, Status> {
    let mut body = std::pin::pin!(body);
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > limit {
            // What is too much is not kept.
            first = None;
            joined = BytesMut::new();
            if length > limit.saturating_mul(DRAIN) {
                break;
            }
            continue;
        }
        match first.take() {
            // Most bodies come in one piece, which needs no copy.
            None if joined.is_empty() => first = Some(data),
            None => joined.extend_from_slice(&data),
            Some(begin) => {
                joined.extend_from_slice(&begin);
                joined.extend_from_slice(&data);
            }
        }
    }
    if length > limit {
        let message = format!("Request entity too large: limit is {limit}");
        return Err(Status::new(413, Reason::RequestEntityTooLarge, message));
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

impl Handler for Requests {
    type Connection = Connection;

    fn connected(&self, peer: Peer) -> Connection {
        let certified = self.core.authenticator.connected(&peer, self.core.env.clock.now());
        let certified = certified.map(|identity| identity.map(Arc::new)).map_err(|error| {
            tracing::debug!(address = %peer.address, %error, "a client certificate was refused");
        });
        let is_front_proxy = self.core.authenticator.is_front_proxy(&peer, self.core.env.clock.now());
        Connection { certified, is_front_proxy, peer }
    }

    async fn handle(&self, connection: &Arc<Connection>, request: http::Request<RequestBody>) -> Response {
        let given = request.headers().get("audit-id").cloned();
        let id = given.or_else(|| HeaderValue::from_str(&self.core.env.entropy.uuid()).ok());
        let mut id = id.unwrap_or_else(|| HeaderValue::from_static(""));
        // No secret, but no two are alike: so HTTP/2 does not try to remember it.
        id.set_sensitive(true);
        let mut response = self.answer(connection, request, &id).await;
        response.headers_mut().insert("audit-id", id);
        response
    }
}
