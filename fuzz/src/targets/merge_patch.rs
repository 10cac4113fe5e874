//! Merge patches: what they make, that they make it once, and that a difference applied makes what it was taken from.

use machinery::json::{self, Report};
use machinery::patch;

use super::seeds;
use crate::differ;
use crate::target::{Target, Verdict, halves, joined, outcome, same};

const WORDS: &[&str] =
    &["null", "{\"metadata\":{\"labels\":{\"a\":null}}}", "\"spec\":null,", "\"a\":{},", "[null]"];
const PATCHES: &[&str] = &[
    r#"{"metadata":{"labels":{"a":null,"e":"f"}},"spec":{"containers":[{"name":"x"}]}}"#,
    r#"{"spec":null,"status":{"phase":"Running"},"a":{"b":{"c":null}}}"#,
    r#"{"a":[1,{"b":null}],"c":{"d":[]}}"#,
    seeds::SERVICE,
];

pub fn target() -> Target {
    let seeds = PATCHES
        .iter()
        .flat_map(|text| [seeds::POD, r#"{"a":{"b":1},"c":7}"#].map(|document| joined(document, text)));
    Target { name: "merge-patch", seeds: seeds.collect(), words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8]) -> Verdict {
    let (body, text) = halves(input);
    let document = json::parse(body).unwrap_or_default();
    let patched = match patch::merge(document.clone(), text, &mut Report::new()) {
        Ok(patched) => patched,
        Err(status) => return Ok(outcome("refused", &status.message)),
    };
    let change = json::parse(text).map_err(|error| format!("what was applied is no JSON: {error}"))?;
    same(
        "a patch makes what it makes once",
        &patch::merge_values(patched.clone(), change.clone()),
        &patched,
    )?;
    let (mut from, mut to) = (document, change);
    differ::without_nulls(&mut from);
    differ::without_nulls(&mut to);
    let difference = differ::merge(&from, &to);
    if to.as_object().is_some() && from.as_object().is_some() {
        same(
            "a difference applied makes what it was taken from",
            &patch::merge_values(from.clone(), difference.clone()),
            &to,
        )?;
    }
    let other = differ::merge(&to, &from);
    if differ::are_apart(&difference, &other) {
        let one_first =
            patch::merge_values(patch::merge_values(from.clone(), difference.clone()), other.clone());
        let other_first = patch::merge_values(patch::merge_values(from, other), difference);
        same("it does not matter which of two comes first that are apart", &one_first, &other_first)?;
    }
    Ok(format!("patched {}", patched.members().count().min(9)))
}
