//! OpenAPI version 3: one document for each group and version, and small ones for the lists of groups and versions.

use machinery::{Map, Value};

use super::custom::{self, Custom};
use super::extras;
use super::paths::{self, Answer, Body, Media, Operation, Parameter, PathItem};
use super::schemas::{Schemas, patch_type};
use crate::table::{GroupVersion, Table};

/// The document of a group and version (`/openapi/v3/apis/apps/v1`).
pub fn v3(table: &Table, group_version: &GroupVersion) -> Value {
    let (group, version) = (group_version.group, group_version.version);
    let mut schemas = Schemas::new(table, Some((group, version)));
    let tag = paths::tag(group, version);
    let items = paths::paths(table, group_version);
    document(items, &tag, &mut schemas).finish(schemas)
}

/// The document of a group and version of custom resources (`/openapi/v3/apis/example.com/v1`).
pub fn v3_custom(table: &Table, group: &str, version: &str, resources: &[Custom<'_>]) -> Value {
    let mut schemas = Schemas::new(table, None);
    for resource in resources {
        custom::define(resource, &mut schemas);
    }
    let tag = paths::tag(group, version);
    let items = custom::paths(group, version, resources);
    document(items, &tag, &mut schemas).finish(schemas)
}

/// The document of the versions of a group (`/openapi/v3/apis/apps`), or of the core group (`/openapi/v3/api`).
pub fn v3_group(table: &Table, group: &str) -> Value {
    let (path, operation) = paths::group(group);
    one_path(table, path, operation, paths::tag(group, "").trim_end_matches('_'))
}

/// The document of the list of groups (`/openapi/v3/apis`).
pub fn v3_groups(table: &Table) -> Value {
    let operation =
        paths::discovery("getAPIVersions".to_owned(), "get available API versions", "APIGroupList");
    one_path(table, "/apis/".to_owned(), operation, "apis")
}

/// The document of a path that belongs to no group (`/openapi/v3/version`); `None` if there is no such path.
pub fn v3_extra(table: &Table, path: &str) -> Option<Value> {
    let extra = extras::EXTRAS.iter().find(|extra| extra.path.trim_matches('/') == path)?;
    Some(one_path(table, extra.path.to_owned(), extra.operation(), extra.tag))
}

fn one_path(table: &Table, path: String, operation: Operation<'_>, tag: &str) -> Value {
    let mut schemas = Schemas::new(table, None);
    let items = vec![PathItem { path, operations: vec![operation] }];
    document(items, tag, &mut schemas).finish(schemas)
}

/// A document whose schemas are still open.
struct Unfinished(Value);

impl Unfinished {
    fn finish(self, schemas: Schemas<'_>) -> Value {
        let token = Value::from([
            ("type", "apiKey".into()),
            ("description", "Bearer Token authentication".into()),
            ("name", "authorization".into()),
            ("in", "header".into()),
        ]);
        let mut components = Value::object();
        let schemas = schemas.finish();
        if schemas.members().next().is_some() {
            components.set("schemas", schemas);
        }
        components.set("securitySchemes", Value::from([("BearerToken", token)]));
        Value::from([
            ("openapi", "3.0.0".into()),
            ("info", Value::from([("title", "Kubernetes".into()), ("version", "1.36".into())])),
            ("paths", self.0),
            ("components", components),
        ])
    }
}

fn document(items: Vec<PathItem<'_>>, tag: &str, schemas: &mut Schemas<'_>) -> Unfinished {
    let mut paths = Map::new();
    for item in items {
        let shared = paths::shared_parameters(&item.operations);
        let mut shown = Value::object();
        for operation in &item.operations {
            shown.set(operation.method, show(operation, tag, &shared, schemas));
        }
        if !shared.is_empty() {
            let first = &item.operations[0];
            let shared: Vec<Value> =
                shared.iter().map(|parameter| show_parameter(parameter, first, schemas)).collect();
            shown.set("parameters", shared);
        }
        paths.insert(item.path, shown);
    }
    Unfinished(Value::Object(paths))
}

fn show_parameter(parameter: &Parameter<'_>, operation: &Operation<'_>, schemas: &Schemas<'_>) -> Value {
    let mut shown = Value::from([("name", parameter.name.into()), ("in", parameter.place.into())]);
    if parameter.place == "path" {
        shown.set("required", true);
    }
    if let Some(about) = schemas.about_parameter(parameter, operation) {
        shown.set("description", about);
    }
    shown.set("schema", Value::from([("type", parameter.kind.into()), ("uniqueItems", true.into())]));
    shown
}

fn show(operation: &Operation<'_>, tag: &str, shared: &[Parameter<'_>], schemas: &mut Schemas<'_>) -> Value {
    let mut shown = Value::from([
        ("tags", vec![Value::from(tag)].into()),
        ("description", operation.description.as_str().into()),
        ("operationId", operation.id.as_str().into()),
    ]);
    let own: Vec<Value> = operation
        .parameters
        .iter()
        .filter(|parameter| !shared.contains(parameter))
        .map(|parameter| show_parameter(parameter, operation, schemas))
        .collect();
    if !own.is_empty() {
        shown.set("parameters", own);
    }
    match &operation.body {
        Body::None => {}
        Body::Document { name, required } => {
            let reference = schemas.reference(name);
            let mut body = Value::from([("content", content(&["*/*"], &reference))]);
            if *required {
                body.set("required", true);
            }
            shown.set("requestBody", body);
        }
        Body::Patch | Body::PlainPatch => {
            let media = [
                "application/apply-patch+yaml",
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
            ];
            // The last needs merge keys, which custom resources do not have.
            let known = if matches!(operation.body, Body::PlainPatch) { &media[..3] } else { &media };
            let reference = schemas.reference(&patch_type());
            shown.set(
                "requestBody",
                Value::from([("content", content(known, &reference)), ("required", true.into())]),
            );
        }
    }
    let mut answers = Value::object();
    for (code, answer) in &operation.answers {
        let schema = match answer {
            Answer::Document(name) => schemas.reference(name),
            Answer::Text => Value::from([("type", "string".into())]),
        };
        let content = content(media_types(operation.media), &schema);
        answers.set(
            &code.to_string(),
            Value::from([("description", paths::word(*code).into()), ("content", content)]),
        );
    }
    answers.set("401", Value::from([("description", "Unauthorized".into())]));
    shown.set("responses", answers);
    if !operation.action.is_empty() {
        shown.set("x-kubernetes-action", operation.action);
    }
    if let Some((group, version, kind)) = operation.kind {
        shown.set(
            "x-kubernetes-group-version-kind",
            Value::from([("group", group.into()), ("version", version.into()), ("kind", kind.into())]),
        );
    }
    shown
}

fn media_types(media: Media) -> &'static [&'static str] {
    match media {
        Media::Documents => &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"],
        Media::Lists => &[
            "application/json",
            "application/json;stream=watch",
            "application/vnd.kubernetes.protobuf",
            "application/vnd.kubernetes.protobuf;stream=watch",
            "application/yaml",
        ],
        Media::Texts => {
            &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml", "text/plain"]
        }
        Media::Anything => &["*/*"],
        Media::Json => &["application/json"],
        Media::Keys => &["application/jwk-set+json"],
        Media::Custom => &["application/json", "application/yaml"],
    }
}

fn content(media: &[&str], schema: &Value) -> Value {
    let members = media.iter().map(|name| (*name, Value::from([("schema", schema.clone())])));
    Value::Object(Map::from_entries(members))
}
