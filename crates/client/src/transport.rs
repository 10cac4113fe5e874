//! What a component may ask of the API, and the two ways to ask it implement: the server's own, which shares its
//! objects without copying, and HTTPS ([`crate::https`]).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machinery::{Object, Status};

/// What an asynchronous call of a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A kind of objects as the API addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The plural: `pods`.
    pub plural: &'static str,
    /// The kind: `Pod`.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Which object, or which objects, a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its namespace; empty means all, or that the resource has none.
    pub namespace: String,
    /// Its name; empty for lists and creates.
    pub name: String,
    /// `status`, `scale`, `binding`, `eviction`, `token`…; empty for the object itself.
    pub subresource: &'static str,
    /// Only objects whose labels match (the API's own syntax); empty means all.
    pub labels: String,
    /// Only objects whose fields match (the API's own syntax); empty means all.
    pub fields: String,
}

impl Call {
    /// One object.
    pub fn object(namespace: &str, name: &str) -> Call {
        Call { namespace: namespace.to_owned(), name: name.to_owned(), ..Call::default() }
    }

    /// All objects of a namespace, or of all if it is empty.
    pub fn all(namespace: &str) -> Call {
        Call { namespace: namespace.to_owned(), ..Call::default() }
    }

    /// The same, through a subresource.
    pub fn subresource(mut self, name: &'static str) -> Call {
        self.subresource = name;
        self
    }

    /// The same, where labels match.
    pub fn with_labels(mut self, selector: &str) -> Call {
        self.labels = selector.to_owned();
        self
    }

    /// The same, where fields match.
    pub fn with_fields(mut self, selector: &str) -> Call {
        self.fields = selector.to_owned();
        self
    }
}

/// How a write changes an object. Bodies are JSON.
#[derive(Clone, Debug)]
pub enum Write {
    /// Makes it.
    Create(Bytes),
    /// Replaces it; conflicts if its `resourceVersion` is set and not the newest.
    Update(Bytes),
    /// Changes what an RFC 7386 merge patch names.
    MergePatch(Bytes),
    /// Changes what a strategic merge patch names.
    StrategicPatch(Bytes),
    /// RFC 6902.
    JsonPatch(Bytes),
    /// Server-side apply, with force.
    Apply(Bytes),
    /// Removes it.
    Delete(Delete),
}

/// How an object is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Seconds it gets to end by itself; `None` means its own default.
    pub grace_secs: Option<u32>,
    /// Only if this is its identity; empty means whatever it is.
    pub uid: String,
    /// Only if it still has this revision; empty means whatever it has.
    pub resource_version: String,
    /// `Orphan`, `Background`, `Foreground`; empty means its kind's default.
    pub propagation: &'static str,
}

/// A list as it was at one revision.
#[derive(Clone, Debug, Default)]
pub struct ListAnswer {
    /// The objects, by namespace and name.
    pub items: Vec<Object>,
    /// The revision they were read at.
    pub revision: u64,
}

/// Something a watcher is told.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// An object that is new to the watcher.
    Added(Object),
    /// An object that changed.
    Modified(Object),
    /// An object that is gone (or no longer matches): its last state, with the revision of its end.
    Deleted(Object),
    /// Nothing up to and including this revision is still to come.
    Bookmark(u64),
}

/// A stream of events. `None` means the server ended it in good order: watch again from the last revision seen.
pub trait WatchStream: Send {
    /// Waits for the next event. After an error the stream is over; a status with code 410 means: list anew.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>>;
}

/// A way to reach the API, as somebody in particular: the identity is the transport's.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Reads one object, as fresh as the store is.
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>>;

    /// Reads all objects that match.
    fn list(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>>;

    /// Follows all objects that match, from the first event after `revision`. Bookmarks are sent from time to time.
    fn watch(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>>;

    /// Writes. The answer is the object as it is now; for virtual subresources and finished deletions it is whatever
    /// object the server answers with, a `Status` included.
    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>>;
}

/// A shared transport.
pub type SharedTransport = Arc<dyn Transport>;

/// How long a call may take before it is given up.
pub const CALL_LIMIT: Duration = Duration::from_secs(60);
