//! One object in the form the client asked for.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Reason, Status, Value};

use super::table::{self, Rows};
use super::{document, json_text, respond};
use crate::cache::Entry;
use crate::document::internal_package;
use crate::http::Response;
use crate::http::accept::{Form, Media, Shape};
use crate::registry::Served;

/// Answers with an object.
pub fn object(
    code: u16,
    served: &Served,
    entry: &Arc<Entry>,
    form: Form,
    rows: Rows,
) -> Result<Response, Status> {
    match form.shape {
        Shape::Whole => match form.media {
            Media::Json => Ok(respond(code, form.media.name(), json_text(entry.json(), form.pretty))),
            Media::Yaml | Media::Protobuf => Ok(document(code, &entry.object().to_whole_value()?, form)),
        },
        Shape::Table(version) => {
            let table = table::of_one(served, entry, version, rows)?;
            Ok(respond(code, form.media.name(), json_text(table, form.pretty)))
        }
        Shape::Metadata(version) => {
            let mut metadata = metadata_of(entry)?.to_vec();
            if version != Default::default() {
                metadata = with_version(&metadata, version.api_version());
            }
            Ok(respond(code, form.media.name(), json_text(metadata, form.pretty)))
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

/// The part of [`metadata_of`] that an item of a list shows: without kind and version.
pub fn metadata_item(entry: &Entry) -> Result<Bytes, Status> {
    Ok(metadata_of(entry)?.slice(PARTIAL.len()..))
}

fn with_version(metadata: &[u8], api_version: &str) -> Vec<u8> {
    let mut out = format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"{api_version}\",").into_bytes();
    out.extend_from_slice(&metadata[PARTIAL.len()..]);
    out
}
