//! Whether a schema is structural: everything it says about the shape of documents stands outside of `allOf` and its
//! like.

use machinery::Value;

use crate::place::Place;

use super::DEPTH_MAX;

/// Where a part of a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What makes a schema unstructural, sorted by text.
pub(super) fn check(schema: Place<'_>) {
    let before = schema.error_count();
    check_node(schema, Level::Root, 0);
    check_complete(schema, schema, schema, 0);
    schema.sort_from(before);
}

fn check_node(schema: Place<'_>, level: Level, depth: usize) {
    if depth > DEPTH_MAX || schema.value().as_object().is_none() {
        return;
    }
    let kind = schema.get("type");
    let items = schema.get("items");
    if kind.text() == "array" && !items.is_set() {
        items.required("must be specified");
    }
    check_node(items, Level::Item, depth + 1);
    for (_, property) in schema.get("properties").entries() {
        check_node(property, Level::Field, depth + 1);
    }
    let additional = schema.get("additionalProperties");
    if additional.is_set() {
        if level == Level::Root {
            additional.forbidden("must not be used at the root");
        }
        check_node(additional, Level::Field, depth + 1);
    }
    check_extensions(schema);
    check_junctors(schema, skipped(schema.value()), depth);
    check_type(schema, level);
    check_meta(schema, level);
}

fn check_extensions(schema: Place<'_>) {
    if !schema.get("x-kubernetes-int-or-string").is_true() {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if schema.get(name).is_true() {
            schema.get(name).invalid("must be false if x-kubernetes-int-or-string is true");
        }
    }
}

/// Which `anyOf` may speak of types because it only says "a number or text".
#[derive(Clone, Copy, Default)]
struct Skipped {
    own: bool,
    of_first: bool,
}

fn skipped(schema: &Value) -> Skipped {
    let says_it = |any_of: &Value| {
        let is_type = |part: &Value, kind: &str| {
            part.get("type").as_str() == Some(kind)
                && part.members().filter(|(_, value)| !value.is_empty()).count() == 1
        };
        matches!(any_of.items(), [first, second] if is_type(first, "integer") && is_type(second, "string"))
    };
    let first = schema.get("allOf").items().first();
    Skipped {
        own: says_it(schema.get("anyOf")),
        of_first: first.is_some_and(|first| says_it(first.get("anyOf"))),
    }
}

fn check_junctors(schema: Place<'_>, skipped: Skipped, depth: usize) {
    if !skipped.own {
        for part in schema.get("anyOf").items() {
            check_nested(part, Skipped::default(), depth + 1);
        }
    }
    for (position, part) in schema.get("allOf").items().enumerate() {
        let own = skipped.of_first && position == 0;
        check_nested(part, Skipped { own, of_first: false }, depth + 1);
    }
    for part in schema.get("oneOf").items() {
        check_nested(part, Skipped::default(), depth + 1);
    }
    check_nested(schema.get("not"), Skipped::default(), depth + 1);
    let pattern = schema.get("pattern");
    if let Err(why) = machinery::structural::pattern(pattern.text()) {
        pattern.invalid(format!("must be a valid regular expression, but isn't: {why}"));
    }
}

/// What may not be said within a junctor, and how it must be left.
const OUTSIDE_ONLY: [(&str, &str); 12] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];

fn check_nested(schema: Place<'_>, skipped: Skipped, depth: usize) {
    if depth > DEPTH_MAX || schema.value().as_object().is_none() {
        return;
    }
    check_junctors(schema, skipped, depth);
    check_nested(schema.get("items"), Skipped::default(), depth + 1);
    for (_, property) in schema.get("properties").entries() {
        check_nested(property, Skipped::default(), depth + 1);
    }
    for (name, why) in OUTSIDE_ONLY {
        let place = schema.get(name);
        let said = match name {
            "default" | "additionalProperties" => place.is_set(),
            _ => !place.is_empty(),
        };
        if said {
            place.forbidden(why);
        }
    }
    if !schema.get("x-kubernetes-validations").is_empty() {
        schema.get("x-kubernetes-validations").forbidden("must be empty to be structural");
    }
    let properties = schema.get("properties");
    let metadata = properties.value().get("metadata");
    if !metadata.is_null() {
        let place = properties.with(metadata);
        place.at_key("metadata").forbidden("must not be specified in a nested context");
    }
}

