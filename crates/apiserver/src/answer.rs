//! Answers: documents, objects, lists and watches in the form the client asked for.

pub mod lists;
pub mod messages;
pub mod metadata;
pub mod objects;
pub mod table;
pub mod watches;

use api::Table;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WARNING};
use http::{HeaderValue, StatusCode};
use machinery::json::TypeMeta;
use machinery::{Status, Value, protobuf};

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
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `404 page not found`, for paths that nobody serves.
pub fn page_not_found() -> Response {
    text(404, "404 page not found\n")
}

/// A failure.
pub fn failure(table: &Table, status: &Status, form: Form) -> Response {
    let mut response = document(table, status.code, &status.to_value(), form);
    if let Some(details) = &status.details
        && details.retry_after_secs > 0
        && matches!(status.code, 429 | 500 | 503 | 504)
    {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(details.retry_after_secs));
    }
    response
}

/// 429 in upstream's words: plain text, for it is said before anything is known of the request's form.
pub fn too_many_requests() -> Response {
    let mut response = text(429, "Too many requests, please try again later.\n");
    response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(1));
    response
}

/// A document that is no object of a resource: a `Status`, a review, discovery.
pub fn document(table: &Table, code: u16, document: &Value, form: Form) -> Response {
    match encode(table, document, form) {
        Some(body) => respond(code, form.media.name(), body),
        // What has no protobuf form is sent as JSON, as upstream does.
        None => respond(code, Media::Json.name(), json_text(machinery::json::to_vec(document), form.pretty)),
    }
}

/// A document in an encoding; `None` if it has no such form.
pub fn encode(table: &Table, document: &Value, form: Form) -> Option<Bytes> {
    Some(match form.media {
        Media::Yaml => Bytes::from(machinery::yaml::encode(document)),
        Media::Json => json_text(machinery::json::to_vec(document), form.pretty),
        Media::Protobuf => {
            let mut message = Vec::with_capacity(1_024);
            let meta = type_meta(document);
            let kind = table.kind_of(&meta.api_version, &meta.kind)?;
            protobuf::encode(document, table.type_of(kind), &mut message);
            sealed(&meta, &message)
        }
    })
}

fn type_meta(document: &Value) -> TypeMeta {
    let api_version = match document.get("apiVersion").str_or_empty() {
        // The list of the core group's resources does not say.
        "" => "v1",
        named => named,
    };
    TypeMeta { api_version: api_version.into(), kind: document.get("kind").str_or_empty().into() }
}

/// A message in its envelope.
fn sealed(meta: &TypeMeta, message: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(message.len() + 64);
    protobuf::seal(meta, message, &mut body);
    Bytes::from(body)
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
