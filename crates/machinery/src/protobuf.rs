//! Protobuf as the API reads and writes it, by schema.
//!
//! * [`encode`] and [`decode`] turn a document into a message and back; neither holds `apiVersion` and `kind`.
//! * [`seal`] and [`open`] put a message into the envelope that bodies come in (`k8s\0` and what it is).
//! * [`encode_list`] and [`encode_event`] put messages that were encoded already into lists and watch frames.
//!
//! A message cannot tell an empty list from an unset one; documents that come out of [`decode`] are canonical all the same.

mod decode;
mod encode;
mod wire;

pub use decode::decode;
pub use encode::{encode, encode_event, encode_item, encode_list, item_len};

use std::fmt;

use smol_str::SmolStr;

use self::wire::{Reader, WireType};
use crate::json::TypeMeta;

/// How every body begins.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// A message in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the message is.
    pub meta: TypeMeta,
    /// The message; JSON if `content_type` says so.
    pub raw: &'a [u8],
    /// What encodes the message; empty for protobuf.
    pub content_type: SmolStr,
}

/// Appends the envelope with a message in it.
pub fn seal(meta: &TypeMeta, message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + meta.api_version.len() + meta.kind.len() + 32);
    out.extend_from_slice(&MAGIC);
    wire::message(1, out, |out| {
        wire::bytes(1, meta.api_version.as_bytes(), out);
        wire::bytes(2, meta.kind.as_bytes(), out);
    });
    wire::bytes(2, message, out);
    wire::bytes(3, b"", out);
    wire::bytes(4, b"", out);
}

/// The envelope around a message of `length` bytes that is sent piece by piece: what comes before it, and what after.
pub fn envelope(meta: &TypeMeta, length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut before = MAGIC.to_vec();
    wire::message(1, &mut before, |out| {
        wire::bytes(1, meta.api_version.as_bytes(), out);
        wire::bytes(2, meta.kind.as_bytes(), out);
    });
    wire::head(2, length, &mut before);
    let mut after = Vec::new();
    wire::bytes(3, b"", &mut after);
    wire::bytes(4, b"", &mut after);
    (before, after)
}

/// Takes a message out of its envelope.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let Some(rest) = body.strip_prefix(&MAGIC) else {
        return Err(Error {
            text: "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
                .to_owned(),
        });
    };
    let mut envelope = Envelope { meta: TypeMeta::default(), raw: &[], content_type: SmolStr::default() };
    let mut reader = Reader::new(rest);
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, WireType::Bytes) => {
                let mut inner = Reader::new(reader.bytes()?);
                while let Some((number, wire_type)) = inner.tag()? {
                    match (number, wire_type) {
                        (1, WireType::Bytes) => envelope.meta.api_version = inner.text()?.into(),
                        (2, WireType::Bytes) => envelope.meta.kind = inner.text()?.into(),
                        _ => inner.skip(wire_type)?,
                    }
                }
            }
            (2, WireType::Bytes) => envelope.raw = reader.bytes()?,
            (4, WireType::Bytes) => envelope.content_type = reader.text()?.into(),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(envelope)
}

#[cfg(test)]
mod piecewise {
    use super::*;

    #[test]
    fn a_list_sent_in_pieces_is_the_same_list() {
        let meta = TypeMeta { api_version: "v1".into(), kind: "PodList".into() };
        let items: [&[u8]; 3] = [b"one", &[7; 300], b""];
        let mut message = Vec::new();
        encode_list(b"meta", items, &mut message);
        let mut whole = Vec::new();
        seal(&meta, &message, &mut whole);
        let mut head = Vec::new();
        encode_list(b"meta", [], &mut head);
        let length = head.len() + items.iter().map(|item| item_len(item.len())).sum::<usize>();
        let (before, after) = envelope(&meta, length);
        let mut pieces = [before, head].concat();
        for item in items {
            encode_item(item, &mut pieces);
        }
        pieces.extend_from_slice(&after);
        assert_eq!(pieces, whole);
    }
}
