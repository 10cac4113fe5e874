//! Lists in protobuf. The length of a list stands before it, so all its messages are made before the first is sent; they
//! of whole objects are kept beside them for the next time.

use std::sync::Arc;

use api::Table;
use bytes::Bytes;
use machinery::json::TypeMeta;
use machinery::protobuf;
use machinery::schema::Schema;
use machinery::{Status, Value};

use super::lists::{ListMeta, PIECE};
use super::objects::message_of;
use super::{metadata, respond};
use crate::cache::Entry;
use crate::http::accept::{Media, MetaVersion};
use crate::http::{Body, Response};
use crate::registry::Served;
use crate::verbs::list::Items;

/// How many messages are made before other work gets a turn.
const TURN: usize = 64;

/// Of what a list is made.
pub enum Of {
    /// Of whole objects.
    Objects(Arc<Served>),
    /// Of their metadata alone, which have this type.
    Metadata(Schema),
}

impl Of {
    /// Of the metadata of objects, as `v1` has them.
    pub fn metadata(kinds: &Table) -> Result<Of, Status> {
        metadata::schema(kinds).map(Of::Metadata)
    }

    fn type_meta(&self) -> TypeMeta {
        match self {
            Of::Objects(served) => {
                let kind = format!("{}List", served.kind).into();
                TypeMeta { api_version: served.api_version.clone(), kind }
            }
            Of::Metadata(_) => TypeMeta {
                api_version: MetaVersion::V1.api_version().into(),
                kind: "PartialObjectMetadataList".into(),
            },
        }
    }

    /// The length of the message of an object, and what has to be kept to write it later.
    fn measure(&self, entry: &Entry) -> Result<(usize, Kept), Status> {
        match self {
            Of::Objects(served) => Ok((message_of(served, entry)?.length(), None)),
            Of::Metadata(schema) => {
                let message = metadata::Message::of(entry, metadata::type_in(schema))?;
                Ok((message.alone().length(), message.into_own()))
            }
        }
    }

    /// Appends the message of an object that was measured.
    fn write(&self, entry: &Entry, kept: &Kept, out: &mut Vec<u8>) -> Result<(), Status> {
        match (self, kept) {
            (Of::Objects(served), _) => message_of(served, entry)?.write_item(out),
            (Of::Metadata(schema), Some(own)) => {
                metadata::Message::from_own(own, entry, metadata::type_in(schema)).alone().write_item(out);
            }
            (Of::Metadata(schema), None) => {
                metadata::Message::of(entry, metadata::type_in(schema))?.alone().write_item(out);
            }
        }
        Ok(())
    }
}

/// What of a message is kept nowhere else.
type Kept = Option<Box<[u8]>>;

/// Answers with a list. The answer begins at once; whoever waits for its body waits for all messages.
pub fn list(kinds: &Table, of: Of, items: Items, metadata: &ListMeta) -> Result<Response, Status> {
    let meta = of.type_meta();
    let known = kinds.kind_of(&meta.api_version, &meta.kind);
    let metadata_type = known
        .and_then(|known| kinds.type_of(known).member("metadata"))
        .ok_or_else(|| Status::internal(format!("the table of kinds has no {}", meta.kind)))?;
    let mut json = Vec::new();
    metadata.write(&mut json);
    let metadata: Value = machinery::json::parse(&json).map_err(Status::internal)?;
    let mut encoded = Vec::new();
    protobuf::encode(&metadata, metadata_type, &mut encoded);
    let mut head = Vec::new();
    protobuf::encode_list(&encoded, [], &mut head);
    let mut measuring = Measuring::new(of, meta, head, items);
    let body = if measuring.turn() {
        Stage::Measuring(measuring).into_body()
    } else {
        let (mut sending, mut whole) = (measuring.sending(), Vec::new());
        while let Some(piece) = sending.piece() {
            whole.extend_from_slice(&piece);
        }
        Body::from(whole)
    };
    Ok(respond(200, Media::Protobuf.name(), body))
}

/// A list that is on its way.
enum Stage {
    Measuring(Measuring),
    Sending(Sending),
}

impl Stage {
    fn into_body(self) -> Body {
        Body::Pieces(Box::pin(futures_util::stream::unfold(self, |stage| async {
            let mut sending = match stage {
                Stage::Measuring(mut measuring) => {
                    while measuring.turn() {
                        tokio::task::yield_now().await;
                    }
                    measuring.sending()
                }
                Stage::Sending(sending) => sending,
            };
            let piece = sending.piece()?;
            Some((piece, Stage::Sending(sending)))
        })))
    }
}

/// A list whose messages are being made.
struct Measuring {
    of: Of,
    meta: TypeMeta,
    head: Vec<u8>,
    items: Items,
    measured: Vec<(Arc<Entry>, Kept)>,
    length: usize,
}

impl Measuring {
    fn new(of: Of, meta: TypeMeta, head: Vec<u8>, items: Items) -> Measuring {
        let length = head.len();
        Measuring { of, meta, head, items, measured: Vec::new(), length }
    }

    /// Makes some messages; whether there are more to be made.
    fn turn(&mut self) -> bool {
        for _ in 0..TURN {
            let Some(entry) = self.items.next() else { return false };
            match self.of.measure(&entry) {
                Ok((length, kept)) => {
                    self.length += protobuf::item_len(length);
                    self.measured.push((entry, kept));
                }
                Err(error) => {
                    tracing::error!(key = entry.key(), %error, "an object cannot be shown and is left out of a list");
                }
            }
        }
        true
    }

    fn sending(self) -> Sending {
        let (mut begun, last) = protobuf::envelope(&self.meta, self.length);
        begun.extend_from_slice(&self.head);
        Sending { of: self.of, begun, items: self.measured.into_iter(), last: Some(last) }
    }
}

/// A list whose length is known.
struct Sending {
    of: Of,
    begun: Vec<u8>,
    items: std::vec::IntoIter<(Arc<Entry>, Kept)>,
    /// `None` at the end.
    last: Option<Vec<u8>>,
}

impl Sending {
    /// The next part of the list.
    fn piece(&mut self) -> Option<Bytes> {
        self.last.as_ref()?;
        let mut piece = std::mem::take(&mut self.begun);
        piece.reserve(PIECE + PIECE / 8);
        while piece.len() < PIECE {
            let Some((entry, kept)) = self.items.next() else {
                piece.extend_from_slice(&self.last.take()?);
                break;
            };
            if let Err(error) = self.of.write(&entry, &kept, &mut piece) {
                // What was measured is there. Were it not, the length would be wrong: the client sees that the list broke
                // off.
                tracing::error!(key = entry.key(), %error, "an object that was measured cannot be shown");
                return None;
            }
        }
        Some(Bytes::from(piece))
    }
}
