//! What documents of a custom resource look like: its definition's schema, with what every object has.

use machinery::{Map, Value};

use super::Custom;
use crate::openapi::schemas::{Dialect, Schemas};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// Any kind will do to look up what is said of members that every kind has.
const ANY: &str = "io.k8s.api.core.v1.Pod";
/// Any list, likewise.
const ANY_LIST: &str = "io.k8s.api.core.v1.PodList";

/// The schema of objects.
///
/// Of an object that may hold anything, version 2 tells nothing: its readers take members that are not named for
/// members that may not be.
pub(super) fn object(resource: &Custom<'_>, schemas: &mut Schemas<'_>) -> Value {
    let anything = resource.schema.get("x-kubernetes-preserve-unknown-fields").is_true();
    if anything && schemas.dialect() == Dialect::Two {
        return Value::from([
            ("type", "object".into()),
            ("x-kubernetes-group-version-kind", kinds(resource, resource.kind)),
        ]);
    }
    let mut schema = part(resource.schema, schemas);
    schema.set("type", "object");
    let properties = schema.entry("properties").make_object();
    add_meta(properties, schemas, ANY, "ObjectMeta");
    sort(&mut schema);
    schema.set("x-kubernetes-group-version-kind", kinds(resource, resource.kind));
    schema
}

/// The schema of lists.
pub(super) fn list(resource: &Custom<'_>, schemas: &mut Schemas<'_>) -> Value {
    let item = schemas.reference(&resource.type_name(resource.kind));
    let items = Value::from([
        ("description", format!("List of {}.", resource.plural).into()),
        ("type", "array".into()),
        ("items", item),
    ]);
    let mut properties = Map::new();
    properties.insert("items", items);
    add_meta(&mut properties, schemas, ANY_LIST, "ListMeta");
    properties.sort();
    Value::from([
        ("description", format!("{} is a list of {}", resource.list_kind, resource.kind).into()),
        ("type", "object".into()),
        ("required", vec![Value::from("items")].into()),
        ("properties", Value::Object(properties)),
        ("x-kubernetes-group-version-kind", kinds(resource, resource.list_kind)),
    ])
}

fn kinds(resource: &Custom<'_>, kind: &str) -> Value {
    let this = Value::from([
        ("group", resource.group.into()),
        ("kind", kind.into()),
        ("version", resource.version.into()),
    ]);
    vec![this].into()
}

/// Adds kind, version and metadata; `of` is a type whose members are described.
fn add_meta(properties: &mut Map, schemas: &mut Schemas<'_>, of: &str, metadata: &str) {
    for name in ["apiVersion", "kind"] {
        let mut schema = Value::object();
        if let Some(description) = schemas.description(of, name) {
            schema.set("description", description);
        }
        schema.set("type", "string");
        properties.insert(name, schema);
    }
    let reference = schemas.reference(&format!("{META}.{metadata}"));
    let mut schema = match schemas.dialect() {
        Dialect::Two => reference,
        Dialect::Three => Value::from([("allOf", vec![reference].into())]),
    };
    if let Some(description) = schemas.description(of, "metadata") {
        schema.set("description", description);
    }
    properties.insert("metadata", schema);
}

/// What of a schema OpenAPI shows: all of it in version 3; in version 2 what that version knows, and nothing that
/// `kubectl` of old would take for more than it is.
fn part(schema: &Value, schemas: &mut Schemas<'_>) -> Value {
    let two = schemas.dialect() == Dialect::Two;
    let nullable = schema.get("nullable").is_true();
    let preserve = schema.get("x-kubernetes-preserve-unknown-fields").is_true();
    let mut shown = Value::object();
    for (name, value) in schema.members().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "allOf" | "anyOf" | "oneOf" | "not" | "default" | "nullable" if two => {}
            "type" | "items" | "properties" | "additionalProperties" if two && nullable => {}
            "items" | "properties" if two && preserve => {}
            "required" if two => {
                let may_be_null =
                    |name: &Value| schema.at(&["properties", name.str_or_empty(), "nullable"]).is_true();
                let rest: Vec<Value> =
                    value.items().iter().filter(|name| !may_be_null(name)).cloned().collect();
                if !rest.is_empty() {
                    shown.set(name, rest);
                }
            }
            "properties" => {
                let members = value.members().map(|(name, value)| (name.clone(), part(value, schemas)));
                let members: Vec<_> = members.collect();
                shown.set(name, Value::Object(Map::from_entries(members)));
            }
            "items" | "additionalProperties" | "not" if value.as_object().is_some() => {
                shown.set(name, part(value, schemas));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let parts: Vec<Value> = value.items().iter().map(|value| part(value, schemas)).collect();
                shown.set(name, parts);
            }
            _ => shown.set(name, value.clone()),
        }
    }
    if schema.get("x-kubernetes-embedded-resource").is_true() && !(two && preserve) {
        let properties = shown.entry("properties").make_object();
        add_meta(properties, schemas, ANY, "ObjectMeta");
    }
    sort(&mut shown);
    shown
}

fn sort(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.sort();
    }
}
