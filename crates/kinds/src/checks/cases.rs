//! Cases by kind, one a line: what a document that is right is told after one change, on create and on update. What is
//! told was compared with what upstream's own rules tell about the same change.
//!
//! A file of cases holds sections: `= group/version Kind`, `right` with a document, then lines such as
//! `create spec.replicas = -1 ⇒ what is told` or `update/status status.replicas = 3 ⇒`. Nothing after the arrow means
//! that the change is right; `…` at the end that more is told than stands there.

use std::collections::BTreeMap;

use machinery::Value;
use machinery::field::Errors;
use machinery::json::{self, Report};

use super::{document, joined, set};
use crate::{Door, Kind, rules};

const FILES: &[(&str, &str)] = &[
    ("core", include_str!("cases/core.txt")),
    ("workloads", include_str!("cases/workloads.txt")),
    ("networks", include_str!("cases/networks.txt")),
    ("storage", include_str!("cases/storage.txt")),
    ("access", include_str!("cases/access.txt")),
    ("extensions", include_str!("cases/extensions.txt")),
    ("devices", include_str!("cases/devices.txt")),
];

/// Kinds of which the rules refuse nothing: what else is wrong with them, whoever answers them says.
const NEVER_REFUSED: &[&str] = &["SelfSubjectReview", "SelfSubjectRulesReview", "TokenReview"];

/// What happens to a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    Create,
    Update(Door<'a>),
}

/// One line.
struct Case<'a> {
    line: &'a str,
    way: Way<'a>,
    path: &'a str,
    value: &'a str,
    expected: &'a str,
}

/// A document of a kind, and its cases.
struct Section<'a> {
    name: &'a str,
    kind: &'static dyn Kind,
    right: Value,
    cases: Vec<Case<'a>>,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            let (group_version, kind) = name.split_once(' ').unwrap_or_else(|| panic!("no kind in {line}"));
            let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
            let kind = rules(group, version, kind).unwrap_or_else(|| panic!("no rules for {name}"));
            sections.push(Section { name, kind, right: Value::Null, cases: Vec::new() });
            continue;
        }
        let section = sections.last_mut().unwrap_or_else(|| panic!("no kind before {line}"));
        match line.strip_prefix("right ") {
            Some(text) => section.right = right(section.kind, text),
            None => section.cases.push(case(line)),
        }
    }
    sections
}

/// The document with what a server adds.
fn right(kind: &dyn Kind, text: &str) -> Value {
    let mut right = document(text);
    let metadata = right.entry("metadata");
    if metadata.get("name").is_null() {
        metadata.set("name", "x");
    }
    metadata.set("uid", "u-1");
    if kind.policy().namespaced && metadata.get("namespace").is_null() {
        metadata.set("namespace", "n");
    }
    right
}

fn case(line: &str) -> Case<'_> {
    let read = || {
        let (change, expected) = line.split_once('⇒')?;
        let (way, change) = change.split_once(' ')?;
        let (path, value) = change.split_once(" = ")?;
        let way = match way.split_once('/') {
            None if way == "create" => Way::Create,
            None if way == "update" => Way::Update(Door::Main),
            Some(("update", door)) => Way::Update(Door::Sub(door)),
            _ => return None,
        };
        Some(Case { line, way, path: path.trim(), value: value.trim(), expected: expected.trim() })
    };
    read().unwrap_or_else(|| panic!("not a case: {line}"))
}

/// Reads a document as a server does that it is sent to.
fn read(table: &api::Table, name: &str, object: &Value) -> Value {
    let (api_version, kind) = name.split_once(' ').unwrap_or_else(|| panic!("no kind in {name}"));
    let kind = table.kind_of(api_version, kind).unwrap_or_else(|| panic!("there is no {name}"));
    json::decode(&json::to_vec(object), table.type_of(kind), &mut Report::ignoring())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a change is told.
fn told(table: &api::Table, section: &Section<'_>, case: &Case<'_>) -> String {
    let fill = |object: &mut Value| {
        *object = read(table, section.name, object);
        section.kind.default(object);
    };
    let mut object = section.right.clone();
    let mut errors = Errors::new();
    match case.way {
        Way::Create => {
            set(&mut object, case.path, document(case.value));
            fill(&mut object);
            section.kind.prepare_create(&mut object);
            section.kind.validate_create(&object, &mut errors);
        }
        Way::Update(door) => {
            fill(&mut object);
            section.kind.prepare_create(&mut object);
            // What is stored has lost what says nothing, and a client sends that.
            let old = read(table, section.name, &object);
            object.clone_from(&old);
            set(&mut object, case.path, document(case.value));
            fill(&mut object);
            section.kind.prepare_update(&mut object, &old, door);
            section.kind.validate_update(&object, &old, door, &mut errors);
        }
    }
    joined(&errors).replace('\n', "\\n").replace('\t', "\\t").trim_end().to_owned()
}

fn fits(told: &str, expected: &str) -> bool {
    expected.strip_suffix('…').map_or(told == expected, |beginning| told.starts_with(beginning))
}

#[test]
fn each_case_is_told_what_it_should_be() {
    let table = api::Table::load();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, text) in FILES {
        for section in sections(text) {
            let unchanged = ["create", "update"].map(|way| format!("{way} metadata.uid = \"u-1\" ⇒"));
            let unchanged: Vec<Case<'_>> = unchanged.iter().map(|line| case(line)).collect();
            for case in unchanged.iter().chain(&section.cases) {
                count += 1;
                let told = told(&table, &section, case);
                if !fits(&told, case.expected) {
                    wrong.push(format!("{file} {}: {}\n  told {told}", section.name, case.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// How many cases a kind has: right and refused on create, right and refused on update.
type Tally = [usize; 4];

fn tally() -> BTreeMap<String, Tally> {
    let mut tally: BTreeMap<String, Tally> = BTreeMap::new();
    for section in FILES.iter().flat_map(|(_, text)| sections(text)) {
        let counts = tally.entry(section.name.to_owned()).or_default();
        counts[0] += 1;
        for case in &section.cases {
            counts[usize::from(case.way != Way::Create) * 2 + usize::from(!case.expected.is_empty())] += 1;
        }
    }
    tally
}

#[test]
fn every_kind_has_cases_both_ways() {
    let (table, tally) = (api::Table::load(), tally());
    let mut missing = Vec::new();
    for resource in table.resources().filter(|resource| !resource.version.contains("beta")) {
        let name = format!("{} {}", resource.api_version(), resource.kind);
        let counts = tally.get(&name).copied().unwrap_or_default();
        let (creates, updates) = (resource.allows(api::Verb::Create), resource.allows(api::Verb::Update));
        let refused = !NEVER_REFUSED.contains(&resource.kind);
        let wanted = [creates, creates && refused, updates, updates && refused];
        let ways = ["a right create", "a refused create", "a right update", "a refused update"];
        for ((way, is_wanted), count) in ways.into_iter().zip(wanted).zip(counts) {
            if is_wanted && count == 0 {
                missing.push(format!("{name}: {way}"));
            }
        }
    }
    let total: usize = tally.values().flatten().sum();
    println!("{total} cases of {} kinds", tally.len());
    assert!(missing.is_empty(), "{} ways have no case:\n{}", missing.len(), missing.join("\n"));
}
