//! Tables: what `kubectl get` prints.

use kinds::Column;
use machinery::field::go_quote;
use machinery::json::{encode, encode_string};
use machinery::{Status, Value};

use super::lists::ListMeta;
use super::metadata;
use crate::cache::Entry;
use crate::custom;
use crate::http::accept::MetaVersion;
use crate::query::Query;
use crate::registry::Served;

/// What rows carry beside their cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// How rows are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    /// Where ages end: now.
    pub now_secs: i64,
    /// What rows carry.
    pub include: Include,
}

impl Include {
    /// Reads `includeObject`.
    pub fn read(query: &Query) -> Result<Include, Status> {
        match query.text("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => {
                let other = go_quote(other);
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other}: must be \
                     'Metadata', 'Object', 'None', or empty"
                )))
            }
        }
    }
}

/// The beginning of a table, up to its first row. Only the first event of a watch has columns.
pub fn begin(
    out: &mut Vec<u8>,
    served: &Served,
    version: MetaVersion,
    metadata: &ListMeta,
    with_columns: bool,
) {
    let all = served.rules.columns();
    let columns = match &served.custom {
        // The first column is that of every resource: the name.
        Some(custom) => Columns { plain: &all[..all.len().min(1)], custom: &custom.columns },
        None => Columns { plain: all, custom: &[] },
    };
    begin_with(out, with_columns.then_some(columns), version, metadata);
}

/// The columns of a table.
#[derive(Clone, Copy)]
struct Columns<'a> {
    plain: &'a [Column],
    custom: &'a [custom::Column],
}

fn begin_with(out: &mut Vec<u8>, columns: Option<Columns<'_>>, version: MetaVersion, metadata: &ListMeta) {
    out.extend_from_slice(b"{\"kind\":\"Table\",\"apiVersion\":\"");
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    metadata.write(out);
    out.extend_from_slice(b",\"columnDefinitions\":");
    match columns {
        Some(columns) => write_columns(out, columns),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"rows\":[");
}

/// What follows the last row.
pub const END: &[u8] = b"]}";

fn write_columns(out: &mut Vec<u8>, columns: Columns<'_>) {
    out.push(b'[');
    for (position, column) in columns.plain.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_column(out, column);
    }
    for column in columns.custom {
        out.push(b',');
        column.write(out);
    }
    out.push(b']');
}

fn write_column(out: &mut Vec<u8>, column: &Column) {
    out.extend_from_slice(b"{\"name\":");
    encode_string(column.name, out);
    out.extend_from_slice(b",\"type\":");
    encode_string(column.kind, out);
    out.extend_from_slice(b",\"format\":");
    encode_string(column.format, out);
    out.extend_from_slice(b",\"description\":");
    encode_string(column.description, out);
    out.extend_from_slice(format!(",\"priority\":{}}}", column.priority).as_bytes());
}

fn cells(served: &Served, document: &Value, now_secs: i64) -> Vec<Value> {
    let Some(custom) = &served.custom else { return served.rules.row(document, now_secs) };
    let mut cells = vec![document.at(&["metadata", "name"]).clone()];
    cells.extend(custom.columns.iter().map(|column| column.cell(document, now_secs)));
    cells
}

/// One row.
pub fn row(out: &mut Vec<u8>, served: &Served, entry: &Entry, rows: Rows) -> Result<(), Status> {
    let document = match &served.custom {
        Some(_) => entry.object().to_value()?,
        None => entry.object().parts(&served.rules.row_parts())?,
    };
    write_cells(out, &cells(served, &document, rows.now_secs));
    if let Some(condition) = completion(served, &document) {
        out.extend_from_slice(b",\"conditions\":[");
        encode(&condition, out);
        out.push(b']');
    }
    out.extend_from_slice(b",\"object\":");
    match rows.include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Metadata => metadata::write(entry, MetaVersion::V1, out),
        Include::Object => entry.object().write_json(out),
    }
    out.push(b'}');
    Ok(())
}

fn write_cells(out: &mut Vec<u8>, cells: &[Value]) {
    out.extend_from_slice(b"{\"cells\":[");
    for (position, cell) in cells.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        encode(cell, out);
    }
    out.push(b']');
}

/// What tells clients that a pod has ended, so that they can leave it out.
fn completion(served: &Served, document: &Value) -> Option<Value> {
    if !served.is("", "pods") {
        return None;
    }
    let (reason, message) = match document.at(&["status", "phase"]).str_or_empty() {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(Value::from([
        ("type", Value::from("Completed")),
        ("status", Value::from("True")),
        ("reason", Value::from(reason)),
        ("message", Value::from(message)),
    ]))
}

/// A table of one object.
pub fn of_one(served: &Served, entry: &Entry, version: MetaVersion, rows: Rows) -> Result<Vec<u8>, Status> {
    let mut out = Vec::with_capacity(4_096);
    begin(&mut out, served, version, &ListMeta::at(entry.revision()), true);
    row(&mut out, served, entry, rows)?;
    out.extend_from_slice(END);
    Ok(out)
}

/// A table of one document that is shown through a subresource and stored nowhere by itself.
pub fn of_document(kind: &dyn kinds::Kind, document: &Value, version: MetaVersion, rows: Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(4_096);
    let revision = document.at(&["metadata", "resourceVersion"]).str_or_empty().parse().unwrap_or_default();
    let columns = Columns { plain: kind.columns(), custom: &[] };
    begin_with(&mut out, Some(columns), version, &ListMeta::at(revision));
    write_cells(&mut out, &kind.row(document, rows.now_secs));
    out.extend_from_slice(b",\"object\":");
    let shown = match rows.include {
        Include::None => Value::Null,
        Include::Object => document.clone(),
        Include::Metadata => Value::from([
            ("kind", Value::from("PartialObjectMetadata")),
            ("apiVersion", Value::from(MetaVersion::V1.api_version())),
            ("metadata", document.get("metadata").clone()),
        ]),
    };
    encode(&shown, &mut out);
    out.push(b'}');
    out.extend_from_slice(END);
    out
}
