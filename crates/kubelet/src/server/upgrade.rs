//! Requests that turn their connection into something else.

use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use machinery::Status;

use super::Answer;

/// What a header lists, over all its lines.
pub(super) fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn asks_for(headers: &HeaderMap, protocol: &str) -> bool {
    let says = |name, word: &str| listed(headers, &name).iter().any(|part| part.eq_ignore_ascii_case(word));
    says(CONNECTION, "upgrade") && says(UPGRADE, protocol)
}

/// Whether the connection is to speak SPDY.
pub(super) fn is_spdy(headers: &HeaderMap) -> bool {
    asks_for(headers, "SPDY/3.1")
}

/// Refuses what is not to become a WebSocket.
pub(super) fn expect_websocket(headers: &HeaderMap) -> Result<(), Status> {
    if asks_for(headers, "websocket") {
        return Ok(());
    }
    let shown = |name| listed(headers, &name).join(", ");
    Err(Status::bad_request(format!(
        "unable to upgrade: missing upgrade headers in request: Connection: {:?}, Upgrade: {:?}",
        shown(CONNECTION),
        shown(UPGRADE)
    )))
}

/// The answer after which the connection speaks `protocol`.
pub(super) fn switching(protocol: &'static str) -> Answer {
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    answer
}
