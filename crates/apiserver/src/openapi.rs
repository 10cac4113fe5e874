//! OpenAPI v3, as the table of kinds generates it: one document for each group and version, made when it is first asked
//! for.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use api::openapi;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Response as HttpResponse};
use machinery::{Status, Value};

use crate::answer;
use crate::core::Core;
use crate::handler::Arrived;
use crate::http::{Body, Response};
use crate::registry::Registry;

/// Documents that were asked for, by path below `/openapi/v3/`.
#[derive(Debug, Default)]
pub struct Documents {
    made: Mutex<BTreeMap<String, Arc<Document>>>,
}

/// A document and what tells its versions apart.
#[derive(Debug)]
struct Document {
    body: Bytes,
    hash: String,
}

impl Documents {
    /// Forgets all of them, for what is served has changed.
    pub fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, registry: &Registry, path: &str) -> Option<Arc<Document>> {
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = lock().get(path) {
            return Some(document.clone());
        }
        let value = make(registry, path)?;
        let document = Arc::new(Document::new(&value));
        lock().insert(path.to_owned(), document.clone());
        Some(document)
    }
}

impl Document {
    fn new(value: &Value) -> Document {
        let body = Bytes::from(machinery::json::to_vec(value));
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Document { body, hash: format!("{:016X}", hasher.finish()) }
    }
}

/// The paths that have a document: `api`, `api/v1`, `apis`, `apis/apps`, `apis/apps/v1`…
fn paths(registry: &Registry) -> Vec<String> {
    let mut paths = vec!["api".to_owned(), "apis".to_owned()];
    for served in registry.all() {
        if served.group.is_empty() {
            paths.push(format!("api/{}", served.version));
        } else {
            paths.push(format!("apis/{}", served.group));
            paths.push(format!("apis/{}/{}", served.group, served.version));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

fn make(registry: &Registry, path: &str) -> Option<Value> {
    let table = registry.table();
    let of = |group: &str, version: &str| {
        table.group_versions().iter().find(|known| known.group == group && known.version == version)
    };
    let served = |group: &str| registry.all().iter().any(|served| served.group == group);
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api"] => Some(openapi::v3_group(table, "")),
        ["apis"] => Some(openapi::v3_groups(table)),
        ["api", version] => Some(openapi::v3(table, of("", version)?)),
        ["apis", group] if served(group) => Some(openapi::v3_group(table, group)),
        ["apis", group, version] if served(group) => Some(openapi::v3(table, of(group, version)?)),
        _ => None,
    }
}

/// Answers a request below `/openapi`; `None` where there is nothing.
pub fn answer(core: &Core, request: &Arrived) -> Option<Result<Response, Status>> {
    let registry = core.registry.load();
    let path = request.route.path.trim_end_matches('/');
    let path = path.strip_prefix("/openapi/v3")?.trim_start_matches('/');
    if path.is_empty() {
        return Some(Ok(root(core, &registry)));
    }
    let document = core.openapi.get(&registry, path)?;
    Some(Ok(serve(&document, request)))
}

/// The list of documents, each with the hash of what it holds.
fn root(core: &Core, registry: &Registry) -> Response {
    let mut listed = Value::object();
    for path in paths(registry) {
        let Some(document) = core.openapi.get(registry, &path) else { continue };
        let url = format!("/openapi/v3/{path}?hash={}", document.hash);
        listed.set(&path, Value::from([("serverRelativeURL", Value::from(url))]));
    }
    let body = machinery::json::to_vec(&Value::from([("paths", listed)]));
    answer::respond(200, "text/plain; charset=utf-8", body)
}

fn serve(document: &Document, request: &Arrived) -> Response {
    let tag = format!("\"{}\"", document.hash);
    let known = request.headers.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == tag.as_bytes());
    let mut response: HttpResponse<Body> = if known {
        answer::respond(304, "application/json", Body::empty())
    } else {
        answer::respond(200, "application/json", document.body.clone())
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    // A document that is asked for by its hash never changes.
    if request.query.text("hash") == document.hash {
        let ever = HeaderValue::from_static("public, immutable");
        response.headers_mut().insert(CACHE_CONTROL, ever);
    }
    response
}
