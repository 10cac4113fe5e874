//! What can be called: every path of a group and version with its operations.

use machinery::schema::{Shape, TypeRef};

use crate::table::{GroupVersion, Resource, Subresource, Table, Verb};

/// A path and what can be done there.
pub(super) struct PathItem<'t> {
    pub path: String,
    pub operations: Vec<Operation<'t>>,
}

/// An operation.
pub(super) struct Operation<'t> {
    pub method: &'static str,
    /// `x-kubernetes-action`; empty for discovery.
    pub action: &'static str,
    pub id: String,
    pub description: String,
    /// Group, version and kind it is about.
    pub kind: Option<(&'t str, &'t str, &'t str)>,
    /// Sorted by name.
    pub parameters: Vec<Parameter<'t>>,
    pub body: Body,
    /// Codes of good answers with the type of their body.
    pub answers: Vec<(u16, Answer)>,
    pub media: Media,
}

#[derive(Clone, PartialEq)]
pub(super) struct Parameter<'t> {
    pub name: &'t str,
    pub place: &'static str,
    /// As OpenAPI names it.
    pub kind: &'static str,
}

/// What is sent along.
pub(super) enum Body {
    None,
    /// A document of the type with this name.
    Document {
        name: String,
        required: bool,
    },
    Patch,
    /// A patch that needs no merge keys: custom resources have none.
    PlainPatch,
}

/// What is answered.
pub(super) enum Answer {
    /// A document of the type with this name.
    Document(String),
    Text,
}

/// The forms an answer comes in.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Media {
    Documents,
    /// Lists, which may be watched.
    Lists,
    /// Logs.
    Texts,
    /// Connections, which may carry anything.
    Anything,
    /// What is never but JSON.
    Json,
    /// Public keys.
    Keys,
    /// Custom resources, which have no protobuf.
    Custom,
}

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

pub(super) const LIST_OPTIONS: [(&str, &str); 11] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

pub(super) const DELETE_OPTIONS: [(&str, &str); 5] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

pub(super) const WRITE_OPTIONS: [(&str, &str); 3] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];

/// Methods that connections are opened with, each with its verb.
const CONNECT: [(&str, &str, Option<Verb>); 7] = [
    ("get", "Get", Some(Verb::Get)),
    ("put", "Put", Some(Verb::Update)),
    ("post", "Post", Some(Verb::Create)),
    ("delete", "Delete", Some(Verb::Delete)),
    ("options", "Options", None),
    ("head", "Head", None),
    ("patch", "Patch", Some(Verb::Patch)),
];

/// Kinds whose deletion answers what was deleted instead of a status.
const ANSWERED: [(&str, &str); 16] = [
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ResourceQuota"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
    ("resource.k8s.io", "ResourceSlice"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];

/// `apps_v1`: what the operations of a version are filed under.
pub(super) fn tag(group: &str, version: &str) -> String {
    let name = camel(group);
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    format!("{}_{version}", first.into_iter().chain(letters).collect::<String>())
}

/// `rbac.authorization.k8s.io` as `RbacAuthorization`; the core group as `Core`.
pub(super) fn camel(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    group.trim_end_matches(".k8s.io").split('.').map(capital).collect()
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// `/api/v1`, `/apis/apps/v1`
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// All paths of a version, sorted.
pub(super) fn paths<'t>(table: &'t Table, group_version: &'t GroupVersion) -> Vec<PathItem<'t>> {
    let mut items = vec![PathItem {
        path: format!("{}/", root(group_version.group, group_version.version)),
        operations: vec![discovery(
            format!("get{}{}APIResources", camel(group_version.group), capital(group_version.version)),
            "get available resources",
            "APIResourceList",
        )],
    }];
    for resource in &group_version.resources {
        Calls { table, resource }.add(&mut items);
    }
    items.retain(|item| !item.operations.is_empty());
    items.sort_by(|a, b| a.path.cmp(&b.path));
    items
}

/// An operation that answers a document of discovery.
pub(super) fn discovery<'t>(id: String, description: &str, kind: &str) -> Operation<'t> {
    Operation {
        method: "get",
        action: "",
        id,
        description: description.to_owned(),
        kind: None,
        parameters: Vec::new(),
        body: Body::None,
        answers: vec![(200, Answer::Document(format!("{META}.{kind}")))],
        media: Media::Documents,
    }
}

/// Where the versions of a group are told, and how that is asked.
pub(super) fn group<'t>(group: &str) -> (String, Operation<'t>) {
    if group.is_empty() {
        let id = "getCoreAPIVersions".to_owned();
        return ("/api/".to_owned(), discovery(id, "get available API versions", "APIVersions"));
    }
    let id = format!("get{}APIGroup", camel(group));
    (format!("/apis/{group}/"), discovery(id, "get information of a group", "APIGroup"))
}

/// The parameters that all operations of a path have.
pub(super) fn shared_parameters<'t>(operations: &[Operation<'t>]) -> Vec<Parameter<'t>> {
    let Some((first, others)) = operations.split_first() else { return Vec::new() };
    let in_all = |parameter: &&Parameter<'t>| others.iter().all(|other| other.parameters.contains(parameter));
    first.parameters.iter().filter(in_all).cloned().collect()
}

