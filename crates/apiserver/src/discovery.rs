//! Which groups, versions and resources there are: the legacy documents and the aggregated one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::discovery::{self as documents, Entry, SubEntry, Version};
use http::HeaderValue;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use machinery::{Status, Value};

use crate::aggregation::Foreign;
use crate::answer;
use crate::core::Core;
use crate::definitions::precedence;
use crate::handler::Arrived;
use crate::http::Response;
use crate::http::accept::{self, DOCUMENTS};
use crate::registry::{Registry, Served};

/// A discovery document.
#[derive(Debug)]
pub struct Found {
    document: Value,
    /// The aggregated form, where there is one.
    aggregated: Option<Value>,
    /// Whether other methods than GET are refused.
    pub get_only: bool,
}

/// How preferred the groups and versions of custom resources are, as upstream registers them.
const CUSTOM_PRIORITY: (i64, i64) = (1_000, 100);
/// What asks for the aggregated form.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The document at a path (without a slash at its end).
pub fn find(registry: &Registry, core: &Core, path: &str) -> Option<Found> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let plain = |document: Value, get_only| {
        (!document.is_null()).then_some(Found { document, aggregated: None, get_only })
    };
    let foreign = core.aggregation.all();
    let versions = together(registry, &foreign);
    let of = |group: &str, version: &str| {
        versions.iter().find(|served| served.group == group && served.version == version)
    };
    let aggregated = |of_core| {
        let mut document = documents::aggregated(&versions, of_core, |_| false);
        foreign.iter().for_each(|own| tell(&mut document, own));
        Some(document)
    };
    match parts.as_slice() {
        [""] => plain(paths(&versions), false),
        ["api"] => Some(Found {
            document: documents::api_versions(&format!("{}:{}", core.config.advertise, core.port())),
            aggregated: aggregated(true),
            get_only: true,
        }),
        ["apis"] => Some(Found {
            document: documents::group_list(&versions),
            aggregated: aggregated(false),
            get_only: false,
        }),
        ["api", version] => plain(documents::resource_list(of("", version)?), true),
        ["apis", group] if !group.is_empty() => {
            let group: Vec<Version<'_>> =
                versions.iter().filter(|version| version.group == *group).cloned().collect();
            plain(documents::group(&group), false)
        }
        ["apis", group, version] if !group.is_empty() => {
            plain(documents::resource_list(of(group, version)?), true)
        }
        _ => None,
    }
}

/// Whether a path that has no document lies in a group that is known.
pub fn is_known_group(registry: &Registry, path: &str) -> bool {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", ..] => true,
        ["apis", group, ..] => registry.all().iter().any(|served| served.group == *group),
        _ => false,
    }
}

/// Whether a group and version serve anything.
pub fn is_known_version(registry: &Registry, group: &str, version: &str) -> bool {
    registry.all().iter().any(|served| served.group == group && served.version == version)
}

/// 404 for a group or version that does not exist: in words where the group does.
pub fn nowhere(registry: &Registry, group: &str, form: crate::http::accept::Form) -> Response {
    if registry.all().iter().any(|served| served.group == group) {
        return answer::failure(registry.table(), &crate::registry::no_such_resource(), form);
    }
    answer::page_not_found()
}

/// Answers with a document.
pub fn answer(registry: &Registry, found: Found, request: &Arrived) -> Result<Response, Status> {
    let wanted = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(aggregated) = &found.aggregated
        && asks_for_aggregated(wanted)
    {
        return Ok(aggregated_answer(aggregated, request));
    }
    let form = accept::negotiate(&request.headers, &request.query, DOCUMENTS)?;
    Ok(answer::document(registry.table(), 200, &found.document, form))
}

fn asks_for_aggregated(accept: &str) -> bool {
    let first_fit = accept
        .split(',')
        .map(|clause| clause.replace(' ', ""))
        .find(|clause| clause.contains("as=APIGroupDiscoveryList") || !clause.contains(";as="));
    first_fit.is_some_and(|clause| {
        let has = |parameter: &str| clause.split(';').any(|part| part == parameter);
        has("as=APIGroupDiscoveryList") && has("g=apidiscovery.k8s.io") && has("v=v2")
    })
}

