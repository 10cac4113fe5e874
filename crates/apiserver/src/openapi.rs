//! OpenAPI as the table of kinds generates it: version 2 in one document, version 3 in one for each group and version.
//! Documents are made when they are first asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use api::openapi;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, Response as HttpResponse};
use machinery::{Status, Value};

use crate::aggregation;
use crate::answer;
use crate::core::Core;
use crate::handler::Arrived;
use crate::http::{Body, Response};
use crate::registry::Registry;

/// The document of version 2.
const TWO: &str = "v2";
/// Below this are the documents of version 3.
const THREE: &str = "v3/";

/// Documents that were asked for.
#[derive(Debug, Default)]
pub struct Documents {
    made: Mutex<Made>,
}

/// What was made of one state of the registry, by path below `/openapi/`.
#[derive(Debug, Default)]
struct Made {
    generation: u64,
    documents: BTreeMap<String, Arc<Document>>,
}

/// A document and what tells its versions apart.
#[derive(Debug)]
struct Document {
    json: Bytes,
    message: Bytes,
    hash: String,
}

impl Documents {
    fn get(&self, core: &Core, registry: &Registry, path: &str) -> Option<Arc<Document>> {
        // Both only grow.
        let generation = registry.generation() + core.aggregation.generation();
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut made = lock();
            if made.generation < generation {
                *made = Made { generation, ..Made::default() };
            }
            if let Some(document) = made.documents.get(path).filter(|_| made.generation == generation) {
                return Some(document.clone());
            }
        }
        let mut value = make(registry, path)?;
        if path == TWO {
            for foreign in core.aggregation.all() {
                aggregation::merge(&mut value, &foreign.said().openapi, &foreign.path());
            }
        }
        let message = if path == TWO { openapi::encode_v2(&value) } else { openapi::encode_v3(&value) };
        let document = Arc::new(Document::new(&value, message));
        let mut made = lock();
        if made.generation == generation {
            made.documents.insert(path.to_owned(), document.clone());
        }
        Some(document)
    }
}

impl Document {
    fn new(value: &Value, message: Vec<u8>) -> Document {
        let json = Bytes::from(machinery::json::to_vec(value));
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        Document { json, message: Bytes::from(message), hash: format!("{:016X}", hasher.finish()) }
    }
}

/// The paths that have a document of version 3: `api`, `api/v1`, `apis`, `apis/apps`, `apis/apps/v1`…
fn paths(registry: &Registry) -> Vec<String> {
    let fixed = ["api", "apis", "version", "openid/v1/jwks", ".well-known/openid-configuration"];
    let mut paths: Vec<String> = fixed.into_iter().map(str::to_owned).collect();
    for served in registry.all() {
        if served.group.is_empty() {
            paths.push(format!("api/{}", served.version));
        } else {
            if served.custom.is_none() {
                paths.push(format!("apis/{}", served.group));
            }
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
    let is_built_in = |group: &str| table.group_versions().iter().any(|known| known.group == group);
    let Some(path) = path.strip_prefix(THREE) else { return Some(openapi::v2(table, &custom(registry))) };
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api"] => Some(openapi::v3_group(table, "")),
        ["apis"] => Some(openapi::v3_groups(table)),
        ["api", version] => Some(openapi::v3(table, of("", version)?)),
        ["apis", group] if is_built_in(group) && served(group) => Some(openapi::v3_group(table, group)),
        ["apis", group, version] if served(group) => match of(group, version) {
            Some(known) => Some(openapi::v3(table, known)),
            None => {
                let mut resources = custom(registry);
                resources.retain(|resource| resource.group == *group && resource.version == *version);
                (!resources.is_empty()).then(|| openapi::v3_custom(table, group, version, &resources))
            }
        },
        _ => openapi::v3_extra(table, path),
    }
}

/// All custom resources, as OpenAPI is told of them.
fn custom(registry: &Registry) -> Vec<openapi::Custom<'_>> {
    let all = registry.all().iter();
    all.filter_map(|served| {
        let custom = served.custom.as_ref()?;
        Some(openapi::Custom {
            group: &served.group,
            version: &served.version,
            plural: &served.plural,
            kind: &served.kind,
            list_kind: &served.list_kind,
            namespaced: served.namespaced,
            status: custom.kind.status,
            scale: custom.kind.scale.is_some(),
            schema: &custom.published,
        })
    })
    .collect()
}

