//! Protobuf as the API reads and writes it, by schema.
//!
//! * [`encode`] and [`decode`] turn a document into a message and back; neither holds `apiVersion` and `kind`.
//! * [`transcode`] makes the same message of a document's text.
//! * [`seal`] and [`open`] put a message into the envelope that bodies come in (`k8s\0` and what it is).
//! * [`wire`] has the letters, for messages of others.
//! * [`encode_list`] and [`encode_event`] put messages that were encoded already into lists and watch frames;
//!   [`Spliced`] puts managed fields into an object's.
//!
//! A message cannot tell an empty list from an unset one; documents that come out of [`decode`] are canonical all the same.

mod decode;
mod encode;
mod source;
pub mod wire;

pub use decode::decode;
pub use encode::{Spliced, encode, encode_event, encode_list, encode_member, item_len, transcode};

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

/// Appends the envelope with a message of `length` bytes in it, which `write` appends.
pub fn seal_with(meta: &TypeMeta, length: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let (before, after) = envelope(meta, length);
    out.reserve(before.len() + length + after.len());
    out.extend_from_slice(&before);
    write(out);
    out.extend_from_slice(&after);
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
        // Metadata of 4 and of 300 bytes, the latter with more to come, and something behind them.
        let long = [b"\x0a\xac\x02".as_slice(), &[7; 300], b"rest"].concat();
        let objects: [(&[u8], &[u8]); 3] =
            [(b"\x0a\x04meta", b""), (&long, &[9; 200]), (b"\x0a\x04meta", b"x")];
        let whole = [
            b"\x0a\x04meta".to_vec(),
            [b"\x0a\xf4\x03".as_slice(), &[7; 300], &[9; 200], b"rest"].concat(),
            b"\x0a\x05metax".to_vec(),
        ];
        let mut message = Vec::new();
        encode_list(b"list", whole.iter().map(Vec::as_slice), &mut message);
        let mut sealed = Vec::new();
        seal(&meta, &message, &mut sealed);
        let mut head = Vec::new();
        encode_list(b"list", [], &mut head);
        let items =
            objects.map(|(object, managed)| Spliced::new(object, managed).expect("metadata come first"));
        let length = head.len() + items.iter().map(|item| item_len(item.length())).sum::<usize>();
        let (before, after) = envelope(&meta, length);
        let mut pieces = [before, head].concat();
        items.iter().for_each(|item| item.write_item(&mut pieces));
        pieces.extend_from_slice(&after);
        assert_eq!(pieces, sealed);
        assert!(Spliced::new(b"\x12\x00", b"").is_err(), "metadata come first");
        assert!(Spliced::new(b"\x0a\x09", b"").is_err(), "cut short");
    }
}
