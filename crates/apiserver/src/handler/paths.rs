//! Requests that are not about objects: versions, health, discovery, metrics.

use http::Method;
use machinery::{Status, Value};

use super::Arrived;
use crate::answer;
use crate::core::Core;
use crate::discovery;
use crate::health::Endpoint;
use crate::http::accept::{self, DOCUMENTS, Media};
use crate::http::{Body, Response};
use crate::registry::{method_not_allowed, no_such_resource};
use crate::version;

/// Answers a request for a path that names no resource.
pub(super) async fn answer(core: &Core, request: &Arrived) -> Result<Response, Status> {
    let path = request.route.path.as_str();
    if let Some((endpoint, check)) = Endpoint::of(path) {
        let report = core.health.report(endpoint, check, &request.query, core.seals.health().await);
        return Ok(answer::text(report.code, report.text));
    }
    let registry = core.registry.load();
    let trimmed = path.trim_end_matches('/');
    match trimmed {
        "/version" => {
            let form = accept::negotiate(&request.headers, &request.query, DOCUMENTS).unwrap_or_default();
            Ok(answer::document(
                registry.table(),
                200,
                &version::document(),
                accept::Form { media: Media::Json, pretty: true, ..form },
            ))
        }
        "/openid/v1/jwks" => {
            let keys = machinery::json::to_vec(&core.tokens.key_set());
            Ok(answer::respond(200, "application/jwk-set+json", keys))
        }
        "/.well-known/openid-configuration" => {
            Ok(answer::respond(200, "application/json", machinery::json::to_vec(&issuer(core))))
        }
        "/metrics" => {
            let mut text = core.metrics.text(&registry);
            core.flow.metrics(&mut text);
            Ok(answer::respond(200, crate::metrics::CONTENT_TYPE, text))
        }
        _ if trimmed.starts_with("/openapi/") => {
            crate::openapi::answer(core, request).unwrap_or_else(|| Ok(nothing()))
        }
        _ => discover(core, request, trimmed),
    }
}

/// What others need to know to check service-account tokens.
fn issuer(core: &Core) -> Value {
    let texts = |list: &[&str]| Value::from(list.iter().map(|text| Value::from(*text)).collect::<Vec<_>>());
    let address = format!("https://{}:{}", core.config.advertise, core.port());
    Value::from([
        ("issuer", Value::from(core.config.issuer.as_str())),
        ("jwks_uri", Value::from(format!("{address}/openid/v1/jwks"))),
        ("response_types_supported", texts(&["id_token"])),
        ("subject_types_supported", texts(&["public"])),
        ("id_token_signing_alg_values_supported", texts(&core.tokens.algorithms())),
    ])
}

/// 404 without a word.
fn nothing() -> Response {
    let mut response = answer::respond(404, "text/plain", Body::empty());
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    response
}

fn discover(core: &Core, request: &Arrived, path: &str) -> Result<Response, Status> {
    let registry = core.registry.load();
    let found = match discovery::find(&registry, core, path) {
        Some(found) => found,
        None if discovery::is_known_group(&registry, path) => return Err(no_such_resource()),
        None => return Ok(answer::page_not_found()),
    };
    if !matches!(request.method, Method::GET | Method::HEAD) && found.get_only {
        return Err(method_not_allowed());
    }
    discovery::answer(&registry, found, request)
}
