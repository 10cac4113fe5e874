//! An object as everybody shares it: its canonical bytes, once, with a small parsed header.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::json::Parts;
use crate::managed::{ManagedFields, Pool};
use crate::{Status, Value};

/// A reference from a dependent to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRef {
    /// The owner's `apiVersion`.
    pub api_version: SmolStr,
    /// The owner's kind.
    pub kind: SmolStr,
    /// The owner's name.
    pub name: SmolStr,
    /// The owner's identity.
    pub uid: SmolStr,
    /// Whether the owner manages the dependent.
    pub controller: bool,
    /// Whether a foreground deletion of the owner waits for the dependent.
    pub block_owner_deletion: bool,
}

/// What everybody asks of an object without decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `apiVersion`
    pub api_version: SmolStr,
    /// `kind`
    pub kind: SmolStr,
    /// `metadata.name`
    pub name: SmolStr,
    /// `metadata.namespace`; empty for what belongs to the cluster
    pub namespace: SmolStr,
    /// `metadata.uid`
    pub uid: SmolStr,
    /// `metadata.resourceVersion` as a number
    pub revision: u64,
    /// `metadata.generation`
    pub generation: i64,
    /// `metadata.deletionTimestamp` is set
    pub deleting: bool,
    /// `metadata.labels`, sorted by key
    pub labels: Box<[(SmolStr, SmolStr)]>,
    /// `metadata.ownerReferences`
    pub owners: Box<[OwnerRef]>,
    /// `metadata.finalizers`
    pub finalizers: Box<[SmolStr]>,
}

impl Header {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .binary_search_by(|(name, _)| name.as_str().cmp(key))
            .ok()
            .map(|position| self.labels[position].1.as_str())
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|owner| owner.controller)
    }

    /// `namespace/name`, or the name alone for what belongs to the cluster.
    pub fn key(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

/// What the store holds of a document in canonical order: all of it but `metadata.resourceVersion`.
pub fn stored_form(document: &Value) -> Vec<u8> {
    crate::object_codec::stored_form(document)
}

/// An object, immutable and shared. Clones cost a counter.
///
/// The bytes are the canonical JSON, `resourceVersion` included, but **without** `managedFields`: those are kept apart,
/// shared between objects that have the same, and put in where [`Object::write_json`] is asked for the whole.
#[derive(Clone, Debug)]
pub struct Object {
    inner: Arc<Inner>,
}

/// Canonical JSON without `managedFields`.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub bytes: Bytes,
    /// Where `,"managedFields":[…]` goes; the byte before it ends a member of `metadata`.
    pub splice_at: usize,
    /// Where the number of `resourceVersion` begins, if there is one.
    pub number_at: Option<usize>,
}

#[derive(Debug)]
struct Inner {
    header: Header,
    body: Body,
    managed_fields: Option<Arc<ManagedFields>>,
    /// The typed view that somebody holds right now, if anybody does.
    view: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
}

impl Object {
    /// From a document in canonical order with `metadata.resourceVersion` set.
    pub fn from_value(document: &Value) -> Result<Object, Status> {
        crate::object_codec::from_value(document)
    }

    /// From canonical JSON (with or without `managedFields`), as an API server sends it.
    pub fn from_json(bytes: &[u8]) -> Result<Object, Status> {
        crate::object_codec::from_json(bytes)
    }

    /// From what the store holds: canonical JSON without `resourceVersion`, which is the store's revision. Reads no
    /// further than `metadata`, so it costs the same for large objects.
    pub fn from_stored(bytes: &[u8], revision: u64) -> Result<Object, Status> {
        crate::object_codec::from_stored(bytes, revision, None)
    }

    /// The same; the `managedFields` are those of all objects of the pool that have the same.
    pub fn from_stored_sharing(bytes: &[u8], revision: u64, pool: &Pool) -> Result<Object, Status> {
        crate::object_codec::from_stored(bytes, revision, Some(pool))
    }

    /// Puts the parts together.
    pub(crate) fn from_parts(
        header: Header,
        body: Body,
        managed_fields: Option<Arc<ManagedFields>>,
    ) -> Object {
        Object { inner: Arc::new(Inner { header, body, managed_fields, view: Mutex::new(None) }) }
    }

    /// The same object at another revision. One without a revision stays without.
    pub fn at_revision(&self, revision: u64) -> Object {
        let Inner { header, body, managed_fields, .. } = &*self.inner;
        let Some(at) = body.number_at else { return self.clone() };
        let length = body.bytes[at..].iter().position(|byte| *byte == b'"').unwrap_or(0);
        let number = revision.to_string();
        let mut bytes = Vec::with_capacity(body.bytes.len() + number.len() - length);
        bytes.extend_from_slice(&body.bytes[..at]);
        bytes.extend_from_slice(number.as_bytes());
        bytes.extend_from_slice(&body.bytes[at + length..]);
        let splice_at =
            if body.splice_at > at { body.splice_at + number.len() - length } else { body.splice_at };
        let body = Body { bytes: bytes.into(), splice_at, number_at: Some(at) };
        Object::from_parts(Header { revision, ..header.clone() }, body, managed_fields.clone())
    }

