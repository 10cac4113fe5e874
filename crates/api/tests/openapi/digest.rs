//! Digests of documents: what is left of upstream's documents where they are not at hand.

use std::collections::BTreeMap;

use machinery::{Value, json};

/// The digest of a document (FNV-1a), whatever the order of its members.
pub fn of(document: &Value) -> String {
    let text = json::to_string(&sorted(document));
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(_) => {
            let members: BTreeMap<&str, &Value> =
                value.members().map(|(name, member)| (name.as_str(), member)).collect();
            let mut object = Value::object();
            for (name, member) in members {
                object.set(name, sorted(member));
            }
            object
        }
        Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

/// Compares digests with those that are expected: lines of a digest and what it is of.
pub fn compare(found: &BTreeMap<String, String>, expected: &str) {
    let expected: BTreeMap<String, String> = expected
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(digest, name)| (name.to_owned(), digest.to_owned()))
        .collect();
    let names: Vec<&String> =
        found.keys().chain(expected.keys().filter(|name| !found.contains_key(*name))).collect();
    let differing: Vec<String> = names
        .into_iter()
        .filter(|name| found.get(*name) != expected.get(*name))
        .map(|name| match (found.get(name), expected.contains_key(name)) {
            (Some(digest), true) => format!("{digest} {name} (differs)"),
            (Some(digest), false) => format!("{digest} {name} (is not expected)"),
            (None, _) => format!("{name} (is missing)"),
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{}",
        differing.len(),
        expected.len(),
        differing.join("\n")
    );
}
