//! The messages of `v2.KeyManagementService`, as much of them as is sent and received.

use std::collections::BTreeMap;

use machinery::protobuf::Error;
use machinery::protobuf::wire::{self, Reader, WireType};

use super::plugin::{Health, Source};

/// Texts by name that travel with a key that a plugin sealed.
pub(super) type Annotations = BTreeMap<String, Vec<u8>>;

/// `EncryptRequest`
pub(super) fn encrypt(uid: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(1, plain, &mut out);
    put(2, uid.as_bytes(), &mut out);
    out
}

/// `DecryptRequest`
pub(super) fn decrypt(uid: &str, source: &Source) -> Vec<u8> {
    let mut out = Vec::new();
    put(1, &source.ciphertext, &mut out);
    put(2, uid.as_bytes(), &mut out);
    put(3, source.key_id.as_bytes(), &mut out);
    put_annotations(4, &source.annotations, &mut out);
    out
}

/// `StatusResponse`
pub(crate) fn status_answer(message: &[u8]) -> Result<Health, Error> {
    let mut health = Health::default();
    each(message, |number, bytes| {
        match number {
            1 => health.version = text(bytes)?,
            2 => health.healthz = text(bytes)?,
            3 => health.key_id = text(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(health)
}

/// `EncryptResponse`
pub(crate) fn encrypt_answer(message: &[u8]) -> Result<Source, Error> {
    let mut source = Source::default();
    each(message, |number, bytes| {
        match number {
            1 => source.ciphertext = bytes.to_vec(),
            2 => source.key_id = text(bytes)?,
            3 => take_annotation(bytes, &mut source.annotations)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(source)
}

/// `DecryptResponse`
pub(crate) fn decrypt_answer(message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    each(message, |number, bytes| {
        if number == 1 {
            plain = bytes.to_vec();
        }
        Ok(())
    })?;
    Ok(plain)
}

/// Adds bytes or a text, unless it is empty.
pub(super) fn put(number: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        wire::bytes(number, value, out);
    }
}

/// Adds annotations, in the order of their names.
pub(super) fn put_annotations(number: u32, annotations: &Annotations, out: &mut Vec<u8>) {
    for (name, value) in annotations {
        let mut entry = Vec::new();
        put(1, name.as_bytes(), &mut entry);
        put(2, value, &mut entry);
        wire::bytes(number, &entry, out);
    }
}

/// Takes one annotation in.
pub(super) fn take_annotation(entry: &[u8], annotations: &mut Annotations) -> Result<(), Error> {
    let (mut name, mut value) = (String::new(), Vec::new());
    each(entry, |number, bytes| {
        match number {
            1 => name = text(bytes)?,
            2 => value = bytes.to_vec(),
            _ => {}
        }
        Ok(())
    })?;
    annotations.insert(name, value);
    Ok(())
}

/// A text; what is no UTF-8 is refused, as proto3 wants it.
pub(super) fn text(bytes: &[u8]) -> Result<String, Error> {
    let wrong = |_| Error { text: "proto: field contains invalid UTF-8".to_owned() };
    String::from_utf8(bytes.to_vec()).map_err(wrong)
}

/// Visits the fields that hold bytes; others are passed over.
fn each<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(u32, &'a [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::new(message);
    while let Some((number, form)) = reader.tag()? {
        match form {
            WireType::Bytes => visit(number, reader.bytes()?)?,
            other => reader.skip(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_have_their_published_form() {
        assert_eq!(encrypt("u", b"plain"), b"\x0a\x05plain\x12\x01u");
        assert_eq!(encrypt("", b""), b"");
        let source = Source {
            ciphertext: b"c".to_vec(),
            key_id: "k".to_owned(),
            annotations: Annotations::from([("b.c".to_owned(), vec![0]), ("a.b".to_owned(), Vec::new())]),
        };
        let expected = b"\x0a\x01c\x12\x01u\x1a\x01k\x22\x05\x0a\x03a.b\x22\x08\x0a\x03b.c\x12\x01\0";
        assert_eq!(decrypt("u", &source), expected);
    }

    #[test]
    fn answers_are_read_and_strangers_are_passed_over() {
        let health = status_answer(b"\x0a\x02v2\x12\x02ok\x1a\x011\x20\x07\x2a\x01x").unwrap();
        assert_eq!(
            (health.version.as_str(), health.healthz.as_str(), health.key_id.as_str()),
            ("v2", "ok", "1")
        );
        let source = encrypt_answer(b"\x0a\x01c\x12\x01k\x1a\x08\x0a\x03a.b\x12\x01v").unwrap();
        assert_eq!((source.ciphertext.as_slice(), source.key_id.as_str()), (&b"c"[..], "k"));
        assert_eq!(source.annotations["a.b"], b"v");
        assert_eq!(decrypt_answer(b"\x0a\x03abc").unwrap(), b"abc");
        assert_eq!(decrypt_answer(b"").unwrap(), b"");
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in [&b"\x0a"[..], b"\x0a\x05abc", b"\x0a\x01\xff", b"\x0b", b"\x00\x01", b"\x12\xff"] {
            assert!(status_answer(nonsense).is_err(), "{nonsense:?}");
        }
        assert!(encrypt_answer(b"\x1a\x02\x0a\x09").is_err());
    }
}
