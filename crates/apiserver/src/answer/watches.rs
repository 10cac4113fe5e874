//! Watches: one frame per event.

use std::sync::Arc;

use api::Table;
use bytes::{Bytes, BytesMut};
use machinery::{Status, Value, protobuf};

use super::lists::{ListMeta, PIECE};
use super::objects::{Look, sealed_object};
use super::table::{self, Rows};
use super::{encode, metadata, respond};
use crate::cache::{Entry, Event, SeenKind};
use crate::http::accept::{Form, Media, Shape};
use crate::http::body::Pieces;
use crate::http::{Body, Response};
use crate::registry::Served;
use crate::verbs::watch::{Item, Watcher};

/// Frames below this size are joined with those that are ready at the same time, up to this size; larger ones go out as
/// they are, for they are shared by all watchers.
const JOINED: usize = 4 * 1024;

/// What a frame of JSON has beside its object, about.
const FRAME: usize = 64;

/// Answers with a watch.
pub fn watch(served: &Arc<Served>, watcher: Watcher, look: Look<'_>) -> Response {
    let Look { table, form, rows } = look;
    let content_type = match form.media {
        Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Media::Json | Media::Yaml => "application/json",
    };
    let form = Form { pretty: false, ..form };
    let framer = Framer { kinds: table.clone(), served: served.clone(), form, rows, columns_sent: false };
    let state = (watcher, framer, Vec::new().into_iter());
    let pieces: Pieces =
        Box::pin(futures_util::stream::unfold(state, |(mut watcher, mut framer, mut items)| async {
            if items.as_slice().is_empty() {
                items = watcher.next().await?.into_iter();
            }
            Some((framer.piece(&mut items), (watcher, framer, items)))
        }));
    respond(200, content_type, Body::Pieces(pieces))
}

struct Framer {
    kinds: Arc<Table>,
    served: Arc<Served>,
    form: Form,
    rows: Rows,
    columns_sent: bool,
}

impl Framer {
    /// The next frame, or some small ones. There is at least one item.
    fn piece(&mut self, items: &mut std::vec::IntoIter<Item>) -> Bytes {
        if let Some(Item::Initial(_)) = items.as_slice().first() {
            return self.initial(items);
        }
        let first = items.next().map(|item| self.frame_or_failure(&item)).unwrap_or_default();
        if first.len() >= JOINED || items.as_slice().is_empty() {
            return first;
        }
        let mut piece = BytesMut::with_capacity(2 * JOINED);
        piece.extend_from_slice(&first);
        while piece.len() < JOINED
            && let Some(item) = items.next()
        {
            piece.extend_from_slice(&self.frame_or_failure(&item));
        }
        piece.freeze()
    }

    /// What was there at the beginning goes to this watcher alone: it is written into one piece, as a list is.
    fn initial(&mut self, items: &mut std::vec::IntoIter<Item>) -> Bytes {
        let weight = |item: &Item| match item {
            Item::Initial(entry) => entry.object().json_len() + FRAME,
            _ => 0,
        };
        let size: usize = items.as_slice().iter().map(weight).sum();
        let mut piece = Vec::with_capacity(size.min(PIECE + PIECE / 8));
        while piece.len() < PIECE
            && let Some(Item::Initial(_)) = items.as_slice().first()
            && let Some(Item::Initial(entry)) = items.next()
        {
            let before = piece.len();
            if let Err(status) = self.write("ADDED", &entry, entry.revision(), &mut piece) {
                piece.truncate(before);
                piece.extend_from_slice(&self.document("ERROR", &status.to_value()));
            }
        }
        piece.into()
    }

    fn frame_or_failure(&mut self, item: &Item) -> Bytes {
        self.frame(item).unwrap_or_else(|status| self.document("ERROR", &status.to_value()))
    }

    fn frame(&mut self, item: &Item) -> Result<Bytes, Status> {
        match item {
            Item::Initial(entry) => self.of_entry("ADDED", entry, entry.revision()),
            Item::Change(kind, event) if self.form.shape == Shape::Whole && !self.served.is_converted() => {
                self.shared(*kind, event)
            }
            Item::Change(kind, event) => {
                let entry = self.served.view(&event.shown(*kind));
                self.of_entry(kind.as_str(), &entry, event.revision)
            }
            Item::Shown(kind, entry) => self.of_entry(kind.as_str(), entry, entry.revision()),
            Item::Bookmark { revision, ends_initial } => Ok(self.bookmark(*revision, *ends_initial)),
            Item::Failed(status) => Ok(self.document("ERROR", &status.to_value())),
        }
    }

    /// The frame of a whole object, made once for all watchers of an encoding.
    fn shared(&mut self, kind: SeenKind, event: &Arc<Event>) -> Result<Bytes, Status> {
        let protobuf = self.form.media == Media::Protobuf;
        if let Some(frame) = event.frame(kind, protobuf) {
            return Ok(frame);
        }
        let entry = event.shown(kind);
        let frame = self.of_entry(kind.as_str(), &entry, event.revision)?;
        event.keep_frame(kind, protobuf, frame.clone());
        Ok(frame)
    }

    fn of_entry(&mut self, kind: &str, entry: &Entry, revision: u64) -> Result<Bytes, Status> {
        let mut frame = Vec::with_capacity(entry.object().json_len() + FRAME);
        self.write(kind, entry, revision, &mut frame)?;
        Ok(frame.into())
    }

    /// Appends the frame of an entry.
    fn write(&mut self, kind: &str, entry: &Entry, revision: u64, out: &mut Vec<u8>) -> Result<(), Status> {
        if self.form.media == Media::Protobuf {
            let object = match self.form.shape {
                Shape::Whole | Shape::Table(_) => sealed_object(&self.served, entry)?,
                Shape::Metadata(version) | Shape::MetadataList(version) => {
                    metadata::sealed(&self.kinds, entry, version)?
                }
            };
            protobuf::encode_event(kind, &object, out);
            return Ok(());
        }
        begin(kind, out);
        match self.form.shape {
            Shape::Whole => entry.object().write_json(out),
            Shape::Metadata(version) | Shape::MetadataList(version) => metadata::write(entry, version, out),
            Shape::Table(version) => {
                let metadata = ListMeta::at(revision);
                table::begin(out, &self.served, version, &metadata, !self.columns_sent);
                self.columns_sent = true;
                table::row(out, &self.served, entry, self.rows)?;
                out.extend_from_slice(table::END);
            }
        }
        out.extend_from_slice(END);
        Ok(())
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
        match self.form.shape {
            Shape::Table(_) => {
                object.set("columnDefinitions", Value::Null);
                object.set("rows", Vec::new());
            }
            Shape::Whole => machinery::json::canonicalize(&mut object, self.served.schema.root()),
            Shape::Metadata(_) | Shape::MetadataList(_) => {}
        }
        self.document("BOOKMARK", &object)
    }

    /// The frame of a document that is no object of the cache.
    fn document(&self, kind: &str, document: &Value) -> Bytes {
        if self.form.media == Media::Protobuf {
            // Every document sent here is of a kind that has a protobuf form.
            let body = encode(&self.kinds, document, self.form).unwrap_or_default();
            return protobuf_frame(kind, &body);
        }
        let mut out = Vec::with_capacity(256);
        begin(kind, &mut out);
        machinery::json::encode(document, &mut out);
        out.extend_from_slice(END);
        out.into()
    }
}

fn protobuf_frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + 32);
    protobuf::encode_event(kind, object, &mut out);
    Bytes::from(out)
}

/// What ends a frame of JSON.
const END: &[u8] = b"}\n";

fn begin(kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}
