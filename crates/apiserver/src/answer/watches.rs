//! Watches: one frame per event.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use machinery::{Status, Value};

use super::lists::ListMeta;
use super::objects::metadata_of;
use super::respond;
use super::table::{self, Rows};
use crate::cache::{Entry, Event, SeenKind};
use crate::http::accept::{Form, Media, Shape};
use crate::http::body::Pieces;
use crate::http::{Body, Response};
use crate::registry::Served;
use crate::verbs::watch::{Item, Watcher};

/// Events whose frames are shared between watchers may be larger than this; smaller batches are joined into one piece.
const JOIN: usize = 16 * 1024;

/// Answers with a watch.
pub fn watch(served: &Arc<Served>, watcher: Watcher, form: Form, rows: Rows) -> Response {
    let content_type = match form.media {
        Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Media::Json | Media::Yaml => "application/json",
    };
    let framer = Framer { served: served.clone(), form, rows, columns_sent: false };
    let state = (watcher, framer);
    let pieces: Pieces = Box::pin(futures_util::stream::unfold(state, |(mut watcher, mut framer)| async {
        let items = watcher.next().await?;
        Some((framer.piece(&items), (watcher, framer)))
    }));
    respond(200, content_type, Body::Pieces(pieces))
}

struct Framer {
    served: Arc<Served>,
    form: Form,
    rows: Rows,
    columns_sent: bool,
}

impl Framer {
    fn piece(&mut self, items: &[Item]) -> Bytes {
        if let [Item::Change(kind, event)] = items
            && self.form.shape == Shape::Whole
        {
            return shared_frame(*kind, event);
        }
        let mut piece = BytesMut::with_capacity(JOIN);
        for item in items {
            let frame = self.frame(item).unwrap_or_else(|status| failure(&status));
            piece.extend_from_slice(&frame);
        }
        piece.freeze()
    }

    fn frame(&mut self, item: &Item) -> Result<Bytes, Status> {
        match item {
            Item::Initial(entry) => self.of_entry("ADDED", entry, entry.revision()),
            Item::Change(kind, event) if self.form.shape == Shape::Whole => Ok(shared_frame(*kind, event)),
            Item::Change(kind, event) => {
                let entry = event.shown(*kind)?;
                self.of_entry(kind.as_str(), &entry, event.revision)
            }
            Item::Bookmark { revision, ends_initial } => Ok(self.bookmark(*revision, *ends_initial)),
            Item::Failed(status) => Ok(failure(status)),
        }
    }

    fn of_entry(&mut self, kind: &str, entry: &Entry, revision: u64) -> Result<Bytes, Status> {
        let mut out = begin(kind, entry.object().json_len());
        match self.form.shape {
            Shape::Whole => entry.object().write_json(&mut out),
            Shape::Metadata(_) | Shape::MetadataList(_) => out.extend_from_slice(&metadata_of(entry)?),
            Shape::Table(version) => {
                let metadata = ListMeta::at(revision);
                table::begin(&mut out, &self.served, version, &metadata, !self.columns_sent);
                self.columns_sent = true;
                table::row(&mut out, &self.served, entry, self.rows)?;
                out.extend_from_slice(table::END);
            }
        }
        Ok(end(out))
    }

    fn bookmark(&self, revision: u64, ends_initial: bool) -> Bytes {
        let mut metadata = Value::from([("resourceVersion", Value::from(revision.to_string()))]);
        if ends_initial {
            metadata.set("annotations", Value::from([("k8s.io/initial-events-end", Value::from("true"))]));
        }
        let (kind, api_version) = match self.form.shape {
            Shape::Whole => (self.served.kind.as_str(), self.served.api_version.as_str()),
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                ("PartialObjectMetadata", version.api_version())
            }
            Shape::Table(version) => ("Table", version.api_version()),
        };
        let mut object = Value::from([
            ("kind", Value::from(kind)),
            ("apiVersion", Value::from(api_version)),
            ("metadata", metadata),
        ]);
        if matches!(self.form.shape, Shape::Table(_)) {
            object.set("columnDefinitions", Value::Null);
            object.set("rows", Vec::new());
        } else if self.form.shape == Shape::Whole {
            crate::order::canonical(&mut object, self.served.schema.root());
        }
        let mut out = begin("BOOKMARK", 256);
        machinery::json::encode(&object, &mut out);
        end(out)
    }
}

/// The frame of a whole object, made once for all watchers.
fn shared_frame(kind: SeenKind, event: &Arc<Event>) -> Bytes {
    event
        .frame(kind, || match event.shown(kind) {
            Ok(entry) => {
                let mut out = begin(kind.as_str(), entry.object().json_len());
                entry.object().write_json(&mut out);
                end(out)
            }
            Err(status) => failure(&status),
        })
        .clone()
}

fn failure(status: &Status) -> Bytes {
    let mut out = begin("ERROR", 256);
    machinery::json::encode(&status.to_value(), &mut out);
    end(out)
}

fn begin(kind: &str, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 64);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out
}

fn end(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}
