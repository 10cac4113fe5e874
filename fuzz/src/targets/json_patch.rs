//! JSON patches.

use api::Table;
use machinery::Value;
use machinery::json::{self, Report};
use machinery::patch::{self, Shown};

use super::seeds;
use crate::target::{Target, Verdict, halves, holds, joined, outcome, same};

const WORDS: &[&str] = &[
    "{\"op\":\"test\",\"path\":\"\"},",
    "\"op\":\"add\"",
    "\"op\":\"copy\"",
    "\"op\":\"move\"",
    "\"op\":\"remove\"",
    "\"from\":\"\"",
    "\"path\":\"/spec/containers/-\"",
    "/0",
    "/-1",
    "/01",
    "~0",
    "~1",
    "~2",
    "/spec/containers",
    "/metadata/labels/a",
    "/99999999999999999999",
];
const PATCHES: &[&str] = &[
    r#"[{"op":"add","path":"/metadata/labels/e","value":"f"},{"op":"remove","path":"/spec/volumes/0"}]"#,
    r#"[{"op":"test","path":"/metadata/name","value":"p"},{"op":"replace","path":"/spec/containers/0/image","value":"j"}]"#,
    r#"[{"op":"copy","from":"/spec/containers/0","path":"/spec/containers/-"},{"op":"move","from":"/metadata/labels/a","path":"/metadata/labels/b"}]"#,
    r#"[{"op":"add","path":"/spec","value":{"containers":[{"name":"x"}]}},{"op":"add","path":"","value":{}}]"#,
    r#"[{"op":"copy","from":"","path":"/spec/nodeSelector/k"},{"op":"add","path":"/metadata/labels/a~1b~0c","value":"d"}]"#,
];

pub fn target() -> Target {
    let table = Table::load();
    let seeds = PATCHES
        .iter()
        .flat_map(|text| [seeds::POD, r#"{"a":[1,{"b":[]}]}"#].map(|document| joined(document, text)));
    let seeds = seeds.collect();
    Target { name: "json-patch", seeds, words: WORDS, run: Box::new(move |input| run(&table, input)) }
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let (body, change) = halves(input);
    let document = json::parse(body).unwrap_or_default();
    reverses(&document)?;
    let mut report = Report::new();
    let patched = match patch::json(document, change, &mut report) {
        Ok(patched) => patched,
        Err(status) => return Ok(outcome("refused", &status.message)),
    };
    json::parse(&json::to_vec(&patched)).map_err(|error| format!("what was patched is no JSON: {error}"))?;
    let ty = seeds::type_of(table, body);
    match patch::settle(&patched, &Shown::Document, ty, &mut report) {
        Ok(settled) => holds("what is settled is an object", settled.as_object().is_some())?,
        Err(status) => return Ok(outcome("none of its kind", &status.message)),
    }
    Ok(format!("patched {}", report.strict_errors().len().min(3)))
}

/// What is put in beside and taken out again has never been.
fn reverses(document: &Value) -> Result<(), String> {
    if document.as_object().is_none_or(|map| map.contains_key("~/x")) {
        return Ok(());
    }
    const THERE_AND_BACK: &[u8] =
        br#"[{"op":"add","path":"/~0~1x","value":[1]},{"op":"add","path":"/~0~1x/0","value":2},{"op":"test","path":"/~0~1x","value":[2,1]},{"op":"remove","path":"/~0~1x"}]"#;
    let back =
        patch::json(document.clone(), THERE_AND_BACK, &mut Report::new()).map_err(|status| status.message)?;
    same("what was put in and taken out leaves nothing", &back, document)
}
