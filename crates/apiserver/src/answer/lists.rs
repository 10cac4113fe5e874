//! Lists: the bytes of their objects, joined while they are sent.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Reason, Status};

use super::objects::Look;
use super::table::{self, Rows};
use super::{document, json_text, messages, metadata, respond};
use crate::cache::Entry;
use crate::document::internal_package;
use crate::http::accept::{Media, MetaVersion, Shape};
use crate::http::body::Pieces;
use crate::http::{Body, Response};
use crate::registry::Served;
use crate::verbs::list::{Items, Listing};

/// The size of the pieces a list is sent in: large enough to cost little each, small enough to be sent soon.
pub(super) const PIECE: usize = 128 * 1024;

/// The metadata of a list.
#[derive(Clone, Debug, Default)]
pub struct ListMeta {
    revision: u64,
    token: String,
    remaining: Option<usize>,
    /// Lists of custom resources show the token even if it is empty.
    always_token: bool,
}

impl ListMeta {
    /// Nothing but a revision.
    pub fn at(revision: u64) -> ListMeta {
        ListMeta { revision, ..ListMeta::default() }
    }

    fn of(listing: &Listing) -> ListMeta {
        ListMeta {
            revision: listing.revision,
            token: listing.token.clone(),
            remaining: listing.remaining,
            always_token: false,
        }
    }

    /// Writes it as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.revision > 0 {
            out.extend_from_slice(format!("\"resourceVersion\":\"{}\"", self.revision).as_bytes());
        }
        if !self.token.is_empty() || (self.always_token && self.revision > 0) {
            // Tokens are base64: nothing to escape.
            out.extend_from_slice(format!(",\"continue\":\"{}\"", self.token).as_bytes());
        }
        if let Some(remaining) = self.remaining {
            out.extend_from_slice(format!(",\"remainingItemCount\":{remaining}").as_bytes());
        }
        out.push(b'}');
    }
}

/// How the items of a list are written.
#[derive(Clone, Copy, Debug)]
enum ItemForm {
    Whole,
    Metadata(MetaVersion),
    Row(Rows),
}

/// Answers with a list.
pub fn list(served: &Arc<Served>, listing: Listing, look: Look<'_>) -> Result<Response, Status> {
    let Look { table: kinds, form, rows } = look;
    let metadata = ListMeta::of(&listing);
    if form.media == Media::Protobuf {
        let of = match form.shape {
            Shape::Whole => Some(messages::Of::Objects(served.clone())),
            Shape::MetadataList(MetaVersion::V1) => Some(messages::Of::metadata(kinds)?),
            // Lists of the older version have their members under other numbers: they are made as any document is.
            _ => None,
        };
        if let Some(of) = of {
            return messages::list(kinds, of, listing.items, &metadata);
        }
    }
    let mut head = Vec::with_capacity(PIECE + PIECE / 8);
    let (item, end): (ItemForm, &'static [u8]) = match form.shape {
        Shape::Whole => {
            let text = format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":",
                served.list_kind, served.api_version
            );
            head.extend_from_slice(text.as_bytes());
            let metadata = ListMeta { always_token: served.custom.is_some(), ..metadata.clone() };
            metadata.write(&mut head);
            head.extend_from_slice(b",\"items\":[");
            (ItemForm::Whole, b"]}")
        }
        Shape::MetadataList(version) => {
            begin_metadata(&mut head, version, &metadata);
            (ItemForm::Metadata(version), b"]}")
        }
        Shape::Table(version) => {
            table::begin(&mut head, served, version, &metadata, true);
            (ItemForm::Row(rows), table::END)
        }
        Shape::Metadata(_) => return Err(no_list(served)),
    };
    let writer = Writer { served: served.clone(), items: Some(listing.items), item, first: true, head, end };
    match form.media {
        Media::Json if !form.pretty => Ok(respond(200, form.media.name(), writer.into_body())),
        Media::Json => Ok(respond(200, form.media.name(), json_text(writer.whole(), true))),
        Media::Yaml | Media::Protobuf => {
            let value = machinery::json::parse(&writer.whole()).map_err(Status::internal)?;
            Ok(document(kinds, 200, &value, form))
        }
    }
}

