//! The parsers of what strangers put around bodies, as far as they are pure: a door for those who try them with
//! whatever comes to mind. Each answers just enough to see how it took what it was given.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use machinery::Status;

use crate::authn::jwt;
use crate::encryption::config;
use crate::encryption::kms::envelope::{self, Envelope};
use crate::encryption::kms::message;
use crate::http::accept;
use crate::openapi;
use crate::query::Query;
use crate::route::Route;
use crate::verbs::list;
use crate::verbs::list::token::Token;

/// The verb of a request on a resource; `None` if its path names none.
pub fn route(method: &str, path: &str, query: &str) -> Option<String> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let route = Route::read(&method, path, &Query::parse(query));
    route.is_resource.then_some(route.verb)
}

/// Whether the parameters of a list or a watch hold together.
pub fn list_options(query: &str, watch: bool) -> Result<(), Status> {
    let options = list::Options::read(&Query::parse(query), watch)?;
    options.revision().map(drop)
}

/// The token of a list, read and written again.
pub fn continue_token(text: &str) -> Result<String, Status> {
    Token::decode(text).map(|token| token.encode())
}

/// The media type that an `Accept` header picks.
pub fn form(header: &[u8], query: &str) -> Result<String, Status> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert(ACCEPT, value);
    }
    let query = Query::parse(query);
    accept::check_route(&headers, true)?;
    accept::negotiate_custom(&headers, &query, true)?;
    accept::negotiate(&headers, &query, accept::DOCUMENTS)?;
    let form = accept::negotiate(&headers, &query, accept::OBJECTS)?;
    Ok(format!("{} {:?}", form.media.name(), form.shape))
}

/// The media type in which a document of OpenAPI is sent.
pub fn openapi_form(header: &str) -> Option<&'static str> {
    openapi::form("v2", header).or_else(|| openapi::form("v3/api", header)).map(|(media, _)| media)
}

/// Whether a text is a JSON Web Token in form.
pub fn web_token(text: &str) -> bool {
    jwt::Token::parse(text).is_some()
}

/// A value that a plugin's key sealed, read and written again.
pub fn sealed_value(stored: &[u8]) -> Result<Vec<u8>, String> {
    let read = Envelope::decode(stored)?;
    Ok(envelope::encode(b"", read.data, &envelope::tail(&read.source, read.usage)))
}

/// What a plugin that keeps keys may have answered: of its three answers those that a message can be.
pub fn plugin_answers(message: &[u8]) -> [bool; 3] {
    let sealed = message::encrypt_answer(message);
    [
        message::status_answer(message).is_ok(),
        sealed.is_ok_and(|source| envelope::check(&source).is_ok()),
        message::decrypt_answer(message).is_ok(),
    ]
}

/// What is wrong with an `EncryptionConfiguration`, if anything is.
pub fn encryption_configuration(text: &str) -> Result<(), String> {
    config::parse(text).map(drop).map_err(|error| error.to_string())
}
