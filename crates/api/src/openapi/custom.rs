//! Custom resources in OpenAPI: what can be called, and what their documents look like as their definitions say it.

mod document;

use super::paths::{
    Answer, Body, DELETE_OPTIONS, LIST_OPTIONS, META, Media, Operation, Parameter, PathItem, WRITE_OPTIONS,
    camel, capital, discovery, root,
};
use super::schemas::Schemas;
use machinery::Value;

/// A custom resource in one version.
#[derive(Clone, Copy, Debug)]
pub struct Custom<'a> {
    /// The API group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// As it stands in paths.
    pub plural: &'a str,
    /// The kind of its objects.
    pub kind: &'a str,
    /// The kind of lists of them.
    pub list_kind: &'a str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` hangs below its objects.
    pub status: bool,
    /// Whether `scale` does.
    pub scale: bool,
    /// What its objects look like (`openAPIV3Schema`).
    pub schema: &'a Value,
}

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// All paths of the resources of one group and version, sorted.
pub(super) fn paths<'a>(group: &str, version: &str, resources: &[Custom<'a>]) -> Vec<PathItem<'a>> {
    let mut items = vec![PathItem {
        path: format!("{}/", root(group, version)),
        operations: vec![discovery(
            format!("get{}{}APIResources", camel(group), capital(version)),
            "get available resources",
            "APIResourceList",
        )],
    }];
    for resource in resources {
        resource.add(&mut items);
    }
    items.sort_by(|a, b| a.path.cmp(&b.path));
    items
}

/// Writes down what objects of a resource, and lists of them, look like.
pub(super) fn define(resource: &Custom<'_>, schemas: &mut Schemas<'_>) {
    let object = document::object(resource, schemas);
    schemas.define(resource.type_name(resource.kind), object);
    let list = document::list(resource, schemas);
    schemas.define(resource.type_name(resource.list_kind), list);
}

impl<'a> Custom<'a> {
    /// `com.example.v1.Thing`
    fn type_name(&self, kind: &str) -> String {
        let group: Vec<&str> = self.group.split('.').rev().collect();
        format!("{}.{}.{kind}", group.join("."), self.version)
    }

    fn gvk(&self) -> Option<(&'a str, &'a str, &'a str)> {
        Some((self.group, self.version, self.kind))
    }

    fn id(&self, verb: &str, middle: &str, end: &str) -> String {
        let scope = if self.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{}{middle}{scope}{}{end}", camel(self.group), capital(self.version), self.kind)
    }

    fn add(&self, items: &mut Vec<PathItem<'a>>) {
        let root = root(self.group, self.version);
        let below = if self.namespaced { "namespaces/{namespace}/" } else { "" };
        let path = format!("{root}/{below}{}", self.plural);
        let named = format!("{path}/{{name}}");
        if self.namespaced {
            let everywhere = format!("{root}/{}", self.plural);
            items.push(PathItem { path: everywhere, operations: vec![self.list(true)] });
        }
        if self.status {
            let operations = self.read_write("Status", " status of", &self.type_name(self.kind), self.gvk());
            items.push(PathItem { path: format!("{named}/status"), operations });
        }
        if self.scale {
            let gvk = Some(("autoscaling", "v1", "Scale"));
            let operations = self.read_write("Scale", " scale of", SCALE, gvk);
            items.push(PathItem { path: format!("{named}/scale"), operations });
        }
        items.push(PathItem { path, operations: self.collection() });
        let mut operations = self.read_write("", "", &self.type_name(self.kind), self.gvk());
        operations.push(Operation {
            method: "delete",
            action: "delete",
            id: self.id("delete", "", ""),
            description: format!("delete a {}", self.kind),
            parameters: self.parameters(true, &[&DELETE_OPTIONS]),
            body: Body::Document { name: format!("{META}.DeleteOptions"), required: false },
            answers: answers(&[200, 202], &format!("{META}.Status")),
            ..self.plain()
        });
        items.push(PathItem { path: named, operations });
    }

