//! What a request is about, read from its method and path.

use std::borrow::Cow;

use crate::query::Query;

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `proxy`; for anything that
    /// is no resource the lower-case method.
    pub verb: String,
    /// Whether the path names a resource.
    pub is_resource: bool,
    /// The path as it came, decoded.
    pub path: String,
    /// `api` or `apis`.
    pub prefix: &'static str,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace.
    pub namespace: String,
    /// The plural.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The object's name.
    pub name: String,
    /// What follows the subresource (the path to proxy), with its slashes.
    pub rest: String,
    /// Whether the name stood in the path, not in a selector.
    pub named_by_path: bool,
    /// Whether the old `/watch/` form was used.
    pub old_watch: bool,
}

/// Paths of methods that act on the namespace object itself.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl Route {
    /// Reads a request line. `path` is still percent-encoded.
    pub fn read(method: &http::Method, path: &str, query: &Query) -> Route {
        let decoded = decode(path);
        let mut route = Route { path: decoded.to_string(), ..Route::default() };
        route.verb = method.as_str().to_ascii_lowercase();
        let parts: Vec<Cow<'_, str>> = path.trim_matches('/').split('/').map(decode).collect();
        let Some(rest) = route.read_version(&parts) else { return route };
        route.is_resource = true;
        route.verb = verb_of(method, &route.verb);
        route.read_resource(rest);
        route.refine_verb(method, query);
        route
    }

    fn read_version<'a, 'b>(&mut self, parts: &'a [Cow<'b, str>]) -> Option<&'a [Cow<'b, str>]> {
        match parts {
            [api, version, rest @ ..] if api == "api" && !rest.is_empty() && !version.is_empty() => {
                self.prefix = "api";
                self.version = version.to_string();
                Some(rest)
            }
            [apis, group, version, rest @ ..]
                if apis == "apis" && !rest.is_empty() && !group.is_empty() && !version.is_empty() =>
            {
                self.prefix = "apis";
                self.group = group.to_string();
                self.version = version.to_string();
                Some(rest)
            }
            _ => None,
        }
    }

    fn read_resource(&mut self, mut parts: &[Cow<'_, str>]) {
        match parts {
            [special, rest @ ..] if special == "watch" && !rest.is_empty() => {
                self.old_watch = true;
                parts = rest;
            }
            [special, rest @ ..] if special == "proxy" && !rest.is_empty() => {
                self.verb = "proxy".to_owned();
                parts = rest;
            }
            _ => {}
        }
        if let [kind, namespace, rest @ ..] = parts
            && kind == "namespaces"
        {
            self.namespace = namespace.to_string();
            let of_namespace_itself = rest.is_empty() || NAMESPACE_SUBRESOURCES.contains(&rest[0].as_ref());
            if !of_namespace_itself {
                parts = rest;
            }
        }
        let mut parts = parts.iter();
        let mut next = || parts.next().map(ToString::to_string).unwrap_or_default();
        self.resource = next();
        self.name = next();
        self.subresource = next();
        self.named_by_path = !self.name.is_empty();
        let rest: Vec<&str> = parts.map(AsRef::as_ref).collect();
        if !rest.is_empty() {
            self.rest = format!("/{}", rest.join("/"));
        }
    }

    fn refine_verb(&mut self, method: &http::Method, query: &Query) {
        if self.name.is_empty() {
            if self.verb == "get" {
                self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
                if let Some(name) = query.get("fieldSelector").and_then(name_selected) {
                    self.name = name;
                }
            } else if self.verb == "delete" {
                self.verb = "deletecollection".to_owned();
            }
        }
        if self.old_watch && method == http::Method::GET {
            self.verb = "watch".to_owned();
        }
    }
}

fn verb_of(method: &http::Method, otherwise: &str) -> String {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => otherwise,
    }
    .to_owned()
}

/// The name that a field selector asks for, if it asks for exactly one.
fn name_selected(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once("==").or_else(|| term.split_once('='))?;
        (field == "metadata.name" && !value.is_empty()).then(|| value.to_owned())
    })
}

/// A path segment without percent-encoding; as it is where that would be no text.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    crate::query::percent_decode(text, false).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn read(method: Method, target: &str) -> Route {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Route::read(&method, path, &Query::parse(query))
    }

    /// verb, group, version, namespace, resource, name, subresource, rest
    type Parts<'a> = [&'a str; 8];

    #[test]
    fn paths_name_resources() {
        let cases: &[(Method, &str, Parts<'_>)] = &[
            (Method::GET, "/api/v1/namespaces/d/pods", ["list", "", "v1", "d", "pods", "", "", ""]),
            (Method::GET, "/api/v1/pods?watch=1", ["watch", "", "v1", "", "pods", "", "", ""]),
            (Method::GET, "/api/v1/watch/pods", ["watch", "", "v1", "", "pods", "", "", ""]),
            (Method::GET, "/api/v1/watch/namespaces/d/pods/p", ["watch", "", "v1", "d", "pods", "p", "", ""]),
            (Method::GET, "/api/v1/namespaces/d/pods/p?watch=1", ["get", "", "v1", "d", "pods", "p", "", ""]),
            (Method::POST, "/api/v1/namespaces", ["create", "", "v1", "", "namespaces", "", "", ""]),
            (Method::GET, "/api/v1/namespaces/d", ["get", "", "v1", "d", "namespaces", "d", "", ""]),
            (Method::GET, "/api/v1/namespaces/d/", ["get", "", "v1", "d", "namespaces", "d", "", ""]),
            (
                Method::PUT,
                "/api/v1/namespaces/d/finalize",
                ["update", "", "v1", "d", "namespaces", "d", "finalize", ""],
            ),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/d/deployments/x/scale",
                ["patch", "apps", "v1", "d", "deployments", "x", "scale", ""],
            ),
            (Method::DELETE, "/api/v1/nodes", ["deletecollection", "", "v1", "", "nodes", "", "", ""]),
            (
                Method::GET,
                "/api/v1/namespaces/d/pods/p/proxy/a/b%2Fc",
                ["get", "", "v1", "d", "pods", "p", "proxy", "/a/b/c"],
            ),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=metadata.name%3Dx",
                ["list", "", "v1", "", "pods", "x", "", ""],
            ),
        ];
        for (method, target, parts) in cases {
            let route = read(method.clone(), target);
            let found = [
                route.verb.as_str(),
                &route.group,
                &route.version,
                &route.namespace,
                &route.resource,
                &route.name,
                &route.subresource,
                &route.rest,
            ];
            assert!(route.is_resource, "{target}");
            assert_eq!(found, *parts, "{target}");
        }
    }

    #[test]
    fn other_paths_are_no_resources() {
        for target in
            ["/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz/ping", "/api//v1"]
        {
            let route = read(Method::GET, target);
            assert!(!route.is_resource, "{target}");
            assert_eq!(route.verb, "get");
        }
        assert_eq!(read(Method::POST, "/version").verb, "post");
    }
}
