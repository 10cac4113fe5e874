//! Answers: documents, objects, lists and watches in the form the client asked for.

pub mod lists;
pub mod objects;
pub mod table;
pub mod watches;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WARNING};
use http::{HeaderValue, StatusCode};
use machinery::{Status, Value};

use crate::http::accept::{Form, Media};
use crate::http::indent::indent;
use crate::http::{Body, Response};

/// An answer with upstream's headers.
pub fn respond(code: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    response
}

/// Plain text.
pub fn text(code: u16, text: impl Into<Body>) -> Response {
    let mut response = respond(code, "text/plain; charset=utf-8", text);
    response
        .headers_mut()
        .insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `404 page not found`, for paths that nobody serves.
pub fn page_not_found() -> Response {
    text(404, "404 page not found\n")
}

/// A failure.
pub fn failure(status: &Status, form: Form) -> Response {
    let mut response = document(status.code, &status.to_value(), form);
    if let Some(details) = &status.details
        && details.retry_after_secs > 0
        && matches!(status.code, 429 | 500 | 503 | 504)
    {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, HeaderValue::from(details.retry_after_secs));
    }
    response
}

/// A document that is no object of a resource: a `Status`, a review, discovery.
pub fn document(code: u16, document: &Value, form: Form) -> Response {
    respond(code, form.media.name(), encode(document, form))
}

/// A document in an encoding.
pub fn encode(document: &Value, form: Form) -> Bytes {
    match form.media {
        Media::Yaml => Bytes::from(machinery::yaml::encode(document)),
        Media::Json | Media::Protobuf => json_text(machinery::json::to_vec(document), form.pretty),
    }
}

/// JSON as upstream sends it: indented for people, and with a line feed at the end.
pub fn json_text(compact: Vec<u8>, pretty: bool) -> Bytes {
    if pretty {
        return Bytes::from(indent(&compact));
    }
    let mut compact = compact;
    compact.push(b'\n');
    Bytes::from(compact)
}

/// Adds what the client should be told beside the answer.
pub fn warn(response: &mut Response, warnings: &[String]) {
    /// What warnings may weigh together; what goes beyond is left out, as upstream does.
    const MAX: usize = 4 * 1024;
    let mut sent: Vec<String> = Vec::new();
    let mut weight = 0;
    for warning in warnings {
        let clean: String = warning.chars().filter(|letter| !letter.is_control()).collect();
        let quoted = clean.replace('\\', "\\\\").replace('"', "\\\"");
        let value = format!("299 - \"{quoted}\"");
        weight += value.len();
        if sent.contains(&value) || weight > MAX {
            continue;
        }
        if let Ok(header) = HeaderValue::from_bytes(value.as_bytes()) {
            response.headers_mut().append(WARNING, header);
        }
        sent.push(value);
    }
}
