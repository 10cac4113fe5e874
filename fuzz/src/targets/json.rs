//! JSON, by a schema and without one, and objects as the store keeps them.

use api::Table;
use machinery::Object;
use machinery::json::{self, Report};

use super::seeds;
use crate::target::{Target, Verdict, holds, outcome, same};

const WORDS: &[&str] = &[
    "\"metadata\":{",
    "\"name\":\"x\",",
    "\"managedFields\":[{}],",
    "\"resourceVersion\":\"7\",",
    "\"kind\":\"Pod\",",
    "\"2024-01-01T00:00:00Z\"",
    "\"1Ki\"",
    "\"aGk=\"",
    "\"creationTimestamp\":null,",
    "\"spec\":",
    "\"items\":[",
];

pub fn target() -> Target {
    let table = Table::load();
    let drawn = seeds::of_every_kind(&table).iter().map(json::to_vec).collect::<Vec<_>>();
    let seeds = seeds::by_hand().map(|text| text.as_bytes().to_vec()).chain(drawn).collect();
    Target { name: "json", seeds, words: WORDS, run: Box::new(move |body| run(&table, body)) }
}

fn run(table: &Table, body: &[u8]) -> Verdict {
    let free = json::parse(body);
    if let Ok(value) = &free {
        // A negative zero with a fraction is one without when it is read again; nothing else may change.
        let once = json::parse(&json::to_vec(value))
            .map_err(|error| format!("what was written is none: {error}"))?;
        let twice = json::parse(&json::to_vec(&once))
            .map_err(|error| format!("what was written is none: {error}"))?;
        same("free forms are read as they were written", &json::to_string(&twice), &json::to_string(&once))?;
    }
    let kept = Object::from_json(body);
    let ty = seeds::type_of(table, body);
    let mut report = Report::new();
    let typed = json::decode(body, ty, &mut report);
    let is_json = !typed.as_ref().is_err_and(|error| error.syntax);
    same("a body is JSON whether or not there is a schema", &free.is_ok(), &is_json)?;
    let document = match typed {
        Ok(document) => document,
        Err(error) => return Ok(outcome("refused", &error.text)),
    };
    if seeds::has_negative_zero(&document) {
        return Ok("read a negative zero".to_owned());
    }
    // Storage does not tell an empty list from none, nor empty bytes.
    let mut document = document;
    json::canonicalize(&mut document, ty);
    let text = json::to_vec(&document);
    let mut again = Report::new();
    let read =
        json::decode(&text, ty, &mut again).map_err(|error| format!("what was written is none: {error}"))?;
    same("a document is read as it was written", &json::to_string(&read), &json::to_string(&document))?;
    same("what is written has nothing unknown", &again.strict_errors().len(), &0)?;
    let mut canonical = document.clone();
    json::canonicalize(&mut canonical, ty);
    same("what was read is canonical", &json::to_string(&canonical), &json::to_string(&document))?;
    holds(
        "what has a schema can be kept",
        kept.is_ok() || free.is_err() || !body.trim_ascii().starts_with(b"{"),
    )?;
    objects(&text)?;
    Ok(outcome("read", report.strict_errors().first().map_or("", String::as_str)))
}

/// What is kept of a document is the document.
fn objects(text: &[u8]) -> Result<(), String> {
    let Ok(object) = Object::from_json(text) else { return Ok(()) };
    let mut whole = Vec::new();
    object.write_json(&mut whole);
    same(
        "an object is written as it came",
        &String::from_utf8_lossy(&whole),
        &String::from_utf8_lossy(text),
    )?;
    let value = object.to_whole_value().map_err(|status| status.message)?;
    let stored = machinery::object::stored_form(&value);
    if let Ok(again) = Object::from_stored(&stored, 7) {
        let mut whole = Vec::new();
        again.write_json(&mut whole);
        let read = json::parse(&whole).map_err(|error| format!("what was stored is no JSON: {error}"))?;
        let mut expected = value;
        expected.entry("metadata").set("resourceVersion", "7");
        same("an object comes out of the store as it went in", &read, &expected)?;
    }
    Ok(())
}
