//! The rules of every kind: defaults, checks, what updates keep, and the rows of tables.

use api::Table;
use kinds::{Door, Kind};
use machinery::Value;
use machinery::field::Errors;
use machinery::json::{self, Report};

use super::seeds;
use crate::target::{SEPARATOR, Target, Verdict, halves, joined, outcome, same};

const WORDS: &[&str] = &[
    "\"selector\":{\"matchLabels\":{\"a\":\"b\"}},",
    "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}},",
    "\"metadata\":{\"name\":\"x\",\"namespace\":\"d\"},",
    "\"ports\":[{\"port\":80}],",
    "\"replicas\":-1,",
    "\"1.2.3.4\"",
    "\"fd00::1\"",
    "\"x.io/a\"",
    "\"100m\"",
    "\"expression\":\"true\",",
    "\"* * * * *\"",
    "\"Always\"",
    "\"TCP\"",
    "\"deletionTimestamp\":\"2024-01-01T00:00:00Z\",",
];

pub fn target() -> Target {
    let table = Table::load();
    let drawn = seeds::of_every_kind(&table);
    let drawn = drawn.iter().map(|document| [&json::to_vec(document)[..], &[SEPARATOR], b"{}"].concat());
    let by_hand =
        [seeds::POD, seeds::SERVICE, seeds::DEPLOYMENT, seeds::DEFINITION].map(|text| joined(text, text));
    let seeds = by_hand.into_iter().chain(drawn).collect();
    Target { name: "kinds", seeds, words: WORDS, run: Box::new(move |input| run(&table, input)) }
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let (body, before) = halves(input);
    let meta = json::type_meta(body).unwrap_or_default();
    let Some(kind) = table.kind_of(&meta.api_version, &meta.kind) else { return Ok("no kind".to_owned()) };
    let Some(rules) = kinds::rules(kind.group, kind.version, kind.kind) else {
        return Ok("no rules".to_owned());
    };
    let ty = table.type_of(kind);
    let read = |body: &[u8]| {
        let mut object = json::decode(body, ty, &mut Report::ignoring()).ok()?;
        rules.default(&mut object);
        json::canonicalize(&mut object, ty);
        Some(object)
    };
    let Some(mut object) = read(body) else { return Ok("no object".to_owned()) };
    let mut again = object.clone();
    rules.default(&mut again);
    json::canonicalize(&mut again, ty);
    same("what is filled in stays so", &json::to_string(&again), &json::to_string(&object))?;
    let looked = |object: &Value| {
        (rules.row(object, 0).len(), rules.selectable(object).len(), rules.warnings(object, None).len())
    };
    same("a row has a cell for each column", &looked(&object).0, &rules.columns().len())?;
    if let Some(old) = read(before) {
        changes(rules, &object, &old);
    }
    rules.prepare_create(&mut object);
    let mut errors = Errors::new();
    rules.validate_create(&object, &mut errors);
    Ok(match errors.first() {
        Some(error) => outcome(kind.kind, &error.to_string()),
        None => format!("{} is right", kind.kind),
    })
}

/// Through every door; nothing is promised but that it ends.
fn changes(rules: &dyn Kind, object: &Value, old: &Value) {
    for door in ["", "status", "resize", "approval", "ephemeralcontainers", "finalize", "scale"] {
        let door = if door.is_empty() { Door::Main } else { Door::Sub(door) };
        let mut object = object.clone();
        rules.prepare_update(&mut object, old, door);
        rules.validate_update(&object, old, door, &mut Errors::new());
        rules.warnings(&object, Some(old));
    }
}
