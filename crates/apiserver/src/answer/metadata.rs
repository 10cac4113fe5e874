//! The metadata of an object alone, for those who want to know no more: cut out of its bytes where they are.

use std::borrow::Cow;

use api::Table;
use machinery::json::TypeMeta;
use machinery::protobuf::{self, Spliced};
use machinery::schema::{Schema, TypeRef};
use machinery::{Status, Value};

use crate::cache::Entry;
use crate::http::accept::MetaVersion;

/// The kind of an object of which only the metadata are shown.
const KIND: &str = "PartialObjectMetadata";

/// Appends the object's metadata alone, managed fields included, as JSON: cut out of its bytes, not encoded anew.
pub fn write(entry: &Entry, version: MetaVersion, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(KIND.as_bytes());
    out.extend_from_slice(b"\",\"apiVersion\":\"");
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    if hides_generation(entry)
        && let Ok(mut object) = entry.object().to_whole_value()
    {
        hide_generation(object.entry("metadata"));
        machinery::json::encode(object.get("metadata"), out);
        out.push(b'}');
        return;
    }
    let metadata = entry.object().metadata();
    match entry.object().managed_fields() {
        Some(managed_fields) => {
            // Before the closing brace; every object has a name, so there is something before it.
            out.extend_from_slice(&metadata[..metadata.len() - 1]);
            out.extend_from_slice(b",\"managedFields\":");
            out.extend_from_slice(managed_fields.json());
            out.push(b'}');
        }
        None => out.extend_from_slice(metadata),
    }
    out.push(b'}');
}

fn hides_generation(entry: &Entry) -> bool {
    entry.object().header().kind == "DaemonSet"
}

/// Upstream keeps this annotation elsewhere, and puts it back only where it shows the whole object.
fn hide_generation(metadata: &mut Value) {
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    annotations.remove("deprecated.daemonset.template.generation");
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// What an object of which only the metadata are shown is made of.
pub fn schema(kinds: &Table) -> Result<Schema, Status> {
    let known = kinds.kind_of(MetaVersion::V1.api_version(), KIND);
    let schema = known.map(|known| kinds.schema_of(known));
    schema.ok_or_else(|| Status::internal(format!("the table of kinds has no {KIND}")))
}

/// The type of the metadata in it.
pub fn type_in(schema: &Schema) -> TypeRef<'_> {
    schema.root().member("metadata").unwrap_or(schema.root())
}

/// The object's metadata as a protobuf message, managed fields apart, which objects share.
#[derive(Debug)]
pub struct Message<'a> {
    own: Cow<'a, [u8]>,
    managed_fields: &'a [u8],
}

impl<'a> Message<'a> {
    /// Makes it; of an object whose message is there already it is a part.
    pub fn of(entry: &'a Entry, ty: TypeRef<'_>) -> Result<Message<'a>, Status> {
        let own = match entry.known_protobuf() {
            Some(message) if !hides_generation(entry) => {
                Cow::Borrowed(Spliced::new(message, &[]).map_err(Status::internal)?.metadata())
            }
            _ => Cow::Owned(encode(entry, ty)?),
        };
        Ok(Message { own, managed_fields: managed_fields(entry, ty) })
    }

    /// What of it is not shared, to be put together again by [`Message::from_own`].
    pub fn into_own(self) -> Option<Box<[u8]>> {
        match self.own {
            Cow::Owned(own) => Some(own.into()),
            Cow::Borrowed(_) => None,
        }
    }

    /// From what was kept of it.
    pub fn from_own(own: &'a [u8], entry: &'a Entry, ty: TypeRef<'_>) -> Message<'a> {
        Message { own: Cow::Borrowed(own), managed_fields: managed_fields(entry, ty) }
    }

    /// An object with nothing but these metadata.
    pub fn alone(&self) -> Spliced<'_> {
        Spliced::of_metadata(&self.own, self.managed_fields)
    }
}

fn encode(entry: &Entry, ty: TypeRef<'_>) -> Result<Vec<u8>, Status> {
    let json = entry.object().metadata();
    let mut metadata = machinery::json::parse(json).map_err(Status::internal)?;
    if hides_generation(entry) {
        hide_generation(&mut metadata);
    }
    let mut message = Vec::with_capacity(json.len());
    protobuf::encode(&metadata, ty, &mut message);
    Ok(message)
}

