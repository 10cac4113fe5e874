//! An object as everybody shares it: its canonical bytes, once, with a small parsed header.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use smol_str::SmolStr;

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

#[derive(Debug)]
struct Inner {
    header: Header,
    body: Bytes,
    /// Where `,"managedFields":[…]` goes into `body`; the byte before it ends the last member of `metadata`.
    splice_at: usize,
    managed_fields: Option<Arc<[u8]>>,
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
        crate::object_codec::from_stored(bytes, revision)
    }

    /// Puts the parts together.
    pub(crate) fn from_parts(
        header: Header,
        body: Bytes,
        splice_at: usize,
        managed_fields: Option<Arc<[u8]>>,
    ) -> Object {
        Object { inner: Arc::new(Inner { header, body, splice_at, managed_fields, view: Mutex::new(None) }) }
    }

    /// What can be asked without decoding.
    pub fn header(&self) -> &Header {
        &self.inner.header
    }

    /// Canonical JSON without `managedFields`.
    pub fn body(&self) -> &Bytes {
        &self.inner.body
    }

    /// The `managedFields` list as JSON (`[…]`), if there is one.
    pub fn managed_fields(&self) -> Option<&Arc<[u8]>> {
        self.inner.managed_fields.as_ref()
    }

    /// Appends the whole object as JSON, `managedFields` included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let (before, after) = self.inner.body.split_at(self.inner.splice_at);
        out.reserve(self.json_len());
        out.extend_from_slice(before);
        if let Some(managed_fields) = &self.inner.managed_fields {
            let first = before.ends_with(b"{");
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(b"\"managedFields\":");
            out.extend_from_slice(managed_fields);
            if first && !after.starts_with(b"}") {
                out.push(b',');
            }
        }
        out.extend_from_slice(after);
    }

    /// The length of what [`Object::write_json`] appends, give or take a comma.
    pub fn json_len(&self) -> usize {
        let managed_fields = self.inner.managed_fields.as_ref().map_or(0, |fields| fields.len() + 17);
        self.inner.body.len() + managed_fields
    }

    /// The object as a document, without `managedFields`.
    pub fn to_value(&self) -> Result<Value, Status> {
        crate::object_codec::to_value(self)
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
        let view: Arc<T> = Arc::new(serde_json::from_slice(&self.inner.body).map_err(|error| {
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
            || (self.inner.body == other.inner.body
                && self.inner.managed_fields == other.inner.managed_fields)
    }
}