    fn parameters(&self, named: bool, query: &[&[(&'a str, &'static str)]]) -> Vec<Parameter<'a>> {
        let path = |name| Parameter { name, place: "path", kind: "string" };
        let mut parameters: Vec<Parameter<'a>> = Vec::new();
        parameters.extend(named.then(|| path("name")));
        parameters.extend(self.namespaced.then(|| path("namespace")));
        let pretty: &[(&str, &str)] = &[("pretty", "string")];
        for (name, kind) in query.iter().copied().flatten().chain(pretty) {
            parameters.push(Parameter { name, place: "query", kind });
        }
        parameters.sort_by_key(|parameter| parameter.name);
        parameters
    }

    fn list(&self, everywhere: bool) -> Operation<'a> {
        let mut parameters = self.parameters(false, &[&LIST_OPTIONS]);
        let mut id = self.id("list", "", "");
        if everywhere {
            parameters.retain(|parameter| parameter.place != "path");
            id = format!("list{}{}{}ForAllNamespaces", camel(self.group), capital(self.version), self.kind);
        }
        Operation {
            action: "list",
            id,
            description: format!("list objects of kind {}", self.kind),
            parameters,
            answers: answers(&[200], &self.type_name(self.list_kind)),
            ..self.plain()
        }
    }

    fn collection(&self) -> Vec<Operation<'a>> {
        let own = self.type_name(self.kind);
        let without_watch: Vec<_> = LIST_OPTIONS
            .into_iter()
            .filter(|(name, _)| !matches!(*name, "watch" | "allowWatchBookmarks"))
            .collect();
        vec![
            self.list(false),
            Operation {
                method: "post",
                action: "post",
                id: self.id("create", "", ""),
                description: format!("create a {}", self.kind),
                parameters: self.parameters(false, &[&WRITE_OPTIONS]),
                body: Body::Document { name: own.clone(), required: true },
                answers: answers(&[200, 201, 202], &own),
                ..self.plain()
            },
            Operation {
                method: "delete",
                action: "deletecollection",
                id: self.id("delete", "Collection", ""),
                description: format!("delete collection of {}", self.kind),
                parameters: self.parameters(false, &[&without_watch, &DELETE_OPTIONS]),
                body: Body::Document { name: format!("{META}.DeleteOptions"), required: false },
                answers: answers(&[200], &format!("{META}.Status")),
                ..self.plain()
            },
        ]
    }

    /// Get, put and patch, of an object or of what hangs below it.
    fn read_write(
        &self,
        end: &str,
        of: &str,
        type_name: &str,
        gvk: Option<(&'a str, &'a str, &'a str)>,
    ) -> Vec<Operation<'a>> {
        let kind = self.kind;
        vec![
            Operation {
                action: "get",
                id: self.id("read", "", end),
                description: format!("read{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, &[&[("resourceVersion", "string")]]),
                answers: answers(&[200], type_name),
                ..self.plain()
            },
            Operation {
                method: "put",
                action: "put",
                id: self.id("replace", "", end),
                description: format!("replace{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, &[&WRITE_OPTIONS]),
                body: Body::Document { name: type_name.to_owned(), required: true },
                answers: answers(&[200, 201], type_name),
                ..self.plain()
            },
            Operation {
                method: "patch",
                action: "patch",
                id: self.id("patch", "", end),
                description: format!("partially update{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, &[&WRITE_OPTIONS, &[("force", "boolean")]]),
                body: Body::PlainPatch,
                answers: answers(&[200], type_name),
                ..self.plain()
            },
        ]
    }

    fn plain(&self) -> Operation<'a> {
        Operation {
            method: "get",
            action: "",
            id: String::new(),
            description: String::new(),
            kind: self.gvk(),
            parameters: Vec::new(),
            body: Body::None,
            answers: Vec::new(),
            media: Media::Custom,
        }
    }
}

fn answers(codes: &[u16], type_name: &str) -> Vec<(u16, Answer)> {
    codes.iter().map(|code| (*code, Answer::Document(type_name.to_owned()))).collect()
}

#[cfg(test)]
mod tests;
