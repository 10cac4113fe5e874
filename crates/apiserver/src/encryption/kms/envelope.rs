//! A sealed value as it is stored: what was sealed, and the sealed key to open it with (`EncryptedObject`).

use aws_lc_rs::digest::{SHA256, digest};
use machinery::field::{self, Path};
use machinery::names;
use machinery::protobuf::wire::{self, Reader, WireType};

use super::message;
use super::plugin::Source;

/// The longest sealed key, the longest id of a key, and the most that annotations may be.
const MOST_SOURCE: usize = 1024;
const MOST_KEY_ID: usize = 1024;
const MOST_ANNOTATIONS: usize = 32 * 1024;

/// How the key in an envelope opens what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the key itself, of AES in Galois/counter mode. Earlier versions of Kubernetes wrote this.
    Key,
    /// The keys of values are derived from it.
    Seed,
}

/// A sealed value and the sealed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The sealed value.
    pub data: &'a [u8],
    /// The sealed key.
    pub source: Source,
    /// How the key is used.
    pub usage: Use,
}

/// The hash of what names a key, by which opened keys are found.
pub type Digest = [u8; 32];

impl<'a> Envelope<'a> {
    /// Reads what is stored.
    pub fn decode(stored: &'a [u8]) -> Result<Envelope<'a>, String> {
        let (mut data, mut source, mut usage) = (&[][..], Source::default(), 0);
        let mut reader = Reader::new(stored);
        let mut step = || {
            let Some((number, form)) = reader.tag()? else { return Ok(false) };
            match (number, form) {
                (1, WireType::Bytes) => data = reader.bytes()?,
                (2, WireType::Bytes) => source.key_id = message::text(reader.bytes()?)?,
                (3, WireType::Bytes) => source.ciphertext = reader.bytes()?.to_vec(),
                (4, WireType::Bytes) => message::take_annotation(reader.bytes()?, &mut source.annotations)?,
                (5, WireType::Varint) => usage = reader.varint()?,
                (_, other) => reader.skip(other)?,
            }
            Ok(true)
        };
        while step().map_err(|error: machinery::protobuf::Error| error.text)? {}
        let usage = match usage {
            0 => Use::Key,
            1 => Use::Seed,
            other => return Err(format!("unknown encryptedDEKSourceType: {other}")),
        };
        if data.is_empty() {
            return Err("encrypted data is empty".to_owned());
        }
        check(&source)?;
        Ok(Envelope { data, source, usage })
    }

    /// The hash of its sealed key and of how that is used.
    pub fn digest(&self) -> Digest {
        digest_of(&tail(&self.source, self.usage))
    }
}

/// Everything of an envelope but the sealed value.
pub fn tail(source: &Source, usage: Use) -> Vec<u8> {
    let mut out = Vec::new();
    message::put(2, source.key_id.as_bytes(), &mut out);
    message::put(3, &source.ciphertext, &mut out);
    message::put_annotations(4, &source.annotations, &mut out);
    if usage == Use::Seed {
        wire::int(5, 1, &mut out);
    }
    out
}

/// The hash of a [`tail`].
pub fn digest_of(tail: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, tail).as_ref());
    hash
}

/// What is stored: a prefix, the sealed value, and the rest of the envelope.
pub fn encode(prefix: &[u8], data: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + data.len() + tail.len() + 8);
    out.extend_from_slice(prefix);
    message::put(1, data, &mut out);
    out.extend_from_slice(tail);
    out
}

/// Whether a plugin may seal so, or would be the end of us.
pub fn check(source: &Source) -> Result<(), String> {
    let length = source.ciphertext.len();
    let in_source = |why: String| format!("failed to validate encrypted DEK source: {why}");
    if length == 0 {
        return Err(in_source("encrypted DEK source is empty".to_owned()));
    }
    if length > MOST_SOURCE {
        let why =
            format!("encrypted DEK source is {length} bytes, which exceeds the max size of {MOST_SOURCE}");
        return Err(in_source(why));
    }
    check_key_id(&source.key_id).map_err(|why| format!("failed to validate key id: {why}"))?;
    let mut wrong: Vec<String> =
        source.annotations.keys().filter_map(|name| check_annotation(name)).collect();
    let total: usize = source.annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > MOST_ANNOTATIONS {
        wrong.push(format!(
            "total size of annotations is {total}, which exceeds the max size of {MOST_ANNOTATIONS}"
        ));
    }
    match super::joined(wrong) {
        None => Ok(()),
        Some(why) => Err(format!("failed to validate annotations: {why}")),
    }
}