fn check_type(schema: Place<'_>, level: Level) {
    let kind = schema.get("type");
    let is_true = |name: &str| schema.get(name).is_true();
    let embedded = is_true("x-kubernetes-embedded-resource");
    if embedded && kind.text() != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        if kind.text().is_empty() { kind.required(why) } else { kind.invalid(why) }
    } else if kind.text().is_empty()
        && !is_true("x-kubernetes-int-or-string")
        && !is_true("x-kubernetes-preserve-unknown-fields")
    {
        kind.required(match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        });
    }
    if embedded && schema.get("additionalProperties").is_set() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        schema.get("additionalProperties").forbidden(why);
    }
    if level == Level::Root && !kind.text().is_empty() && kind.text() != "object" {
        kind.invalid("must be object at the root");
    }
}

/// The kind, version and metadata of a whole object are not for a schema to describe, but for its name.
fn check_meta(schema: Place<'_>, level: Level) {
    let embedded = schema.get("x-kubernetes-embedded-resource").is_true();
    let whole = level == Level::Root || embedded;
    let properties = schema.get("properties");
    for name in ["kind", "apiVersion"] {
        let property = properties.value().get(name);
        if whole && !property.is_null() && property.get("type").as_str() != Some("string") {
            let place = properties.with(property);
            let place = place.at_key(name);
            place.get("type").invalid_as(property.get("type").str_or_empty(), "must be string");
        }
    }
    let metadata = properties.value().get("metadata");
    if !metadata.is_null() {
        let place = properties.with(metadata);
        check_metadata(place.at_key("metadata"), whole, level);
    }
    if embedded && !schema.get("x-kubernetes-preserve-unknown-fields").is_true() && properties.is_empty() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                   x-kubernetes-preserve-unknown-fields";
        properties.required(why);
    }
}

fn check_metadata(metadata: Place<'_>, whole: bool, level: Level) {
    let kind = metadata.get("type");
    if whole && kind.text() != "object" {
        kind.invalid_as(kind.text(), "must be object");
    }
    if level != Level::Root {
        return;
    }
    let only_names = metadata
        .value()
        .get("properties")
        .members()
        .all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let other = metadata.value().members().any(|(name, value)| {
        !matches!(name.as_str(), "type" | "default" | "properties") && !value.is_empty()
    });
    if other || !only_names {
        metadata.forbidden(
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        );
    }
}

/// What junctors speak of is specified outside of them. `place` is the schema itself, `told` the part of a junctor.
fn check_complete(schema: Place<'_>, place: Place<'_>, told: Place<'_>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let not = told.get("not");
    if not.is_set() {
        check_part(schema, place, not, depth + 1);
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for part in told.get(junctor).items() {
            check_part(schema, place, part, depth + 1);
        }
    }
}

fn check_part(schema: Place<'_>, place: Place<'_>, part: Place<'_>, depth: usize) {
    check_complete(schema, place, part, depth);
    let because = |part: Place<'_>| format!("because it is defined in {}", part.path());
    let items = part.get("items");
    if items.is_set() {
        let own = place.get("items");
        if own.is_set() { check_part(schema, own, items, depth + 1) } else { own.required(&because(items)) }
    }
    let properties = part.get("properties");
    for (name, property) in properties.value().members() {
        let told = properties.with(property);
        let told = told.at_key(name);
        let own = place.get("properties");
        let found = own.value().get(name);
        let own = own.with(found);
        let own = own.at_key(name);
        if found.is_null() { own.required(&because(told)) } else { check_part(schema, own, told, depth + 1) }
    }
}
