//! One object in the form the client asked for.

use std::sync::Arc;

use api::Table;
use bytes::Bytes;
use machinery::{Reason, Status, Value};

use super::table::{self, Rows};
use super::{document, json_text, respond, sealed};
use crate::cache::Entry;
use crate::document::internal_package;
use crate::http::Response;
use crate::http::accept::{Form, Media, Shape};
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
            Media::Protobuf => {
                let body = sealed(&served.type_meta(), &message_of(served, entry)?);
                Ok(respond(code, form.media.name(), body))
            }
        },
        Shape::Table(version) => in_form(code, table::of_one(served, entry, version, rows)?, form),
        Shape::Metadata(version) => {
            let mut metadata = metadata_of(entry)?.to_vec();
            if version != Default::default() {
                metadata = with_version(&metadata, version.api_version());
            }
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
fn in_form(code: u16, json: Vec<u8>, form: Form) -> Result<Response, Status> {
    if form.media == Media::Yaml {
        let value = machinery::json::parse(&json).map_err(Status::internal)?;
        return Ok(respond(code, form.media.name(), machinery::yaml::encode(&value)));
    }
    Ok(respond(code, form.media.name(), json_text(json, form.pretty)))
}

/// The object as a protobuf message, without envelope.
pub fn message_of(served: &Served, entry: &Entry) -> Result<Bytes, Status> {
    let mut failed = None;
    let message = entry.protobuf(|object| match object.to_whole_value() {
        Ok(document) => {
            let mut message = Vec::with_capacity(object.body().len());
            machinery::protobuf::encode(&document, served.schema.root(), &mut message);
            message.shrink_to_fit();
            Bytes::from(message)
        }
        Err(status) => {
            failed = Some(status);
            Bytes::new()
        }
    });
    match failed {
        Some(status) => Err(status),
        None => Ok(message.clone()),
    }
}

/// What the JSON of bare metadata begins with.
const PARTIAL: &str = "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",";

/// The object's metadata alone, managed fields included, as JSON.
pub fn metadata_of(entry: &Entry) -> Result<Bytes, Status> {
    let mut failed = None;
    let bytes = entry.metadata(|object| match object.to_whole_value() {
        Ok(mut whole) => {
            let metadata = whole.remove("metadata").unwrap_or_else(Value::object);
            let partial = Value::from([("metadata", metadata)]);
            let mut out = PARTIAL.as_bytes().to_vec();
            out.extend_from_slice(&machinery::json::to_vec(&partial)[1..]);
            Bytes::from(out)
        }
        Err(status) => {
            failed = Some(status);
            Bytes::new()
        }
    });
    match failed {
        Some(status) => Err(status),
        None => Ok(bytes.clone()),
    }
}

fn with_version(metadata: &[u8], api_version: &str) -> Vec<u8> {
    let mut out =
        format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"{api_version}\",").into_bytes();
    out.extend_from_slice(&metadata[PARTIAL.len()..]);
    out
}
