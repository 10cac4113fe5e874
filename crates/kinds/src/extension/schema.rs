//! The rules of the schemas of custom resources: they must be structural, and within what OpenAPI allows.

mod defaults;
mod expressions;
mod structural;

use std::cell::RefCell;
use std::collections::BTreeSet;

use machinery::Value;
use machinery::structural::{Format, Structural};

use crate::place::Place;
use expressions::{Around, Costs};

/// Deeper schemas are refused by the decoder before they come here.
const DEPTH_MAX: usize = 256;

/// What may stand at the root of a schema whose status is a subresource, by its name here and in upstream's text.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What is wrong with a schema. `status` says that the status is a subresource.
pub(super) fn check(schema: Place<'_>, status: bool) {
    if status {
        check_root(schema);
    }
    if schema.get("nullable").is_true() {
        schema.at("nullable").forbidden("nullable cannot be true at the root");
    }
    let before = schema.error_count();
    structural::check(schema);
    if schema.error_count() == before {
        defaults::check(schema);
    }
    let is_structural = schema.error_count() == before;
    let costs = RefCell::new(Costs::default());
    let around =
        Around { cardinality: Some(1), uncorrelatable: None, costs: is_structural.then_some(&costs) };
    Walk { no_defaults: None, in_meta: false, around }.node(schema, true, 0);
    costs.borrow().report(schema);
}

fn check_root(schema: Place<'_>) {
    for (name, value) in schema.value().members().filter(|(_, value)| !value.is_empty()) {
        if name == "type" && value.as_str() != Some("object") {
            let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                       enabled";
            schema.get("type").invalid(why);
            return;
        }
        if !AT_ROOT.iter().any(|(known, _)| *name == *known) {
            let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            schema.invalid(format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            ));
            return;
        }
    }
}

/// What holds for a part of a schema because of where it stands.
#[derive(Clone, Copy)]
struct Walk<'a> {
    /// Why no defaults may be set here, if they may not.
    no_defaults: Option<NoDefaults>,
    /// The part describes the kind, version or metadata of a whole object.
    in_meta: bool,
    /// What rules need to know.
    around: Around<'a>,
}

