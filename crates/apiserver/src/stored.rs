//! From stored values to entries and back.

use std::sync::Arc;

use bytes::Bytes;
use machinery::managed::Pool;
use machinery::{Object, Status, Value};

use crate::cache::Entry;

/// The bytes to store for a document in canonical order.
pub fn write(document: &Value) -> Bytes {
    Bytes::from(machinery::object::stored_form(document))
}

/// The entry of a stored value.
pub fn read(value: &[u8], revision: u64) -> Result<Arc<Entry>, Status> {
    Object::from_stored(value, revision).map(|object| Arc::new(Entry::new(object)))
}

/// The entry of a stored value; its managed fields are those of all objects that have the same.
pub fn read_sharing(value: &[u8], revision: u64, pool: &Pool) -> Result<Arc<Entry>, Status> {
    Object::from_stored_sharing(value, revision, pool).map(|object| Arc::new(Entry::new(object)))
}

/// The same entry at another revision: what watchers are told when it is gone.
pub fn at_revision(entry: &Entry, revision: u64) -> Arc<Entry> {
    Arc::new(Entry::new(entry.object().at_revision(revision)))
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
        let later = at_revision(&entry, 1_000);
        assert_eq!(later.object(), read(stored, 1_000).unwrap().object());
        assert_eq!((later.key(), later.revision()), ("d/p", 1_000));
    }
}