/// The managed fields of an object as they stand at the end of its metadata's message; `ty` is the type of metadata.
pub fn managed_fields<'a>(entry: &'a Entry, ty: TypeRef<'_>) -> &'a [u8] {
    entry.object().managed_fields().map_or(&[][..], |list| {
        list.message(|json| {
            // They were cut out of JSON that was read.
            let list = machinery::json::parse(json).unwrap_or_default();
            let mut message = Vec::with_capacity(json.len());
            protobuf::encode_member("managedFields", &list, ty, &mut message);
            message.into_boxed_slice()
        })
    })
}

/// The object's metadata alone as a message in its envelope.
pub fn sealed(kinds: &Table, entry: &Entry, version: MetaVersion) -> Result<Vec<u8>, Status> {
    let schema = schema(kinds)?;
    let message = Message::of(entry, type_in(&schema))?;
    let meta = TypeMeta { api_version: version.api_version().into(), kind: KIND.into() };
    let alone = message.alone();
    let mut body = Vec::new();
    protobuf::seal_with(&meta, alone.length(), &mut body, |body| alone.write(body));
    Ok(body)
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
            write(&entry, MetaVersion::V1, &mut out);
            let shown = machinery::json::parse(&out).unwrap();
            let shown = shown.at(&["metadata", "annotations"]);
            assert_eq!(machinery::json::to_string(shown), expected);
        }
    }

    #[test]
    fn a_message_of_metadata_says_what_their_json_says() {
        let kinds = Table::load();
        let schema = schema(&kinds).unwrap();
        let ty = type_in(&schema);
        for (kind, annotations) in [("Pod", r#"{"a":"b"}"#), ("DaemonSet", DAEMON_SET)] {
            let stored = format!(
                r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"p","labels":{{"a":"b"}},"annotations":{annotations},"managedFields":[{{"manager":"m","fieldsV1":{{"f:a":{{}}}}}}]}},"spec":{{}}}}"#
            );
            let entry = crate::stored::read(stored.as_bytes(), 7).unwrap();
            let mut json = Vec::new();
            write(&entry, MetaVersion::V1, &mut json);
            let expected = machinery::json::parse(&json).unwrap();
            let mut expected_message = Vec::new();
            let whole = kinds.type_of(kinds.kind_of("meta.k8s.io/v1", KIND).unwrap());
            protobuf::encode(&expected, whole, &mut expected_message);
            let written = |message: &Message<'_>| {
                let mut bytes = Vec::new();
                message.alone().write(&mut bytes);
                bytes
            };
            let message = Message::of(&entry, ty).unwrap();
            assert_eq!(written(&message), expected_message, "{kind}: made");
            let own = message.into_own().unwrap();
            assert_eq!(written(&Message::from_own(&own, &entry, ty)), expected_message, "{kind}: kept");
            if kind == "Pod" {
                let pods = kinds.type_of(kinds.kind_of("v1", "Pod").unwrap());
                entry.protobuf(|object| {
                    let mut message = Vec::new();
                    protobuf::encode(&object.to_value().unwrap(), pods, &mut message);
                    message.into()
                });
                let message = Message::of(&entry, ty).unwrap();
                assert_eq!(written(&message), expected_message, "cut out of the whole");
                assert!(message.into_own().is_none());
            }
        }
    }

    const DAEMON_SET: &str = r#"{"deprecated.daemonset.template.generation":"1"}"#;

    #[test]
    fn metadata_are_cut_out_whole() {
        let stored = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"}\"{"},"managedFields":[{"manager":"m"}]},"spec":{"metadata":{}}}"#;
        let entry = crate::stored::read(stored, 7).unwrap();
        let mut out = Vec::new();
        write(&entry, MetaVersion::V1, &mut out);
        let shown = machinery::json::parse(&out).unwrap();
        assert_eq!(shown.at(&["metadata", "labels", "a"]).as_str(), Some("}\"{"));
        assert_eq!(shown.at(&["metadata", "resourceVersion"]).as_str(), Some("7"));
        assert_eq!(shown.at(&["metadata", "managedFields"]).items().len(), 1);
        assert!(shown.get("spec").is_null());
    }
}
