//! Protobuf: the envelope, and messages of every kind.

use api::Table;
use machinery::json::{self, Report, TypeMeta};
use machinery::{Value, protobuf};

use super::seeds;
use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &["k8s\0", "\x0a\x04", "\x12\x00", "\x08\x01", "v1", "Pod", "\x1a\x02{}"];

pub fn target() -> Target {
    let table = Table::load();
    let mut documents = seeds::of_every_kind(&table);
    documents.extend(seeds::by_hand().filter_map(|text| {
        json::decode(text.as_bytes(), seeds::type_of(&table, text.as_bytes()), &mut Report::ignoring()).ok()
    }));
    let seeds = documents.iter().map(|document| sealed(&table, document)).collect();
    Target { name: "protobuf", seeds, words: WORDS, run: Box::new(move |body| run(&table, body)) }
}

fn sealed(table: &Table, document: &Value) -> Vec<u8> {
    let text = |name: &str| document.get(name).str_or_empty().into();
    let meta = TypeMeta { api_version: text("apiVersion"), kind: text("kind") };
    let ty = seeds::type_of(table, &json::to_vec(document));
    let (mut message, mut body) = (Vec::new(), Vec::new());
    protobuf::encode(document, ty, &mut message);
    protobuf::seal(&meta, &message, &mut body);
    body
}

fn run(table: &Table, body: &[u8]) -> Verdict {
    let (meta, raw) = match protobuf::open(body) {
        Ok(envelope) => (envelope.meta, envelope.raw),
        Err(_) => (TypeMeta::default(), body),
    };
    let kind = table.kind_of(&meta.api_version, &meta.kind);
    let ty = kind.map_or_else(|| seeds::pod(table), |kind| table.type_of(kind));
    let document = match protobuf::decode(raw, &meta, ty) {
        Ok(document) => document,
        Err(error) => return Ok(outcome("refused", &error.text)),
    };
    let text = json::to_string(&document);
    let mut report = Report::new();
    let read = json::decode(text.as_bytes(), ty, &mut report)
        .map_err(|error| format!("no JSON of it: {error}\n{text}"))?;
    same("what was read is canonical", &json::to_string(&read), &text)?;
    same("what was read is known", &report.strict_errors(), &&[][..])?;
    let mut message = Vec::new();
    protobuf::encode(&document, ty, &mut message);
    let again = protobuf::decode(&message, &meta, ty)
        .map_err(|error| format!("what was written is none: {error}"))?;
    same("a document is read as it was written", &json::to_string(&again), &text)?;
    let mut second = Vec::new();
    protobuf::encode(&again, ty, &mut second);
    same("what is the same is written the same", &second, &message)?;
    Ok(format!("read {}", meta.kind.chars().take(40).collect::<String>()))
}
