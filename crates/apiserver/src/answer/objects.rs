//! One object in the form the client asked for.

use std::sync::Arc;

use api::Table;
use machinery::protobuf::{self, Spliced};
use machinery::{Reason, Status};

use super::table::{self, Rows};
use super::{document, json_text, metadata, respond};
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
            Media::Protobuf => Ok(respond(code, form.media.name(), sealed_object(served, entry)?)),
        },
        Shape::Table(version) => in_form(code, table::of_one(served, entry, version, rows)?, form),
        Shape::Metadata(version) => {
            if form.media == Media::Protobuf {
                return Ok(respond(code, form.media.name(), metadata::sealed(table, entry, version)?));
            }
            let mut text = Vec::with_capacity(1_024);
            metadata::write(entry, version, &mut text);
            in_form(code, text, form)
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
    let message = entry.protobuf(|object| {
        let mut message = Vec::with_capacity(object.body().len());
        failed = protobuf::transcode(object.body(), root, &mut message).err();
        message.into_boxed_slice()
    });
    if let Some(error) = failed {
        return Err(Status::internal(format!("an object cannot be read: {error}")));
    }
    let managed_fields = root.member("metadata").map_or(&[][..], |ty| metadata::managed_fields(entry, ty));
    Spliced::new(message, managed_fields).map_err(Status::internal)
}

/// The message of an object in its envelope.
pub fn sealed_object(served: &Served, entry: &Entry) -> Result<Vec<u8>, Status> {
    let message = message_of(served, entry)?;
    let mut body = Vec::new();
    protobuf::seal_with(&served.type_meta(), message.length(), &mut body, |body| message.write(body));
    Ok(body)
}
