//! From `openAPIV3Schema` to a compiled schema.

use regex::Regex;
use smol_str::SmolStr;

use super::{Additional, Format, Kind, List, Rule, Rules, Structural};
use crate::Value;

/// A pattern may not compile to more than this; upstream's engine has a limit of the same kind.
const PATTERN_MAX: usize = 8 << 20;

pub(super) fn compile(schema: &Value) -> Structural {
    let is_true = |name: &str| schema.get(name).is_true();
    let properties = schema.get("properties").members();
    let mut properties: Vec<(SmolStr, Structural)> =
        properties.map(|(name, property)| (name.into(), compile(property))).collect();
    properties.sort_by(|a, b| a.0.cmp(&b.0));
    let items = schema.get("items");
    let items = items.as_object().map(|_| Box::new(compile(items)));
    let default = schema.get("default");
    let mut compiled = Structural {
        kind: Kind::named(schema.get("type").str_or_empty()),
        nullable: is_true("nullable"),
        default: (!default.is_null()).then(|| sorted(default)),
        int_or_string: is_true("x-kubernetes-int-or-string"),
        preserve: is_true("x-kubernetes-preserve-unknown-fields"),
        embedded: is_true("x-kubernetes-embedded-resource"),
        list: list(schema),
        atomic_map: schema.get("x-kubernetes-map-type").as_str() == Some("atomic"),
        properties: properties.into(),
        additional: additional(schema.get("additionalProperties")),
        items,
        rules: rules(schema),
        validations: schema.get("x-kubernetes-validations").items().iter().map(Rule::of).collect(),
        fills: false,
    };
    compiled.fills = fills(&compiled);
    compiled
}

/// A value as documents have it: members in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map = map.clone();
            for (_, member) in map.iter_mut() {
                *member = sorted(member);
            }
            map.sort();
            Value::Object(map)
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}

fn fills(schema: &Structural) -> bool {
    let below = |schema: &Structural| schema.default.is_some() || schema.fills;
    schema.properties.iter().any(|(_, property)| below(property))
        || schema.items.as_deref().is_some_and(below)
        || matches!(&schema.additional, Additional::Each(each) if below(each))
}

fn additional(value: &Value) -> Additional {
    match value {
        Value::Bool(true) => Additional::Anything,
        Value::Bool(false) => Additional::Nothing,
        Value::Object(_) => Additional::Each(Box::new(compile(value))),
        _ => Additional::Unsaid,
    }
}

fn list(schema: &Value) -> Option<List> {
    match schema.get("x-kubernetes-list-type").str_or_empty() {
        "atomic" => Some(List::Atomic),
        "set" => Some(List::Set),
        "map" => Some(List::Map(texts(schema.get("x-kubernetes-list-map-keys")))),
        _ => None,
    }
}

fn texts(list: &Value) -> Box<[SmolStr]> {
    list.items().iter().filter_map(Value::as_str).map(SmolStr::new).collect()
}

fn rules(schema: &Value) -> Rules {
    let bound = |name: &str, exclusive: &str| {
        number(schema.get(name)).map(|bound| (bound, schema.get(exclusive).is_true()))
    };
    let count = |name: &str| schema.get(name).as_int();
    let all = |name: &str| schema.get(name).items().iter().map(compile).collect();
    let not = schema.get("not");
    Rules {
        format: Format::of(schema.get("type").str_or_empty(), schema.get("format").str_or_empty()),
        maximum: bound("maximum", "exclusiveMaximum"),
        minimum: bound("minimum", "exclusiveMinimum"),
        multiple_of: number(schema.get("multipleOf")),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        pattern: pattern(schema.get("pattern").str_or_empty()),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        unique_items: schema.get("uniqueItems").is_true(),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        required: texts(schema.get("required")),
        choices: schema.get("enum").items().iter().map(sorted).collect(),
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: not.as_object().map(|_| Box::new(compile(not))),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn pattern(text: &str) -> Option<(SmolStr, Option<Regex>)> {
    (!text.is_empty()).then(|| (SmolStr::new(text), regex(text).ok()))
}

/// Compiles a pattern of a schema; `Err` says what is wrong with it.
pub(crate) fn regex(text: &str) -> Result<Regex, String> {
    // Go's `\z` is the end of the text as here; its `\Q…\E` and octal escapes are not known here and do not come up.
    let built = regex::RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
    built.map_err(|error| error.to_string())
}
