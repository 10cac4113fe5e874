//! Requests for what another server serves: passed on as they are, with headers that say who asks.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};

use super::rewrite::Rewriter;
use super::{back, is_upgrade, outgoing, send_over, unreachable, upgraded};
use crate::aggregation::{Foreign, speak_for};
use crate::core::Core;
use crate::handler::Arrived;
use crate::hook;
use crate::http::{Body, Response};
use crate::identity::Identity;

/// Passes a request on to another server, and its answer back.
pub(crate) async fn answer(
    core: &Arc<Core>,
    identity: &Identity,
    foreign: &Foreign,
    request: Arrived,
) -> Response {
    if !foreign.is_available {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    }
    let connection = match foreign.connection() {
        Ok(connection) => connection,
        Err(why) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
    };
    let address = match foreign.address(core) {
        Ok(address) => address,
        Err(why) => {
            tracing::warn!(?foreign, why, "a foreign server cannot be found");
            return refused(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
        }
    };
    let wants_upgrade = is_upgrade(&request.headers);
    let target = request.raw.target.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let mut headers = outgoing(&request, &target, wants_upgrade);
    if let Some(encoding) = request.headers.get(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, encoding.clone());
    }
    if let Ok(host) = HeaderValue::from_str(&address) {
        headers.insert(HOST, host);
    }
    speak_for(identity, &mut headers);
    let passed = Request::builder().method(request.method.clone()).uri(target).body(request.body);
    let mut passed = match passed {
        Ok(passed) => passed,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    *passed.headers_mut() = headers;
    let sent = async {
        let stream = connection.open_at(&address).await;
        let stream = stream.map_err(|error| unreachable(&hook::told(&error)))?;
        let response = send_over(core, stream, passed).await?;
        match wants_upgrade {
            true => upgraded(core, response, request.upgrade),
            false => Ok(back(response, Rewriter::nothing())),
        }
    };
    match sent.await {
        Ok(response) => response,
        Err(status) => refused(StatusCode::SERVICE_UNAVAILABLE, &status.message),
    }
}

/// A refusal in plain text, as upstream's aggregator gives it.
fn refused(code: StatusCode, why: &str) -> Response {
    let mut response = Response::new(Body::from(format!("{why}\n")));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
