//! One object in the form the client asked for.

use std::sync::Arc;

use api::Table;
use machinery::protobuf::{self, Spliced};
use machinery::{Reason, Status, Value};

use super::table::{self, Rows};
use super::{document, json_text, respond};
use crate::cache::Entry;
use crate::document::internal_package;
use crate::http::Response;
use crate::http::accept::{Form, Media, MetaVersion, Shape};
use crate::registry::Served;

/// How objects are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// All kinds.
    pub table: &'a Arc<Table>,
    /// The form the client asked for.
    pub form: Form,
    /// How rows are made, should that be a table.
    pub rows: Rows,
}

/// Answers with an object.
pub fn object(code: u16, served: &Served, entry: &Arc<Entry>, look: Look<'_>) -> Result<Response, Status> {
    let Look { table, form, rows } = look;
    match form.shape {
        Shape::Whole => match form.media {
            Media::Json => Ok(respond(code, form.media.name(), json_text(entry.json(), form.pretty))),
            Media::Yaml => Ok(document(table, code, &entry.object().to_whole_value()?, form)),
            Media::Protobuf => Ok(respond(code, form.media.name(), sealed_object(served, entry)?)),
        },
        Shape::Table(version) => in_form(code, table::of_one(served, entry, version, rows)?, form),
        Shape::Metadata(version) => {
            let mut metadata = Vec::with_capacity(1_024);
            write_metadata(entry, version, &mut metadata);
            match form.media {
                Media::Protobuf => {
                    let metadata = machinery::json::parse(&metadata).map_err(Status::internal)?;
                    Ok(document(table, code, &metadata, form))
                }
                Media::Json | Media::Yaml => in_form(code, metadata, form),
            }
        }
        Shape::MetadataList(_) => Err(Status::new(
            406,
            Reason::NotAcceptable,
            format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{}.{})",
                internal_package(&served.group),
                served.kind
            ),
        )),
    }
}

/// JSON, or the YAML of it.
pub fn in_form(code: u16, json: Vec<u8>, form: Form) -> Result<Response, Status> {
    if form.media == Media::Yaml {
        let value = machinery::json::parse(&json).map_err(Status::internal)?;
        return Ok(respond(code, form.media.name(), machinery::yaml::encode(&value)));
    }
    Ok(respond(code, form.media.name(), json_text(json, form.pretty)))
}

/// The object as a protobuf message, without envelope. What of it is the object's own is made once and kept beside it;
/// its managed fields are kept beside those, for all who share them.
pub fn message_of<'a>(served: &Served, entry: &'a Entry) -> Result<Spliced<'a>, Status> {
    let root = served.schema.root();
    let mut failed = None;
    let message = entry.protobuf(|object| match object.to_value() {
        Ok(document) => {
            let mut message = Vec::with_capacity(object.body().len());
            protobuf::encode(&document, root, &mut message);
            message.into_boxed_slice()
        }
        Err(status) => {
            failed = Some(status);
            Box::default()
        }
    });
    if let Some(status) = failed {
        return Err(status);
    }
    let managed_fields = entry.object().managed_fields().map_or(&[][..], |list| {
        list.message(|json| match (machinery::json::parse(json), root.member("metadata")) {
            (Ok(list), Some(metadata)) => {
                let mut message = Vec::with_capacity(json.len());
                protobuf::encode_member("managedFields", &list, metadata, &mut message);
                message.into_boxed_slice()
            }
            // They were cut out of JSON that was read, and every object has metadata.
            _ => Box::default(),
        })
    });
    Spliced::new(message, managed_fields).map_err(Status::internal)
}

/// The message of an object in its envelope.
pub fn sealed_object(served: &Served, entry: &Entry) -> Result<Vec<u8>, Status> {
    let message = message_of(served, entry)?;
    let mut body = Vec::new();
    protobuf::seal_with(&served.type_meta(), message.length(), &mut body, |body| message.write(body));
    Ok(body)
}

/// Appends the object's metadata alone, managed fields included, as JSON: cut out of its bytes, not encoded anew.
pub fn write_metadata(entry: &Entry, version: MetaVersion, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    if entry.object().header().kind == "DaemonSet"
        && let Ok(mut object) = entry.object().to_whole_value()
    {
        hide_generation(&mut object);
        machinery::json::encode(object.get("metadata"), out);
        out.push(b'}');
        return;
    }
    let body = entry.object().body();
    let (start, end) = metadata_span(body).unwrap_or((0, 0));
    match entry.object().managed_fields() {
        Some(managed_fields) if end > start => {
            // Before the closing brace; every object has a name, so there is something before it.
            out.extend_from_slice(&body[start..end - 1]);
            out.extend_from_slice(b",\"managedFields\":");
            out.extend_from_slice(managed_fields.json());
            out.push(b'}');
        }
        _ if end > start => out.extend_from_slice(&body[start..end]),
        _ => out.extend_from_slice(b"{}"),
    }
    out.push(b'}');
}

/// Upstream keeps this annotation elsewhere, and puts it back only where it shows the whole object.
fn hide_generation(object: &mut Value) {
    let metadata = object.entry("metadata");
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    annotations.remove("deprecated.daemonset.template.generation");
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Where the metadata stand in the canonical JSON of an object: only its kind and version come before them.
fn metadata_span(body: &[u8]) -> Option<(usize, usize)> {
    const NAME: &[u8] = b"\"metadata\":{";
    let start = body.windows(NAME.len()).position(|window| window == NAME)? + NAME.len() - 1;
    let mut depth = 0usize;
    let mut at = start;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while *body.get(at)? != b'"' {
                    at += if body[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some((start, at + 1)),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_of_a_template_is_no_metadata() {
        for (annotations, expected) in [
            (r#"{"deprecated.daemonset.template.generation":"1"}"#, "null"),
            (r#"{"a":"b","deprecated.daemonset.template.generation":"1"}"#, r#"{"a":"b"}"#),
        ] {
            let stored = format!(
                r#"{{"kind":"DaemonSet","apiVersion":"apps/v1","metadata":{{"name":"d","annotations":{annotations}}}}}"#
            );
            let entry = crate::stored::read(stored.as_bytes(), 7).unwrap();
            let mut out = Vec::new();
            write_metadata(&entry, MetaVersion::V1, &mut out);
            let shown = machinery::json::parse(&out).unwrap();
            let shown = shown.at(&["metadata", "annotations"]);
            assert_eq!(machinery::json::to_string(shown), expected);
        }
    }

    #[test]
    fn metadata_are_cut_out_whole() {
        let stored = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"}\"{"},"managedFields":[{"manager":"m"}]},"spec":{"metadata":{}}}"#;
        let entry = crate::stored::read(stored, 7).unwrap();
        let mut out = Vec::new();
        write_metadata(&entry, MetaVersion::V1, &mut out);
        let shown = machinery::json::parse(&out).unwrap();
        assert_eq!(shown.at(&["metadata", "labels", "a"]).as_str(), Some("}\"{"));
        assert_eq!(shown.at(&["metadata", "resourceVersion"]).as_str(), Some("7"));
        assert_eq!(shown.at(&["metadata", "managedFields"]).items().len(), 1);
        assert!(shown.get("spec").is_null());
    }
}
