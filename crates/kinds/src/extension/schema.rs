//! The rules of the schemas of custom resources: they must be structural.

use machinery::Value;

use crate::place::Place;

/// What is wrong with a schema.
pub(super) fn check(schema: Place<'_>) {
    let kind = schema.get("type");
    if kind.text().is_empty() {
        kind.required("must not be empty at the root");
    } else if kind.text() != "object" {
        kind.invalid("must be object at the root");
    }
    check_node(schema, 0);
    check_metadata(schema);
}

/// Deeper schemas are refused by the decoder before they come here.
const DEPTH_MAX: usize = 256;

fn check_node(schema: Place<'_>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    if !schema.get("$ref").text().is_empty() {
        schema.get("$ref").forbidden("$ref is not supported");
    }
    if schema.get("uniqueItems").is_true() {
        schema
            .get("uniqueItems")
            .forbidden("uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    let kept = schema.get("x-kubernetes-preserve-unknown-fields");
    if kept.value().as_bool() == Some(false) {
        kept.invalid("must be true or undefined");
    }
    check_type(schema, depth);
    check_lists(schema);
    check_default(schema);
    for (_, property) in schema.get("properties").entries() {
        check_node(property, depth + 1);
    }
    for member in ["items", "additionalProperties"] {
        let part = schema.get(member);
        if part.value().as_object().is_some() {
            check_node(part, depth + 1);
        }
    }
    if !schema.get("properties").is_empty() && schema.get("additionalProperties").is_set() {
        schema
            .get("additionalProperties")
            .forbidden("additionalProperties and properties are mutual exclusive");
    }
}

fn check_type(schema: Place<'_>, depth: usize) {
    let kind = schema.get("type");
    let free = schema.get("x-kubernetes-int-or-string").is_true()
        || schema.get("x-kubernetes-preserve-unknown-fields").is_true();
    match kind.text() {
        "" if free || depth == 0 => {}
        "" => kind.required("must not be empty for specified object fields"),
        "object" | "array" | "string" | "integer" | "number" | "boolean" => {}
        "null" => kind.forbidden("type cannot be set to null, use nullable as an alternative"),
        _ => kind.unsupported(&["array", "boolean", "integer", "number", "object", "string"]),
    }
    if kind.text() == "array" && !schema.get("items").is_set() {
        schema.get("items").required("must be specified");
    }
}

fn check_lists(schema: Place<'_>) {
    let (list, keys) = (schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys"));
    if list.is_set() {
        if schema.get("type").text() != "array" {
            let place = schema.get("type");
            if place.text().is_empty() {
                place.required("must be array if x-kubernetes-list-type is specified");
            } else {
                place.invalid("must be array if x-kubernetes-list-type is specified");
            }
        }
        list.one_of(&["atomic", "map", "set"]);
    }
    if keys.is_empty() {
        if list.text() == "map" {
            keys.required("must not be empty if x-kubernetes-list-type is map");
        }
        return;
    }
    if list.text() != "map" {
        let told = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list.is_set() { list.invalid(told) } else { list.required(told) }
    }
    let items = schema.value().get("items");
    for key in keys.items() {
        if items.at(&["properties", key.text()]).is_null() {
            key.invalid("entries must all be names of item properties");
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_default(schema: Place<'_>) {
    let (default, kind) = (schema.get("default"), schema.get("type").text());
    if !default.is_set() || kind.is_empty() {
        return;
    }
    let found = kind_of(default.value());
    let fits = found == kind || (kind == "number" && found == "integer");
    if !fits {
        default.invalid_as(found, format!(" in body must be of type {kind}: \"{found}\""));
    }
}

/// The metadata of an object is not for a schema to describe, but for its names.
fn check_metadata(schema: Place<'_>) {
    let properties = schema.get("properties");
    let metadata = properties.value().get("metadata");
    if metadata.is_null() {
        return;
    }
    let mut bare = metadata.clone();
    for known in ["type", "description", "title"] {
        bare.remove(known);
    }
    if let Some(own) = bare.get_mut("properties") {
        own.remove("name");
        own.remove("generateName");
    }
    if bare.get("properties").is_empty() {
        bare.remove("properties");
    }
    if bare.members().next().is_some() {
        let place = properties.with(metadata);
        place.at_key("metadata").forbidden(
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        );
    }
}

/// Whether a path of members ends at a text, number or truth value.
pub(super) fn leads_to_scalar(schema: &Value, path: &str) -> bool {
    let mut node = schema;
    for part in path.trim_start_matches('.').split('.') {
        node = node.at(&["properties", part]);
    }
    matches!(node.get("type").str_or_empty(), "string" | "integer" | "boolean")
}