#[derive(Clone, Copy)]
enum NoDefaults {
    TopLevel(&'static str),
    OfMaps,
}

impl Walk<'_> {
    fn node(self, schema: Place<'_>, root: bool, depth: usize) {
        if depth > DEPTH_MAX || schema.value().as_object().is_none() {
            return;
        }
        self.standard(schema);
        if schema.get("uniqueItems").is_true() {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            schema.get("uniqueItems").forbidden(why);
        }
        self.members(schema, root, depth);
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for part in schema.get(junctor).items() {
                self.node(part, false, depth + 1);
            }
        }
        self.node(schema.get("not"), false, depth + 1);
        let (items, here) = (schema.get("items"), schema.path());
        let mut around = self.around.times(schema.get("maxItems").value());
        if schema.get("x-kubernetes-list-type").text() != "map" {
            around.uncorrelatable = Some(&here);
        }
        Walk { around, ..self }.node(items, false, depth + 1);
        let kept = schema.get("x-kubernetes-preserve-unknown-fields");
        if kept.value().as_bool() == Some(false) {
            kept.invalid("must be true or undefined");
        }
        check_map_type(schema);
        check_list_type(schema);
        check_keys(schema);
        check_items_of_sets_and_maps(schema);
        let whole = root || schema.get("x-kubernetes-embedded-resource").is_true();
        expressions::check(schema, whole, self.around);
    }

    fn members(self, schema: Place<'_>, root: bool, depth: usize) {
        let here = schema.path();
        let is_atomic = schema.get("x-kubernetes-map-type").text() == "atomic";
        let uncorrelatable = if is_atomic { Some(&here) } else { self.around.uncorrelatable };
        let around = Around { uncorrelatable, ..self.around };
        let (additional, properties) = (schema.get("additionalProperties"), schema.get("properties"));
        if additional.is_set() {
            if !properties.is_empty() && additional.value().as_bool() != Some(true) {
                additional.forbidden("additionalProperties and properties are mutual exclusive");
            }
            let no_defaults = if self.in_meta { Some(NoDefaults::OfMaps) } else { self.no_defaults };
            let around = around.times(schema.get("maxProperties").value());
            let below = Walk { no_defaults, around, ..self };
            below.node(additional, false, depth + 1);
        }
        let whole = root || schema.get("x-kubernetes-embedded-resource").is_true();
        for (name, property) in properties.entries() {
            let mut below = Walk { around, ..self };
            let meta = ["metadata", "kind", "apiVersion"].into_iter().find(|meta| whole && *meta == name);
            if let Some(meta) = meta {
                below.in_meta = true;
                if root {
                    below.no_defaults = Some(NoDefaults::TopLevel(meta));
                }
            }
            below.node(property.with(property.value()), false, depth + 1);
        }
    }

    /// What OpenAPI has and schemas of custom resources may not.
    fn standard(self, schema: Place<'_>) {
        let kind = schema.get("type");
        if !kind.text().is_empty() && !TYPES.contains(&kind.text()) {
            kind.unsupported(&TYPES);
        }
        let default = schema.get("default");
        if default.is_set() {
            match self.no_defaults {
                Some(NoDefaults::TopLevel(meta)) => {
                    default.forbidden(format!("must not be set in top-level {meta}"));
                }
                Some(NoDefaults::OfMaps) => {
                    let why = "must not be set inside additionalProperties applying to object metadata";
                    default.forbidden(why);
                }
                None => {}
            }
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            let member = schema.get(name);
            let may_be_empty = matches!(name, "additionalItems" | "dependencies" | "$ref");
            let is_there = if may_be_empty { member.is_set() } else { !member.is_empty() };
            if is_there {
                member.forbidden(format!("{name} is not supported"));
            }
        }
        if kind.text() == "null" {
            kind.forbidden("type cannot be set to null, use nullable as an alternative");
        }
        if !schema.get("items").value().items().is_empty() {
            schema.get("items").forbidden("items must be a schema object and not an array");
        }
        let embedded = schema.get("x-kubernetes-embedded-resource");
        if self.in_meta && embedded.is_true() {
            embedded.forbidden("must not be used inside of resource meta");
        }
    }
}

/// The type must be `kind` because `extension` is used.
fn needs_type(schema: Place<'_>, kind: &str, extension: &str) -> bool {
    let place = schema.get("type");
    if place.text() == kind {
        return true;
    }
    let why = format!("must be {kind} if {extension} is specified");
    if place.text().is_empty() {
        place.required(&why)
    } else {
        place.invalid(why)
    }
    false
}

fn check_map_type(schema: Place<'_>) {
    let place = schema.get("x-kubernetes-map-type");
    if place.is_set() {
        needs_type(schema, "object", "x-kubernetes-map-type");
        if !matches!(place.text(), "atomic" | "granular") {
            place.unsupported(&["atomic", "granular"]);
        }
    }
}

fn check_list_type(schema: Place<'_>) {
    let place = schema.get("x-kubernetes-list-type");
    if !place.is_set() {
        return;
    }
    let items = schema.get("items");
    if needs_type(schema, "array", "x-kubernetes-list-type") && place.text() == "set" {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match items.get("type").text() {
            "array" if !matches!(items.get("x-kubernetes-list-type").text(), "" | "atomic") => {
                items.get("x-kubernetes-list-type").invalid(why);
            }
            "object" if items.get("x-kubernetes-map-type").text() != "atomic" => {
                items.get("x-kubernetes-map-type").invalid_as(&Value::Null, why);
            }
            _ => {}
        }
    }
    if !matches!(place.text(), "atomic" | "set" | "map") {
        place.unsupported(&["atomic", "set", "map"]);
    }
}

