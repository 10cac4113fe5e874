//! OpenAPI version 2: one document of everything.

use std::collections::{BTreeMap, BTreeSet};

use machinery::{Map, Value, json};

use super::custom::{self, Custom};
use super::extras;
use super::paths::{self, Answer, Body, Media, Operation, Parameter, PathItem};
use super::schemas::{Schemas, patch_type};
use crate::table::Table;

/// The document of all groups and versions (`/openapi/v2`).
pub fn v2(table: &Table, custom: &[Custom<'_>]) -> Value {
    let mut writer = Writer { schemas: Schemas::of_all(table), shared: BTreeMap::new() };
    let mut shown = BTreeMap::new();
    for extra in &extras::EXTRAS {
        let operation = extra.operation();
        let mut value = writer.operation(&operation, extra.tag, &[]);
        match extra.reads {
            true => value.set("consumes", texts(&["application/json"])),
            false => drop(value.as_object_mut().and_then(|map| map.remove("consumes"))),
        }
        shown.insert(extra.path.to_owned(), Value::from([("get", value)]));
    }
    for resource in custom {
        custom::define(resource, &mut writer.schemas);
    }
    for (tag, item) in items(table).into_iter().chain(custom_items(custom)) {
        let path = item.path.clone();
        shown.insert(path, writer.path_item(&item, &tag));
    }
    writer.finish(shown)
}

/// Every path of every group, with what its operations are filed under.
fn items(table: &Table) -> Vec<(String, PathItem<'_>)> {
    let mut items = Vec::new();
    let lone = |path: String, operation| PathItem { path, operations: vec![operation] };
    let list = paths::discovery("getAPIVersions".to_owned(), "get available API versions", "APIGroupList");
    items.push(("apis".to_owned(), lone("/apis/".to_owned(), list)));
    let groups: BTreeSet<&str> = table.group_versions().iter().map(|version| version.group).collect();
    for group in groups {
        let (path, operation) = paths::group(group);
        items.push((paths::tag(group, "").trim_end_matches('_').to_owned(), lone(path, operation)));
    }
    for version in table.group_versions() {
        let tag = paths::tag(version.group, version.version);
        items.extend(paths::paths(table, version).into_iter().map(|item| (tag.clone(), item)));
    }
    items
}

/// The paths of custom resources. Those of one group and version stand together.
fn custom_items<'a>(custom: &[Custom<'a>]) -> Vec<(String, PathItem<'a>)> {
    let mut items = Vec::new();
    for of_group in custom.chunk_by(|a, b| a.group == b.group) {
        let group = of_group[0].group;
        let (path, operation) = paths::group(group);
        let tag = paths::tag(group, "").trim_end_matches('_').to_owned();
        items.push((tag, PathItem { path, operations: vec![operation] }));
        for of_version in of_group.chunk_by(|a, b| a.version == b.version) {
            let version = of_version[0].version;
            let tag = paths::tag(group, version);
            let paths = custom::paths(group, version, of_version);
            items.extend(paths.into_iter().map(|item| (tag.clone(), item)));
        }
    }
    items
}

struct Writer<'t> {
    schemas: Schemas<'t>,
    /// Parameters that paths refer to, by name.
    shared: BTreeMap<String, Value>,
}

impl<'t> Writer<'t> {
    fn path_item(&mut self, item: &PathItem<'t>, tag: &str) -> Value {
        let common = paths::shared_parameters(&item.operations);
        let mut shown = Value::object();
        for operation in &item.operations {
            let value = self.operation(operation, tag, &common);
            shown.set(operation.method, value);
        }
        if !common.is_empty() {
            let parameters: Vec<Value> =
                common.iter().map(|parameter| self.parameter(parameter, &item.operations[0])).collect();
            shown.set("parameters", parameters);
        }
        shown
    }