/// What a code of a good answer is called.
pub(super) fn word(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Accepted",
    }
}

/// The operations of one resource.
struct Calls<'t> {
    table: &'t Table,
    resource: &'t Resource,
}

impl<'t> Calls<'t> {
    fn add(&self, items: &mut Vec<PathItem<'t>>) {
        let resource = self.resource;
        let root = root(resource.group, resource.version);
        let plural = resource.plural;
        let below = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let mut push =
            |path: String, operations: Vec<Operation<'t>>| items.push(PathItem { path, operations });
        push(format!("{root}/{below}{plural}"), self.collection());
        push(format!("{root}/{below}{plural}/{{name}}"), self.object());
        if resource.allows(Verb::List) && resource.namespaced {
            push(format!("{root}/{plural}"), vec![self.list(true)]);
        }
        if resource.allows(Verb::Watch) {
            push(format!("{root}/watch/{below}{plural}"), vec![self.watch_list(false)]);
            push(format!("{root}/watch/{below}{plural}/{{name}}"), vec![self.watch()]);
            if resource.namespaced {
                push(format!("{root}/watch/{plural}"), vec![self.watch_list(true)]);
            }
        }
        for subresource in &resource.subresources {
            let path = format!("{root}/{below}{plural}/{{name}}/{}", subresource.name);
            if self.is_connection(subresource) {
                if subresource.name == "proxy" {
                    push(format!("{path}/{{path}}"), self.connections(subresource, true));
                }
                push(path, self.connections(subresource, false));
            } else {
                push(path, self.subresource(subresource));
            }
        }
    }

    /// `AppsV1` + `Namespaced`
    fn id(&self, verb: &str, middle: &str, kind: &str) -> String {
        let resource = self.resource;
        let scope = if resource.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{}{middle}{scope}{kind}", camel(resource.group), capital(resource.version))
    }

    fn gvk(&self) -> Option<(&'t str, &'t str, &'t str)> {
        Some((self.resource.group, self.resource.version, self.resource.kind))
    }

    /// The name of the type of a kind.
    fn type_name(&self, group: &str, version: &str, kind: &str) -> String {
        let kind = self.table.kind(group, version, kind);
        kind.map(|kind| self.table.type_of(kind).name.to_string()).unwrap_or_default()
    }

    fn own_type(&self, suffix: &str) -> String {
        let resource = self.resource;
        self.type_name(resource.group, resource.version, &format!("{}{suffix}", resource.kind))
    }