fn aggregated_answer(document: &Value, request: &Arrived) -> Response {
    let body = answer::json_text(machinery::json::to_vec(document), false);
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016X}\"", hasher.finish());
    let known = request.headers.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        answer::respond(304, AGGREGATED, crate::http::Body::empty())
    } else {
        answer::respond(200, AGGREGATED, body)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

fn paths(versions: &[Version<'_>]) -> Value {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/apis".to_owned(),
        "/apis/".to_owned(),
        "/healthz".to_owned(),
        "/livez".to_owned(),
        "/metrics".to_owned(),
        "/openapi/v2".to_owned(),
        "/openapi/v3".to_owned(),
        "/openapi/v3/".to_owned(),
        "/openid/v1/jwks".to_owned(),
        "/readyz".to_owned(),
        "/version".to_owned(),
    ];
    for served in versions {
        let root =
            if served.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", served.group) };
        paths.push(format!("{root}/{}", served.version));
        paths.push(root);
    }
    paths.sort();
    paths.dedup();
    Value::from([("paths", Value::from(paths.into_iter().map(Value::from).collect::<Vec<_>>()))])
}

/// What is served here and elsewhere, in the order of preference.
fn together<'a>(registry: &'a Registry, foreign: &'a [Arc<Foreign>]) -> Vec<Version<'a>> {
    let mut all = versions(registry);
    if foreign.is_empty() {
        return all;
    }
    // Who registered a group and version at another server wants that one to be asked.
    let is_foreign = |own: &Version<'_>| {
        foreign.iter().any(|other| other.group == own.group && other.version == own.version)
    };
    all.retain(|own| !is_foreign(own));
    let built_in = registry.table().group_versions();
    let priority = |own: &Version<'_>| {
        let other = foreign.iter().find(|other| other.group == own.group && other.version == own.version);
        let known = built_in.iter().find(|known| known.group == own.group && known.version == own.version);
        match (other, known) {
            (Some(other), _) => (other.group_priority, other.version_priority),
            (None, Some(known)) => (i64::from(known.group_priority), i64::from(known.version_priority)),
            (None, None) => CUSTOM_PRIORITY,
        }
    };
    let new =
        foreign.iter().map(|own| Version { group: &own.group, version: &own.version, resources: vec![] });
    all.extend(new);
    let mut of_group: BTreeMap<&str, i64> = BTreeMap::new();
    for own in &all {
        let most = of_group.entry(own.group).or_insert(0);
        *most = (*most).max(priority(own).0);
    }
    let position = |own: &Version<'_>| built_in.iter().position(|known| known.group == own.group);
    all.sort_by_cached_key(|own| {
        let group = (Reverse(of_group[own.group]), position(own).unwrap_or(usize::MAX), own.group);
        (group, Reverse(priority(own).1), precedence(own.version))
    });
    all
}

/// Puts into the aggregated document what a foreign server said of itself.
fn tell(document: &mut Value, foreign: &Foreign) {
    let said = foreign.said();
    let Some(items) = document.get_mut("items") else { return };
    let named = |group: &&mut Value| group.at(&["metadata", "name"]).str_or_empty() == foreign.group;
    for group in items.items_mut().iter_mut().filter(named) {
        let Some(versions) = group.get_mut("versions") else { continue };
        let own = |version: &&mut Value| version.get("version").str_or_empty() == foreign.version;
        for version in versions.items_mut().iter_mut().filter(own) {
            if !said.resources.is_null() {
                version.set("resources", said.resources.clone());
            }
            version.set("freshness", if said.is_current { "Current" } else { "Stale" });
        }
    }
}

/// What is served here, as the documents are made from it.
fn versions(registry: &Registry) -> Vec<Version<'_>> {
    let mut versions: Vec<Version<'_>> = Vec::new();
    for served in registry.all() {
        let entry = entry(served);
        match versions.last_mut() {
            Some(last) if last.group == served.group && last.version == served.version => {
                last.resources.push(entry);
            }
            _ => versions.push(Version {
                group: &served.group,
                version: &served.version,
                resources: vec![entry],
            }),
        }
    }
    versions
}

fn entry(served: &Served) -> Entry<'_> {
    let verbs = |list: &[api::Verb]| list.iter().map(|verb| verb.as_str()).collect();
    let subresources = served.subresources.iter().map(|sub| {
        let own = sub.group == served.group && sub.version == served.version;
        let group_version = (!own).then_some((sub.group.as_str(), sub.version.as_str()));
        SubEntry { name: &sub.name, group_version, kind: &sub.kind, verbs: verbs(&sub.verbs) }
    });
    Entry {
        plural: &served.plural,
        singular: &served.singular,
        kind: &served.kind,
        namespaced: served.namespaced,
        verbs: verbs(&served.verbs),
        short_names: served.short_names.iter().map(AsRef::as_ref).collect(),
        categories: served.categories.iter().map(AsRef::as_ref).collect(),
        storage_hash: &served.storage_hash,
        subresources: subresources.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregated_form_is_given_to_those_who_ask_for_it_first() {
        assert!(asks_for_aggregated(AGGREGATED));
        assert!(asks_for_aggregated(&format!("{AGGREGATED},application/json")));
        let old_first =
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(!asks_for_aggregated(old_first));
        assert!(!asks_for_aggregated("application/json"));
        assert!(!asks_for_aggregated(&format!("application/json,{AGGREGATED}")));
    }
}
