//! Requests that are not about objects: versions, health, discovery, metrics.

use http::Method;
use machinery::Status;

use super::Arrived;
use crate::answer;
use crate::core::Core;
use crate::discovery;
use crate::health::Endpoint;
use crate::http::Response;
use crate::http::accept::{self, DOCUMENTS, Media};
use crate::registry::{method_not_allowed, no_such_resource};
use crate::version;

/// Answers a request for a path that names no resource.
pub(super) fn answer(core: &Core, request: &Arrived) -> Result<Response, Status> {
    let path = request.route.path.as_str();
    if let Some((endpoint, check)) = Endpoint::of(path) {
        let report = core.health.report(endpoint, check, &request.query);
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
        "/metrics" => Ok(answer::respond(200, crate::metrics::CONTENT_TYPE, core.metrics.text())),
        _ if trimmed.starts_with("/openapi/") => {
            crate::openapi::answer(core, request).unwrap_or_else(|| Ok(answer::page_not_found()))
        }
        _ => discover(core, request, trimmed),
    }
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