    /// Parameters by name, with those of the path among them.
    fn parameters(
        &self,
        named: bool,
        pretty: bool,
        query: &[&[(&'t str, &'static str)]],
    ) -> Vec<Parameter<'t>> {
        let path = |name| Parameter { name, place: "path", kind: "string" };
        let mut parameters = Vec::new();
        if named {
            parameters.push(path("name"));
        }
        if self.resource.namespaced {
            parameters.push(path("namespace"));
        }
        let pretty: &[(&str, &str)] = if pretty { &[("pretty", "string")] } else { &[] };
        for (name, kind) in query.iter().copied().flatten().chain(pretty) {
            parameters.push(Parameter { name, place: "query", kind });
        }
        parameters.sort_by_key(|parameter| parameter.name);
        parameters
    }

    fn list(&self, everywhere: bool) -> Operation<'t> {
        let resource = self.resource;
        let kind = resource.kind;
        let what = if resource.allows(Verb::Watch) { "list or watch" } else { "list" };
        let mut parameters = self.parameters(false, true, &[&LIST_OPTIONS]);
        let id = if everywhere {
            parameters.retain(|parameter| parameter.place != "path");
            format!("list{}{}{kind}ForAllNamespaces", camel(resource.group), capital(resource.version))
        } else {
            self.id("list", "", kind)
        };
        Operation {
            method: "get",
            action: "list",
            id,
            description: format!("{what} objects of kind {kind}"),
            kind: self.gvk(),
            parameters,
            body: Body::None,
            answers: vec![(200, Answer::Document(self.own_type("List")))],
            media: Media::Lists,
        }
    }

    fn collection(&self) -> Vec<Operation<'t>> {
        let resource = self.resource;
        let kind = resource.kind;
        let mut operations = Vec::new();
        if resource.allows(Verb::List) {
            operations.push(self.list(false));
        }
        if resource.allows(Verb::Create) {
            operations.push(Operation {
                method: "post",
                action: "post",
                id: self.id("create", "", kind),
                description: format!("create{} {kind}", article(kind)),
                parameters: self.parameters(false, true, &[&WRITE_OPTIONS]),
                body: Body::Document { name: self.own_type(""), required: true },
                answers: self.answers(&[200, 201, 202], &self.own_type("")),
                ..self.plain()
            });
        }
        if resource.allows(Verb::DeleteCollection) {
            let list: Vec<_> = LIST_OPTIONS
                .into_iter()
                .filter(|(name, _)| !matches!(*name, "watch" | "allowWatchBookmarks"))
                .collect();
            operations.push(Operation {
                method: "delete",
                action: "deletecollection",
                id: self.id("delete", "Collection", kind),
                description: format!("delete collection of {kind}"),
                parameters: self.parameters(false, true, &[&list, &DELETE_OPTIONS]),
                body: Body::Document { name: format!("{META}.DeleteOptions"), required: false },
                answers: self.answers(&[200], &format!("{META}.Status")),
                ..self.plain()
            });
        }
        operations
    }

    fn object(&self) -> Vec<Operation<'t>> {
        let resource = self.resource;
        let kind = resource.kind;
        let mut operations = self.read_write(&resource.verbs, "", &self.own_type(""), self.gvk());
        if resource.allows(Verb::Delete) {
            let answers_itself = ANSWERED.contains(&(resource.group, kind));
            let answer = if answers_itself { self.own_type("") } else { format!("{META}.Status") };
            operations.push(Operation {
                method: "delete",
                action: "delete",
                id: self.id("delete", "", kind),
                description: format!("delete{} {kind}", article(kind)),
                parameters: self.parameters(true, true, &[&DELETE_OPTIONS]),
                body: Body::Document { name: format!("{META}.DeleteOptions"), required: false },
                answers: self.answers(&[200, 202], &answer),
                ..self.plain()
            });
        }
        operations
    }

    fn watch_list(&self, everywhere: bool) -> Operation<'t> {
        let resource = self.resource;
        let kind = resource.kind;
        let mut parameters = self.parameters(false, true, &[&LIST_OPTIONS]);
        let id = if everywhere {
            parameters.retain(|parameter| parameter.place != "path");
            format!("watch{}{}{kind}ListForAllNamespaces", camel(resource.group), capital(resource.version))
        } else {
            self.id("watch", "", &format!("{kind}List"))
        };
        Operation {
            action: "watchlist",
            id,
            description: format!(
                "watch individual changes to a list of {kind}. deprecated: use the 'watch' parameter with a list \
                 operation instead."
            ),
            parameters,
            answers: self.answers(&[200], &format!("{META}.WatchEvent")),
            media: Media::Lists,
            ..self.plain()
        }
    }

    fn watch(&self) -> Operation<'t> {
        let kind = self.resource.kind;
        Operation {
            action: "watch",
            id: self.id("watch", "", kind),
            description: format!(
                "watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter with a list \
                 operation instead, filtered to a single item with the 'fieldSelector' parameter."
            ),
            parameters: self.parameters(true, true, &[&LIST_OPTIONS]),
            answers: self.answers(&[200], &format!("{META}.WatchEvent")),
            media: Media::Lists,
            ..self.plain()
        }
    }

    /// Get, put and patch, of an object or of what hangs below it.
    fn read_write(
        &self,
        verbs: &[Verb],
        below: &str,
        type_name: &str,
        gvk: Option<(&'t str, &'t str, &'t str)>,
    ) -> Vec<Operation<'t>> {
        let kind = self.resource.kind;
        let (id_end, of) = (format!("{kind}{}", capital(below)), if below.is_empty() { "" } else { " of" });
        let space = if below.is_empty() { "" } else { " " };
        let mut operations = Vec::new();
        if verbs.contains(&Verb::Get) {
            operations.push(Operation {
                action: "get",
                id: self.id("read", "", &id_end),
                description: format!("read{space}{below}{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, true, &[]),
                answers: self.answers(&[200], type_name),
                ..self.plain()
            });
        }
        if verbs.contains(&Verb::Update) {
            operations.push(Operation {
                method: "put",
                action: "put",
                id: self.id("replace", "", &id_end),
                description: format!("replace{space}{below}{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, true, &[&WRITE_OPTIONS]),
                body: Body::Document { name: type_name.to_owned(), required: true },
                answers: self.answers(&[200, 201], type_name),
                ..self.plain()
            });
        }
        if verbs.contains(&Verb::Patch) {
            operations.push(Operation {
                method: "patch",
                action: "patch",
                id: self.id("patch", "", &id_end),
                description: format!("partially update{space}{below}{of} the specified {kind}"),
                kind: gvk,
                parameters: self.parameters(true, true, &[&WRITE_OPTIONS, &[("force", "boolean")]]),
                body: Body::Patch,
                answers: self.answers(&[200, 201], type_name),
                ..self.plain()
            });
        }
        operations
    }

    fn subresource(&self, subresource: &'t Subresource) -> Vec<Operation<'t>> {
        let (group, version) = self.resource.group_version_of(subresource);
        let gvk = Some((group, version, subresource.kind));
        let type_name = self.type_name(group, version, subresource.kind);
        if subresource.name == "log" {
            return vec![self.log()];
        }
        let mut operations = self.read_write(&subresource.verbs, subresource.name, &type_name, gvk);
        if subresource.verbs.contains(&Verb::Create) {
            let kind = self.resource.kind;
            operations.push(Operation {
                method: "post",
                action: "post",
                id: self.id("create", "", &format!("{kind}{}", capital(subresource.name))),
                description: format!("create {} of{} {kind}", subresource.name, article(kind)),
                kind: gvk,
                parameters: self.parameters(true, true, &[&WRITE_OPTIONS]),
                body: Body::Document { name: type_name.clone(), required: true },
                answers: self.answers(&[200, 201, 202], &type_name),
                ..self.plain()
            });
        }
        operations
    }

    fn log(&self) -> Operation<'t> {
        let options = self.options("PodLogOptions");
        Operation {
            action: "get",
            id: self.id("read", "", "PodLog"),
            description: "read log of the specified Pod".to_owned(),
            parameters: self.parameters(true, true, &[&options]),
            answers: vec![(200, Answer::Text)],
            media: Media::Texts,
            ..self.plain()
        }
    }

    /// Whether clients connect to it instead of reading and writing documents.
    fn is_connection(&self, subresource: &Subresource) -> bool {
        subresource.kind.ends_with("Options")
    }

    fn connections(&self, subresource: &'t Subresource, with_path: bool) -> Vec<Operation<'t>> {
        let kind = self.resource.kind;
        let options = self.options(subresource.kind);
        let mut parameters = self.parameters(true, false, &[&options]);
        if with_path {
            parameters.push(Parameter { name: "path", place: "path", kind: "string" });
            parameters.sort_by_key(|parameter| (parameter.name, parameter.place));
        }
        let any_method = subresource.name == "proxy";
        let allowed = CONNECT.iter().filter(|(_, _, verb)| match verb {
            Some(verb) => subresource.verbs.contains(verb),
            None => any_method,
        });
        allowed
            .map(|(method, word, _)| Operation {
                method,
                action: "connect",
                id: format!(
                    "connect{}{}{word}{}{kind}{}{}",
                    camel(self.resource.group),
                    capital(self.resource.version),
                    if self.resource.namespaced { "Namespaced" } else { "" },
                    capital(subresource.name),
                    if with_path { "WithPath" } else { "" },
                ),
                description: format!(
                    "connect {} requests to {} of {kind}",
                    word.to_ascii_uppercase(),
                    subresource.name
                ),
                kind: Some((self.resource.group, self.resource.version, subresource.kind)),
                parameters: parameters.clone(),
                answers: vec![(200, Answer::Text)],
                media: Media::Anything,
                ..self.plain()
            })
            .collect()
    }

    /// The fields of a kind of options as parameters.
    fn options(&self, kind: &str) -> Vec<(&'t str, &'static str)> {
        let Some(kind) = self.table.kind(self.resource.group, self.resource.version, kind) else {
            return Vec::new();
        };
        let fields = self.table.type_of(kind).fields();
        fields
            .filter(|field| !matches!(field.name.as_str(), "kind" | "apiVersion" | "sinceTime"))
            .map(|field| (field.get().name.as_str(), parameter_kind(field.ty())))
            .collect()
    }

    fn answers(&self, codes: &[u16], type_name: &str) -> Vec<(u16, Answer)> {
        codes.iter().map(|code| (*code, Answer::Document(type_name.to_owned()))).collect()
    }

    fn plain(&self) -> Operation<'t> {
        Operation {
            method: "get",
            action: "",
            id: String::new(),
            description: String::new(),
            kind: self.gvk(),
            parameters: Vec::new(),
            body: Body::None,
            answers: Vec::new(),
            media: Media::Documents,
        }
    }
}

fn parameter_kind(ty: TypeRef<'_>) -> &'static str {
    match ty.shape() {
        Shape::Bool => "boolean",
        Shape::Int32 | Shape::Int64 => "integer",
        Shape::List(_) if matches!(ty.item().map(TypeRef::shape), Some(Shape::Int32)) => "integer",
        _ => "string",
    }
}

/// ` a` or ` an`, or nothing before a plural.
fn article(noun: &str) -> &'static str {
    if noun.ends_with('s') && !noun.ends_with("ss") {
        return "";
    }
    if noun.starts_with(['A', 'E', 'I', 'O', 'U']) { " an" } else { " a" }
}
