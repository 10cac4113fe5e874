//! Objects of every kind, drawn by what the bytes say: what is true of all of them.

use api::Table;
use machinery::apply::{self, Write};
use machinery::json::{self, Report, TypeMeta};
use machinery::schema::TypeRef;
use machinery::{Value, patch, protobuf};

use super::apply::written;
use super::seeds;
use crate::choices::Choices;
use crate::target::{Target, Verdict, same};
use crate::{differ, draw};

/// Two documents are drawn, each from as many bytes as there are at most in half of an input.
pub fn target() -> Target {
    let table = Table::load();
    let seeds = (0..table.kinds().len() * 2).map(|number| {
        let decisions = seeds::decisions(number as u64, 400);
        [&(number as u16).to_le_bytes()[..], &decisions].concat()
    });
    let seeds = seeds.collect();
    Target { name: "objects", seeds, words: &[], run: Box::new(move |input| run(&table, input)) }
}

fn run(table: &Table, input: &[u8]) -> Verdict {
    let Some((number, rest)) = input.split_first_chunk::<2>() else { return Ok("nothing".to_owned()) };
    let kind = &table.kinds()[usize::from(u16::from_le_bytes(*number)) % table.kinds().len()];
    let ty = table.type_of(kind);
    let api_version = kind.api_version();
    let (one, other) = rest.split_at(rest.len() / 2);
    let make = |decisions: &[u8]| {
        let drawn = draw::object(ty, (&api_version, kind.kind), &mut Choices::new(decisions));
        let mut report = Report::new();
        let read = json::decode(&json::to_vec(&drawn), ty, &mut report).map_err(|error| error.text)?;
        same("what is drawn is known", &report.strict_errors(), &&[][..])?;
        Ok::<Value, String>(read)
    };
    let (one, other) = (make(one)?, make(other)?);
    if kind.kind != "Table" {
        survives_a_message(&one, ty)?;
    }
    differences_apply(&one, &other, ty)?;
    let takes = if is_object(ty) { applies((&one, &other), ty, &api_version)? } else { "is none" };
    Ok(format!("{} {takes}", kind.kind))
}

fn is_object(ty: TypeRef<'_>) -> bool {
    ty.field("metadata").is_some_and(|metadata| metadata.ty().field("managedFields").is_some())
}

fn survives_a_message(document: &Value, ty: TypeRef<'_>) -> Result<(), String> {
    let text = |name: &str| document.get(name).str_or_empty().into();
    let meta = TypeMeta { api_version: text("apiVersion"), kind: text("kind") };
    let mut message = Vec::new();
    protobuf::encode(document, ty, &mut message);
    let mut of_text = Vec::new();
    protobuf::transcode(&json::to_vec(document), ty, &mut of_text).map_err(|error| error.text)?;
    same("a text and its document have the same message", &of_text, &message)?;
    let again = protobuf::decode(&message, &meta, ty).map_err(|error| error.text)?;
    same("a document survives a message", &json::to_string(&again), &json::to_string(document))
}

fn differences_apply(one: &Value, other: &Value, ty: TypeRef<'_>) -> Result<(), String> {
    let (mut from, mut to) = (one.clone(), other.clone());
    differ::without_nulls(&mut from);
    differ::without_nulls(&mut to);
    let merged = patch::merge_values(from.clone(), differ::merge(&from, &to));
    same("a difference merged makes what it was taken from", &merged, &to)?;
    if let Some(difference) = differ::strategic(&from, &to, Some(ty)) {
        let patched = patch::strategic_values(from.clone(), difference.clone(), ty);
        let patched =
            patched.map_err(|status| format!("{}\n{}", status.message, json::to_string(&difference)))?;
        let settle = |value: &Value| {
            json::decode(&json::to_vec(value), ty, &mut Report::ignoring())
                .map(|value| json::to_string(&value))
        };
        let promise = "a strategic difference makes what it was taken from";
        let with_patch = |what| {
            format!(
                "{what}\n  patch    {}\n  from     {}",
                json::to_string(&difference),
                json::to_string(&from)
            )
        };
        same(promise, &settle(&patched), &settle(&to)).map_err(with_patch)?;
    }
    Ok(())
}

/// What one manager wants, and then wants otherwise, is what there is; what it wants twice changes nothing.
fn applies(
    (one, other): (&Value, &Value),
    ty: TypeRef<'_>,
    api_version: &str,
) -> Result<&'static str, String> {
    let time = "2024-01-01T00:00:00Z";
    let write = Write { ty, manager: "m", api_version, subresource: "", time, ignored: &[] };
    let mut live = apply::empty(ty, api_version, one.get("kind").str_or_empty());
    for wanted in [one, other, other] {
        let mut config = wanted.clone();
        differ::without_nulls(&mut config);
        let applied = match apply::apply(&live, &config, false, write) {
            Ok(applied) => applied,
            Err(status) if status.code == 409 => return Err(status.message),
            Err(_) => return Ok("cannot be applied"),
        };
        live = written(&live, applied, ty)?;
        let mut bare = live.clone();
        bare.entry("metadata").remove("managedFields");
        // A structure of which all that it held was taken away is taken away, upstream as here.
        differ::without_empties(&mut bare);
        differ::without_empties(&mut config);
        let settle = |value: &Value| {
            json::decode(&json::to_vec(value), ty, &mut Report::ignoring())
                .map(|value| json::to_string(&value))
        };
        same("what alone is wanted is what there is", &settle(&bare), &settle(&config))?;
    }
    Ok("applies")
}