    fn operation(&mut self, operation: &Operation<'t>, tag: &str, common: &[Parameter<'t>]) -> Value {
        let mut shown = Value::from([
            ("description", operation.description.as_str().into()),
            ("consumes", texts(consumed(operation))),
            ("produces", texts(produced(operation.media))),
            ("schemes", texts(&["https"])),
            ("tags", texts(&[tag])),
            ("operationId", operation.id.as_str().into()),
        ]);
        let mut parameters: Vec<Value> = self.body(&operation.body).into_iter().collect();
        let own = operation.parameters.iter().filter(|parameter| !common.contains(parameter));
        parameters.extend(own.map(|parameter| self.parameter(parameter, operation)));
        if !parameters.is_empty() {
            shown.set("parameters", parameters);
        }
        shown.set("responses", self.answers(operation));
        if !operation.action.is_empty() {
            shown.set("x-kubernetes-action", operation.action);
        }
        if let Some((group, version, kind)) = operation.kind {
            shown.set(
                "x-kubernetes-group-version-kind",
                Value::from([("group", group.into()), ("kind", kind.into()), ("version", version.into())]),
            );
        }
        shown
    }

    fn body(&mut self, body: &Body) -> Option<Value> {
        let (name, required, is_shared) = match body {
            Body::None => return None,
            Body::Document { name, required } => (name.clone(), *required, !required),
            Body::Patch | Body::PlainPatch => (patch_type(), true, true),
        };
        let mut shown = Value::from([("name", "body".into()), ("in", "body".into())]);
        if required {
            shown.set("required", true);
        }
        shown.set("schema", self.schemas.reference(&name));
        Some(if is_shared { self.share("body", shown) } else { shown })
    }

    fn parameter(&mut self, parameter: &Parameter<'_>, operation: &Operation<'_>) -> Value {
        let mut shown = Value::from([
            ("uniqueItems", true.into()),
            ("type", parameter.kind.into()),
            ("name", parameter.name.into()),
            ("in", parameter.place.into()),
        ]);
        if parameter.place == "path" {
            shown.set("required", true);
        }
        if let Some(about) = self.schemas.about_parameter(parameter, operation) {
            shown.set("description", about);
        }
        self.share(parameter.name, shown)
    }

    /// Puts a parameter where all paths can refer to it, under its name and a mark of what it says.
    fn share(&mut self, name: &str, parameter: Value) -> Value {
        // FNV-1a: any mark will do that is the same in every run.
        let mark = json::to_vec(&parameter)
            .into_iter()
            .fold(0x811c_9dc5_u32, |mark, byte| (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let key = format!("{name}-{mark:08x}");
        let reference = Value::from([("$ref", format!("#/parameters/{key}").into())]);
        self.shared.insert(key, parameter);
        reference
    }

    fn answers(&mut self, operation: &Operation<'_>) -> Value {
        let mut answers = Value::object();
        for (code, answer) in &operation.answers {
            let schema = match answer {
                Answer::Document(name) => self.schemas.reference(name),
                Answer::Text => Value::from([("type", "string".into())]),
            };
            let shown = Value::from([("description", paths::word(*code).into()), ("schema", schema)]);
            answers.set(&code.to_string(), shown);
        }
        answers.set("401", Value::from([("description", "Unauthorized".into())]));
        answers
    }

    fn finish(self, shown: BTreeMap<String, Value>) -> Value {
        let named = |map: BTreeMap<String, Value>| Value::Object(Map::from_entries(map));
        let token = Value::from([
            ("description", "Bearer Token authentication".into()),
            ("type", "apiKey".into()),
            ("name", "authorization".into()),
            ("in", "header".into()),
        ]);
        let security = Value::from([("BearerToken", Value::from(Vec::<Value>::new()))]);
        Value::from([
            ("swagger", "2.0".into()),
            ("info", Value::from([("title", "Kubernetes".into()), ("version", "1.36".into())])),
            ("paths", named(shown)),
            ("definitions", self.schemas.finish()),
            ("parameters", named(self.shared)),
            ("securityDefinitions", Value::from([("BearerToken", token)])),
            ("security", vec![security].into()),
        ])
    }
}

fn texts(list: &[&str]) -> Value {
    Value::from(list.iter().map(|text| Value::from(*text)).collect::<Vec<_>>())
}

fn consumed(operation: &Operation<'_>) -> &'static [&'static str] {
    match operation.body {
        Body::Patch => &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ],
        Body::PlainPatch => {
            &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
        }
        _ if operation.media == Media::Custom => produced(Media::Custom),
        // Only discovery has no action.
        _ if operation.action.is_empty() => produced(Media::Documents),
        _ => &["*/*"],
    }
}

fn produced(media: Media) -> &'static [&'static str] {
    match media {
        Media::Documents => &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"],
        Media::Lists => &[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
            "application/json;stream=watch",
            "application/vnd.kubernetes.protobuf;stream=watch",
        ],
        Media::Texts => {
            &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
        }
        Media::Anything => &["*/*"],
        Media::Json => &["application/json"],
        Media::Keys => &["application/jwk-set+json"],
        Media::Custom => &["application/json", "application/yaml"],
    }
}