    /// Whether this is what the store holds of the object: its bytes but for the revision.
    pub fn is_stored_as(&self, stored: &[u8]) -> bool {
        const BEFORE: usize = "\"resourceVersion\":\"".len();
        let mut whole = Vec::new();
        self.write_json(&mut whole);
        let body = &self.inner.body;
        let Some(number_at) = body.number_at else { return whole == stored };
        // Managed fields may stand before the number.
        let at =
            if body.splice_at < number_at { number_at + whole.len() - body.bytes.len() } else { number_at };
        let length = whole[at..].iter().position(|byte| *byte == b'"').unwrap_or(0);
        let (mut begin, mut end) = (at - BEFORE, at + length + 1);
        // The comma goes with the member: the one before it, or the one after it if it is the first.
        match (whole[begin - 1], whole.get(end)) {
            (b',', _) => begin -= 1,
            (_, Some(b',')) => end += 1,
            _ => {}
        }
        stored.len() + end - begin == whole.len()
            && stored.starts_with(&whole[..begin])
            && stored.ends_with(&whole[end..])
    }

    /// What can be asked without decoding.
    pub fn header(&self) -> &Header {
        &self.inner.header
    }

    /// Canonical JSON without `managedFields`.
    pub fn body(&self) -> &Bytes {
        &self.inner.body.bytes
    }

    /// The part of the body that is its `metadata`, braces included; `{}` if there is none.
    pub fn metadata(&self) -> &[u8] {
        crate::object_codec::metadata(self)
    }

    /// The `managedFields`, if there are any.
    pub fn managed_fields(&self) -> Option<&Arc<ManagedFields>> {
        self.inner.managed_fields.as_ref()
    }

    /// Appends the whole object as JSON, `managedFields` included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_json_after(0, out);
    }

    /// Appends what follows the first `skipped` bytes of [`Object::write_json`], which must end before `metadata`.
    pub fn write_json_after(&self, skipped: usize, out: &mut Vec<u8>) {
        let (before, after) = self.inner.body.bytes.split_at(self.inner.body.splice_at);
        out.reserve(self.json_len());
        out.extend_from_slice(&before[skipped..]);
        if let Some(managed_fields) = &self.inner.managed_fields {
            let first = before.ends_with(b"{");
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(b"\"managedFields\":");
            out.extend_from_slice(managed_fields.json());
            if first && !after.starts_with(b"}") {
                out.push(b',');
            }
        }
        out.extend_from_slice(after);
    }

    /// The length of what [`Object::write_json`] appends, give or take a comma.
    pub fn json_len(&self) -> usize {
        let managed_fields = self.inner.managed_fields.as_ref().map_or(0, |fields| fields.json().len() + 17);
        self.inner.body.bytes.len() + managed_fields
    }

    /// The object as a document, without `managedFields`.
    pub fn to_value(&self) -> Result<Value, Status> {
        crate::object_codec::to_value(self)
    }

    /// Parts of the object as a document, without `managedFields`.
    pub fn parts(&self, parts: &Parts) -> Result<Value, Status> {
        crate::object_codec::parts(self, parts)
    }

    /// The object as a document, with all it has.
    pub fn to_whole_value(&self) -> Result<Value, Status> {
        crate::object_codec::to_whole_value(self)
    }

    /// The object as a typed struct (a `k8s-openapi` type, say), without `managedFields`. It is decoded once for all
    /// who hold it at the same time, and dropped with the last of them.
    pub fn view<T>(&self) -> Result<Arc<T>, Status>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let shared = self.shared_view().as_ref().and_then(Weak::upgrade);
        if let Some(Ok(view)) = shared.map(Arc::downcast::<T>) {
            return Ok(view);
        }
        // Decoded outside the lock: whoever comes at the same time decodes too, and the last one's is shared.
        let view: Arc<T> = Arc::new(serde_json::from_slice(self.body()).map_err(|error| {
            Status::internal(format!(
                "{} {} cannot be read: {error}",
                self.header().kind,
                self.header().key()
            ))
        })?);
        let any: Arc<dyn Any + Send + Sync> = view.clone();
        *self.shared_view() = Some(Arc::downgrade(&any));
        Ok(view)
    }

    fn shared_view(&self) -> std::sync::MutexGuard<'_, Option<Weak<dyn Any + Send + Sync>>> {
        // A view is set in one step, so it is whole even if somebody panicked beside it.
        self.inner.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.body() == other.body() && self.inner.managed_fields == other.inner.managed_fields)
    }
}
