//! What the tests of all kinds share: a document that is right, and what each change of it is told.

use machinery::field::{Error, Errors};
use machinery::{Value, json};

use crate::{Door, Kind, rules};

/// A kind and a document of it that is right.
pub(crate) struct Bench {
    kind: &'static dyn Kind,
    right: Value,
}

/// Reads JSON.
pub(crate) fn document(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Sets what stands at `path`, such as `spec.containers[0].name`.
pub(crate) fn set(document: &mut Value, path: &str, value: Value) {
    let mut node = document;
    for part in path.split('.').map(|part| part.replace('~', ".")) {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name.to_owned(), index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part.clone(), None),
        };
        node = node.entry(&name);
        if let Some(index) = index {
            let list = node.make_array();
            while list.len() <= index {
                list.push(Value::object());
            }
            node = &mut list[index];
        }
    }
    *node = value;
}

fn joined(errors: &Errors) -> String {
    let mut texts: Vec<String> = errors.iter().map(Error::to_string).collect();
    texts.dedup();
    texts.join(" | ")
}

impl Bench {
    /// The document is filled in and must be right.
    pub(crate) fn new(group: &str, version: &str, kind: &str, text: &str) -> Bench {
        let rules = rules(group, version, kind).unwrap_or_else(|| panic!("no rules for {kind}"));
        let mut right = document(text);
        let metadata = right.entry("metadata");
        if metadata.get("name").is_null() {
            metadata.set("name", "x");
        }
        metadata.set("uid", "u-1");
        if rules.policy().namespaced {
            metadata.set("namespace", "n");
        }
        let bench = Bench { kind: rules, right };
        assert_eq!(bench.told(|_| {}), "", "{kind} is right");
        bench
    }

    /// What the document is told after a change, before it is filled in.
    pub(crate) fn told(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut object = self.right.clone();
        change(&mut object);
        self.kind.default(&mut object);
        self.kind.prepare_create(&mut object);
        let mut errors = Errors::new();
        self.kind.validate_create(&object, &mut errors);
        joined(&errors)
    }

    /// Each path is set to each JSON value, and what is told must begin like that; nothing must be told where nothing
    /// is expected.
    pub(crate) fn check(&self, cases: &[(&str, &str, &str)]) {
        let mut wrong = Vec::new();
        for (path, value, expected) in cases {
            let told = self.told(|object| set(object, path, document(value)));
            let fits = if expected.is_empty() { told.is_empty() } else { told.starts_with(expected) };
            if !fits {
                wrong.push(format!("{path} = {value}\n  told     {told}\n  expected {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Whatever stands at a path, these values are refused there.
    pub(crate) fn refuses(&self, paths: &[&str], values: &[&str]) {
        for path in paths {
            for value in values {
                let told = self.told(|object| set(object, path, document(value)));
                let place = path.replace('~', ".");
                assert!(told.contains(&format!("{place}: ")), "{path} = {value}: {told}");
            }
        }
    }

    /// What an update through a door is told when a path is set.
    pub(crate) fn check_updates(&self, door: Door<'_>, cases: &[(&str, &str, &str)]) {
        let mut old = self.right.clone();
        self.kind.default(&mut old);
        self.kind.prepare_create(&mut old);
        for (path, value, expected) in cases {
            let mut object = old.clone();
            set(&mut object, path, document(value));
            self.kind.default(&mut object);
            self.kind.prepare_update(&mut object, &old, door);
            let mut errors = Errors::new();
            self.kind.validate_update(&object, &old, door, &mut errors);
            let told = joined(&errors);
            let fits = if expected.is_empty() { told.is_empty() } else { told.contains(expected) };
            assert!(fits, "{path} = {value}\n  told     {told}\n  expected {expected}");
        }
    }

    /// The filled-in document.
    pub(crate) fn filled_in(&self) -> Value {
        let mut object = self.right.clone();
        self.kind.default(&mut object);
        self.kind.prepare_create(&mut object);
        object
    }
}

/// Values that are no RFC 1123 label.
pub(crate) const NO_LABELS: &[&str] = &[
    "\"A\"",
    "\"a_b\"",
    "\"-a\"",
    "\"a-\"",
    "\"a b\"",
    "\"a.b\"",
    "\"ä\"",
    "\"a/b\"",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
];
/// Values that are no RFC 1123 subdomain.
pub(crate) const NO_SUBDOMAINS: &[&str] =
    &["\"A\"", "\"a_b\"", "\"-a\"", "\"a-\"", "\"a b\"", "\"a..b\"", "\".a\"", "\"a.\"", "\"ä\"", "\"a/b\""];
/// Values that are no port.
pub(crate) const NO_PORTS: &[&str] = &["65536", "-1", "70000"];
/// Values below zero.
pub(crate) const NEGATIVE: &[&str] = &["-1", "-2147483648"];
/// Values that no enumeration has.
pub(crate) const NO_CHOICE: &[&str] = &["\"Odd\"", "\"always\"", "\"x y\""];
/// Values that are no qualified name.
pub(crate) const NO_QUALIFIED: &[&str] = &["\"a b\"", "\"/a\"", "\"a/\"", "\"a/b/c\"", "\"-a\"", "\"A_/b\""];

mod cases;
mod cluster;
mod workloads;
