//! Lists in protobuf. The length of a list stands before it, so all its messages are made before the first is sent; they
//! are kept beside their objects for the next time.

use std::sync::Arc;

use api::Table;
use bytes::Bytes;
use machinery::json::TypeMeta;
use machinery::protobuf::{self, Spliced};
use machinery::{Status, Value};

use super::lists::{ListMeta, PIECE};
use super::objects::message_of;
use super::respond;
use crate::cache::Entry;
use crate::http::accept::Media;
use crate::http::{Body, Response};
use crate::registry::Served;
use crate::verbs::list::{Items, Listing};

/// How many messages are made before other work gets a turn.
const TURN: usize = 64;

/// Answers with a list. The answer begins at once; whoever waits for its body waits for all messages.
pub fn list(
    kinds: &Table,
    served: &Arc<Served>,
    listing: Listing,
    metadata: &ListMeta,
) -> Result<Response, Status> {
    let kind = format!("{}List", served.kind);
    let known = kinds.kind(&served.group, &served.version, &kind);
    let metadata_type = known
        .and_then(|known| kinds.type_of(known).member("metadata"))
        .ok_or_else(|| Status::internal(format!("the table of kinds has no {kind}")))?;
    let mut json = Vec::new();
    metadata.write(&mut json);
    let metadata: Value = machinery::json::parse(&json).map_err(Status::internal)?;
    let mut encoded = Vec::new();
    protobuf::encode(&metadata, metadata_type, &mut encoded);
    let mut head = Vec::new();
    protobuf::encode_list(&encoded, [], &mut head);
    let meta = TypeMeta { api_version: served.api_version.clone(), kind: kind.into() };
    let mut measuring = Measuring::new(served.clone(), meta, head, listing.items);
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
    served: Arc<Served>,
    meta: TypeMeta,
    head: Vec<u8>,
    items: Items,
    measured: Vec<Arc<Entry>>,
    length: usize,
}

impl Measuring {
    fn new(served: Arc<Served>, meta: TypeMeta, head: Vec<u8>, items: Items) -> Measuring {
        let length = head.len();
        Measuring { served, meta, head, items, measured: Vec::new(), length }
    }

    /// Makes some messages; whether there are more to be made.
    fn turn(&mut self) -> bool {
        for _ in 0..TURN {
            let Some(entry) = self.items.next() else { return false };
            match message_of(&self.served, &entry) {
                Ok(message) => {
                    self.length += protobuf::item_len(message.length());
                    self.measured.push(entry);
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
        Sending { served: self.served, begun, items: self.measured.into_iter(), last: Some(last) }
    }
}

/// A list whose length is known.
struct Sending {
    served: Arc<Served>,
    begun: Vec<u8>,
    items: std::vec::IntoIter<Arc<Entry>>,
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
            let Some(entry) = self.items.next() else {
                piece.extend_from_slice(&self.last.take()?);
                break;
            };
            // What was measured is there.
            let message: Result<Spliced<'_>, Status> = message_of(&self.served, &entry);
            if let Ok(message) = message {
                message.write_item(&mut piece);
            }
        }
        Some(Bytes::from(piece))
    }
}