fn check_keys(schema: Place<'_>) {
    let (list, keys) = (schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys"));
    if !keys.is_empty() && list.text() != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list.is_set() { list.invalid(why) } else { list.required(why) }
    }
    if list.text() != "map" {
        return;
    }
    if keys.is_empty() {
        keys.required("must not be empty if x-kubernetes-list-type is map");
    }
    let items = schema.get("items");
    match items.value() {
        Value::Null => return items.required("must have a schema if x-kubernetes-list-type is map"),
        Value::Array(_) => {
            return items.invalid("must only have a single schema if x-kubernetes-list-type is map");
        }
        _ => {}
    }
    if items.get("type").text() != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return items.get("type").invalid_as(items.get("type").text(), why);
    }
    let mut seen = BTreeSet::new();
    for key in keys.value().items().iter().filter_map(Value::as_str) {
        let properties = items.get("properties");
        let property = properties.value().get(key);
        if property.is_null() {
            keys.invalid("entries must all be names of item properties");
        } else if matches!(property.get("type").str_or_empty(), "array" | "object") {
            let place = properties.with(property);
            let place = place.at_key(key);
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            place.get("type").invalid_as(items.get("type").text(), why);
        }
        if !seen.insert(key) {
            keys.invalid("must not contain duplicate entries");
        }
    }
}

/// Items that are told apart cannot be null, and have the members they are told apart by.
fn check_items_of_sets_and_maps(schema: Place<'_>) {
    let (list, items) = (schema.get("x-kubernetes-list-type"), schema.get("items"));
    if !matches!(list.text(), "set" | "map") || items.value().as_object().is_none() {
        return;
    }
    if items.get("nullable").is_true() {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {}", list.text());
        items.get("nullable").forbidden(why);
    }
    if list.text() != "map" {
        return;
    }
    let required = items.value().get("required").items();
    for key in schema.value().get("x-kubernetes-list-map-keys").items().iter().filter_map(Value::as_str) {
        let properties = items.get("properties");
        let property = properties.value().get(key);
        if property.is_null() {
            continue;
        }
        let place = properties.with(property);
        let place = place.at_key(key);
        if !required.iter().any(|name| name.as_str() == Some(key)) && property.get("default").is_null() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                       property";
            place.get("default").required(why);
        }
        if property.get("nullable").is_true() {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            place.get("nullable").forbidden(why);
        }
    }
}

/// Every schema within a schema, itself included.
fn visit(schema: &Value, see: &mut dyn FnMut(&Value)) {
    if schema.as_object().is_none() {
        return;
    }
    see(schema);
    for (_, property) in schema.get("properties").members() {
        visit(property, see);
    }
    for name in ["items", "additionalProperties", "not"] {
        visit(schema.get(name), see);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for part in schema.get(name).items() {
            visit(part, see);
        }
    }
}

/// The formats in a schema that nobody checks, by name.
pub(super) fn unknown_formats(schema: &Value) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    visit(schema, &mut |node| {
        let (kind, format) = (node.get("type").str_or_empty(), node.get("format").str_or_empty());
        if !format.is_empty() && Format::of(kind, format).is_none() {
            unknown.insert(format.to_owned());
        }
    });
    unknown
}

/// Where a selectable field leads: to a text, a number or a truth value outside the metadata. `Err` says why not.
pub(super) fn selectable(schema: &Structural, path: &str) -> Result<String, String> {
    use machinery::structural::{FieldPath, Kind};
    let (found, leaf) =
        FieldPath::follow(path, schema, false).map_err(|why| format!("is an invalid path: {why}"))?;
    if found.root() == "metadata" {
        return Err("must not point to fields in metadata".to_owned());
    }
    if !matches!(leaf.kind, Some(Kind::String | Kind::Boolean | Kind::Integer)) {
        let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                   formats are allowed.";
        return Err(why.to_owned());
    }
    Ok(found.path.as_str().to_owned())
}

#[cfg(test)]
mod tests;
