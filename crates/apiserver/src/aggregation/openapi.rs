//! The OpenAPI of foreign servers, as a part of ours: their paths, and the definitions those need. Where both have a
//! definition of the same name that says something else, theirs gets another name, as upstream does it.

use std::collections::{BTreeMap, BTreeSet};

use machinery::Value;

/// What the references to definitions begin with.
const REFERENCE: &str = "#/definitions/";

/// Adds what a foreign document of version 2 says below a path to ours.
pub fn merge(ours: &mut Value, theirs: &Value, path: &str) {
    let below = format!("{path}/");
    let is_below = |name: &str| name == path || name.starts_with(&below);
    let paths: Vec<(&str, &Value)> = theirs
        .get("paths")
        .members()
        .map(|(name, item)| (name.as_str(), item))
        .filter(|(name, _)| is_below(name) && ours.get("paths").get(name).is_null())
        .collect();
    let definitions = theirs.get("definitions");
    let mut needed = BTreeSet::new();
    paths.iter().for_each(|(_, item)| collect(item, definitions, &mut needed));
    let parameters: Vec<(&str, &Value)> =
        theirs.get("parameters").members().map(|(name, value)| (name.as_str(), value)).collect();
    let names = names(ours.get("definitions"), definitions, &needed);
    for name in &needed {
        let new = names.get(name).unwrap_or(name);
        let known = ours.get("definitions").get(new);
        if known.is_null() && !definitions.get(name).is_null() {
            ours.entry("definitions").set(new, renamed(definitions.get(name), &names));
        }
    }
    for (name, item) in paths {
        ours.entry("paths").set(name, renamed(item, &names));
    }
    for (name, parameter) in parameters {
        if ours.get("parameters").get(name).is_null() {
            ours.entry("parameters").set(name, renamed(parameter, &names));
        }
    }
}

/// Collects the definitions that something refers to, and those that they refer to.
fn collect(value: &Value, definitions: &Value, needed: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter() {
                match (name.as_str(), member.as_str().and_then(|text| text.strip_prefix(REFERENCE))) {
                    ("$ref", Some(found)) => {
                        if needed.insert(found.to_owned()) {
                            collect(definitions.get(found), definitions, needed);
                        }
                    }
                    _ => collect(member, definitions, needed),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, definitions, needed)),
        _ => {}
    }
}

/// New names for those that mean something else with us.
fn names(ours: &Value, theirs: &Value, needed: &BTreeSet<String>) -> BTreeMap<String, String> {
    let differs = |name: &&String| {
        let known = ours.get(name.as_str());
        !known.is_null() && known != theirs.get(name.as_str())
    };
    let free = |name: &String| {
        let mut number = 2;
        loop {
            let candidate = format!("{name}_v{number}");
            let known = ours.get(&candidate);
            if known.is_null() || known == theirs.get(name) {
                return candidate;
            }
            number += 1;
        }
    };
    needed.iter().filter(differs).map(|name| (name.clone(), free(name))).collect()
}

/// The same, with references to the new names.
fn renamed(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(members) => {
            let mut copy = Value::object();
            for (name, member) in members.iter() {
                let reference = member.as_str().and_then(|text| text.strip_prefix(REFERENCE));
                match (name.as_str(), reference.and_then(|found| names.get(found))) {
                    ("$ref", Some(new)) => copy.set(name, format!("{REFERENCE}{new}")),
                    _ => copy.set(name, renamed(member, names)),
                }
            }
            copy
        }
        Value::Array(items) => Value::from(items.iter().map(|item| renamed(item, names)).collect::<Vec<_>>()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn theirs_is_added_and_ours_stays() {
        let mut ours = parse(
            r##"{"paths":{"/api/":{"get":1}},"definitions":{"Meta":{"type":"object"},"Same":{"type":"string"}}}"##,
        );
        let theirs = parse(
            r##"{"paths":{"/apis/":{"get":2},"/apis/w/v1/":{"get":3},"/apis/w/v1/things":{"$ref":"#/definitions/Thing"},
                "/apis/w/v10/things":{"get":4}},
                "definitions":{"Thing":{"properties":{"m":{"$ref":"#/definitions/Meta"},"s":{"$ref":"#/definitions/Same"},
                "t":{"items":[{"$ref":"#/definitions/Thing"}]}}},"Meta":{"type":"string"},"Same":{"type":"string"},
                "Unused":{}}}"##,
        );
        merge(&mut ours, &theirs, "/apis/w/v1");
        let expected = parse(
            r##"{"paths":{"/api/":{"get":1},"/apis/w/v1/":{"get":3},"/apis/w/v1/things":{"$ref":"#/definitions/Thing"}},
                "definitions":{"Meta":{"type":"object"},"Same":{"type":"string"},"Meta_v2":{"type":"string"},
                "Thing":{"properties":{"m":{"$ref":"#/definitions/Meta_v2"},"s":{"$ref":"#/definitions/Same"},
                "t":{"items":[{"$ref":"#/definitions/Thing"}]}}}}}"##,
        );
        assert_eq!(ours, expected);
        merge(&mut ours, &theirs, "/apis/w/v1");
        assert_eq!(ours, expected, "twice is as good as once");
    }
}