fn begin_metadata(head: &mut Vec<u8>, version: MetaVersion, metadata: &ListMeta) {
    let version = version.api_version();
    let text = format!("{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"{version}\",\"metadata\":");
    head.extend_from_slice(text.as_bytes());
    metadata.write(head);
    head.extend_from_slice(b",\"items\":[");
}

fn no_list(served: &Served) -> Status {
    Status::new(
        406,
        Reason::NotAcceptable,
        format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*{}.{}List)",
            internal_package(&served.group),
            served.kind
        ),
    )
}

/// Writes a list piece by piece.
struct Writer {
    served: Arc<Served>,
    /// `None` at the end.
    items: Option<Items>,
    item: ItemForm,
    first: bool,
    head: Vec<u8>,
    end: &'static [u8],
}

impl Writer {
    fn whole(mut self) -> Vec<u8> {
        let mut whole = std::mem::take(&mut self.head);
        if let Some(items) = self.items.take() {
            for entry in items {
                self.write(&entry, &mut whole);
            }
        }
        self.close(&mut whole);
        whole
    }

    /// A list of bare metadata without items has none at all, as upstream's has.
    fn close(&self, piece: &mut Vec<u8>) {
        if self.first && matches!(self.item, ItemForm::Metadata(_)) {
            piece.truncate(piece.len() - 1);
            piece.extend_from_slice(b"null}");
        } else {
            piece.extend_from_slice(self.end);
        }
    }

    fn into_body(mut self) -> Body {
        let first = match self.piece() {
            Some(piece) if self.items.is_none() => return Body::Full(piece),
            Some(piece) => piece,
            None => return Body::empty(),
        };
        let rest = futures_util::stream::unfold(self, |mut writer| async move {
            let piece = writer.piece()?;
            Some((piece, writer))
        });
        let pieces: Pieces =
            Box::pin(futures_util::StreamExt::chain(futures_util::stream::once(async { first }), rest));
        Body::Pieces(pieces)
    }

    fn piece(&mut self) -> Option<Bytes> {
        let mut items = self.items.take()?;
        let mut piece = std::mem::take(&mut self.head);
        if piece.capacity() == 0 {
            piece.reserve(PIECE + PIECE / 8);
        }
        while piece.len() < PIECE {
            let Some(entry) = items.next() else {
                self.close(&mut piece);
                piece.push(b'\n');
                return Some(Bytes::from(piece));
            };
            self.write(&entry, &mut piece);
        }
        self.items = Some(items);
        Some(Bytes::from(piece))
    }

    fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let before = out.len();
        if !self.first {
            out.push(b',');
        }
        let written = match self.item {
            ItemForm::Whole => {
                whole_item(&self.served, entry, out);
                Ok(())
            }
            ItemForm::Metadata(version) => {
                metadata::write(entry, version, out);
                Ok(())
            }
            ItemForm::Row(rows) => table::row(out, &self.served, entry, rows),
        };
        match written {
            Ok(()) => self.first = false,
            Err(error) => {
                tracing::error!(key = entry.key(), %error, "an object cannot be shown and is left out of a list");
                out.truncate(before);
            }
        }
    }
}

/// An object as an item of a list: without kind and version, as upstream's typed lists have them.
fn whole_item(served: &Served, entry: &Entry, out: &mut Vec<u8>) {
    let prefix = served.type_prefix.as_bytes();
    if prefix.is_empty() || !entry.object().body().starts_with(prefix) {
        return entry.object().write_json(out);
    }
    out.push(b'{');
    entry.object().write_json_after(prefix.len(), out);
}