/// Whether a key may be called so.
pub fn check_key_id(key_id: &str) -> Result<(), String> {
    match key_id.len() {
        0 => Err("keyID is empty".to_owned()),
        length if length > MOST_KEY_ID => {
            Err(format!("keyID is {length} bytes, which exceeds the max size of {MOST_KEY_ID}"))
        }
        _ => Ok(()),
    }
}

/// What is wrong with the name of an annotation: it must be a domain of at least two parts.
fn check_annotation(name: &str) -> Option<String> {
    let path = Path::new("annotations");
    if name.is_empty() {
        return Some(field::Error::required(&path, "").to_string());
    }
    let domain = name.strip_suffix('.').unwrap_or(name);
    let faults = names::dns1123_subdomain(domain);
    if !faults.is_empty() {
        return Some(field::Error::invalid(&path, domain, faults.join(",")).to_string());
    }
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        return Some(field::Error::invalid(&path, domain, why).to_string());
    }
    domain.split('.').find_map(|label| {
        let faults = names::dns1123_label(label);
        (!faults.is_empty()).then(|| field::Error::invalid(&path, label, faults.join(",")).to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source() -> Source {
        Source {
            ciphertext: b"sealed".to_vec(),
            key_id: "1".to_owned(),
            annotations: BTreeMap::from([("version.plugin.example.com".to_owned(), b"1".to_vec())]),
        }
    }

    #[test]
    fn what_is_stored_has_its_published_form() {
        let stored = encode(b"k8s:enc:kms:v2:p:", b"data", &tail(&source(), Use::Seed));
        let expected = b"k8s:enc:kms:v2:p:\x0a\x04data\x12\x011\x1a\x06sealed\x22\x1f\x0a\x1aversion.plugin.example.com\x12\x011\x28\x01";
        assert_eq!(stored, expected);
        let read = Envelope::decode(&stored[17..]).unwrap();
        assert_eq!(read, Envelope { data: b"data", source: source(), usage: Use::Seed });
        assert_eq!(read.digest(), digest_of(&tail(&source(), Use::Seed)));
        let old = encode(b"", b"data", &tail(&source(), Use::Key));
        assert_eq!(Envelope::decode(&old).unwrap().usage, Use::Key);
        assert_ne!(Envelope::decode(&old).unwrap().digest(), read.digest());
    }

    #[test]
    fn what_a_plugin_must_not_say_is_refused_in_upstreams_words() {
        let with = |change: fn(&mut Source)| {
            let mut source = source();
            change(&mut source);
            check(&source).unwrap_err()
        };
        for (error, expected) in [
            (with(|source| source.ciphertext.clear()), "encrypted DEK source is empty"),
            (
                with(|source| source.ciphertext = vec![0; 1025]),
                "encrypted DEK source is 1025 bytes, which exceeds the max size of 1024",
            ),
            (with(|source| source.key_id.clear()), "failed to validate key id: keyID is empty"),
            (
                with(|source| source.key_id = "k".repeat(1025)),
                "keyID is 1025 bytes, which exceeds the max size of 1024",
            ),
            (
                with(|source| drop(source.annotations.insert("plain".to_owned(), Vec::new()))),
                "failed to validate annotations: annotations: Invalid value: \"plain\": should be a domain with at least",
            ),
            (
                with(|source| drop(source.annotations.insert("A.b".to_owned(), Vec::new()))),
                "annotations: Invalid value: \"A.b\": a lowercase RFC 1123 subdomain",
            ),
            (
                with(|source| drop(source.annotations.insert(String::new(), Vec::new()))),
                "annotations: Required value",
            ),
            (
                with(|source| drop(source.annotations.insert("a.b".to_owned(), vec![0; 32 * 1024]))),
                "total size of annotations is 32798, which exceeds the max size of 32768",
            ),
        ] {
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(check(&source()), Ok(()));
    }

    #[test]
    fn what_is_stored_and_makes_no_sense_is_refused() {
        for (stored, expected) in [
            (&b""[..], "encrypted data is empty"),
            (b"\x0a\x01d", "encrypted DEK source is empty"),
            (b"\x0a\x01d\x1a\x01s", "keyID is empty"),
            (b"\x0a\x01d\x1a\x01s\x12\x01k\x28\x02", "unknown encryptedDEKSourceType: 2"),
            (b"\x0a\x09d", "unexpected EOF"),
            (b"\x0a\x01d\x12\x01\xff", "invalid UTF-8"),
        ] {
            let error = Envelope::decode(stored).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
