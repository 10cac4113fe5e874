//! From stored values to entries and back.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Object, Status, Value};

use crate::cache::Entry;

/// What stands before the number in the JSON of an object.
const VERSION: &[u8] = b"\"resourceVersion\":\"";

/// The bytes to store for a document in canonical order.
pub fn write(document: &Value) -> Bytes {
    Bytes::from(machinery::object::stored_form(document))
}

/// The entry of a stored value.
pub fn read(value: &[u8], revision: u64) -> Result<Arc<Entry>, Status> {
    Object::from_stored(value, revision).map(|object| Arc::new(Entry::new(object)))
}

/// The same entry at another revision: what watchers are told when it is gone.
pub fn at_revision(entry: &Entry, revision: u64) -> Result<Arc<Entry>, Status> {
    let whole = entry.json();
    let from = whole
        .windows(VERSION.len())
        .position(|window| window == VERSION)
        .map(|at| at + VERSION.len())
        .ok_or_else(|| Status::internal("a cached object has no resource version"))?;
    let length = whole[from..].iter().position(|byte| *byte == b'"').unwrap_or(0);
    let mut fresh = Vec::with_capacity(whole.len() + 20);
    fresh.extend_from_slice(&whole[..from]);
    fresh.extend_from_slice(revision.to_string().as_bytes());
    fresh.extend_from_slice(&whole[from + length..]);
    Object::from_json(&fresh).map(|object| Arc::new(Entry::new(object)))
}

/// An entry as it would be, for writes that are not carried out. Without a revision it never was.
pub fn unwritten(document: &Value, revision: u64) -> Result<Arc<Entry>, Status> {
    if revision > 0 {
        return read(&write(document), revision);
    }
    let mut document = document.clone();
    document.entry("metadata").remove("resourceVersion");
    Object::from_value(&document).map(|object| Arc::new(Entry::new(object)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_can_be_replaced() {
        let stored = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"d","uid":"u",
            "labels":{"a":"1"},"managedFields":[{"manager":"m"}]},"spec":{}}"#;
        let entry = read(stored, 9).unwrap();
        let later = at_revision(&entry, 1_000).unwrap();
        assert_eq!(later.object(), read(stored, 1_000).unwrap().object());
        assert_eq!((later.key(), later.revision()), ("d/p", 1_000));
    }
}