/// Answers a request below `/openapi`; `None` where there is nothing.
pub fn answer(core: &Core, request: &Arrived) -> Option<Result<Response, Status>> {
    let registry = core.registry.load();
    let path = request.route.path.trim_end_matches('/').strip_prefix("/openapi/")?;
    if path == "v3" {
        return Some(Ok(root(core, &registry)));
    }
    if path != TWO && !path.starts_with(THREE) {
        return None;
    }
    // What is nowhere is answered without a word, as upstream does.
    let document = core.openapi.get(core, &registry, path);
    Some(Ok(document.map_or_else(|| bare(404), |document| serve(&document, path, request))))
}

/// The list of documents, each with the hash of what it holds.
fn root(core: &Core, registry: &Registry) -> Response {
    let mut listed = Value::object();
    let foreign = core.aggregation.all();
    let elsewhere: BTreeMap<String, String> = foreign
        .iter()
        .map(|own| (own.path().trim_start_matches('/').to_owned(), own.said().openapi_three.clone()))
        .collect();
    let all: BTreeSet<String> = paths(registry).into_iter().chain(elsewhere.keys().cloned()).collect();
    for path in all {
        match elsewhere.get(&path).map(String::as_str) {
            Some("") => continue,
            Some(url) => {
                listed.set(&path, Value::from([("serverRelativeURL", Value::from(url))]));
                continue;
            }
            None => {}
        }
        let Some(document) = core.openapi.get(core, registry, &format!("{THREE}{path}")) else { continue };
        let url = format!("/openapi/v3/{path}?hash={}", document.hash);
        listed.set(&path, Value::from([("serverRelativeURL", Value::from(url))]));
    }
    let body = machinery::json::to_vec(&Value::from([("paths", listed)]));
    answer::respond(200, "text/plain; charset=utf-8", body)
}

/// An answer without a body.
fn bare(code: u16) -> Response {
    let mut response = answer::respond(code, "text/plain", Body::empty());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// The form in which a client takes a document: its media type and whether that is protobuf; `None` if it takes neither.
fn form(path: &str, accept: &str) -> Option<(&'static str, bool)> {
    const JSON: (&str, bool) = ("application/json", false);
    let (name, message) = match path {
        TWO => {
            ("com.github.proto-openapi.spec.v2", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        }
        _ => {
            ("com.github.proto-openapi.spec.v3", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf")
        }
    };
    if accept.trim().is_empty() {
        return Some(JSON);
    }
    accept.split(',').find_map(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        let kind = range.strip_prefix("application/").and_then(|kind| kind.strip_prefix(name));
        match (range, kind) {
            ("*/*" | "application/*" | "application/json", _) => Some(JSON),
            (_, Some(".v1.0+protobuf" | "@v1.0+protobuf")) => Some((message, true)),
            _ => None,
        }
    })
}

fn serve(document: &Document, path: &str, request: &Arrived) -> Response {
    let accept = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let Some((media, is_message)) = form(path, &accept.collect::<Vec<_>>().join(",")) else {
        return bare(406);
    };
    let tag = format!("\"{}\"", document.hash);
    let known = request.headers.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == tag.as_bytes());
    let body = if is_message { &document.message } else { &document.json };
    let mut response: HttpResponse<Body> =
        if known { bare(304) } else { answer::respond(200, media, body.clone()) };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    // A document that is asked for by its hash never changes.
    if request.query.text("hash") == document.hash {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_the_form_they_take() {
        let two = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        for (accept, media) in [
            ("", Some("application/json")),
            ("*/*", Some("application/json")),
            ("application/json;q=0.9, */*", Some("application/json")),
            (two, Some(two)),
            ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", Some(two)),
            (
                "text/html, application/com.github.proto-openapi.spec.v2@v1.0+protobuf,application/json",
                Some(two),
            ),
            ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", None),
            ("text/html", None),
        ] {
            assert_eq!(form(TWO, accept).map(|(media, _)| media), media, "{accept}");
        }
    }
}
