//! The API for those who live in the same process: the same verbs, and the cache's own objects instead of bytes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use client::transport::BoxFuture;
use client::{Call, ListAnswer, Resource, Transport, WatchEvent, WatchStream, Write};
use machinery::{Object, Status, Value};

use crate::authz::{Attributes, Selectors};
use crate::cache::SeenKind;
use crate::core::Core;
use crate::document::{self, Expected};
use crate::http::accept::Media;
use crate::identity::Identity;
use crate::registry::{Served, no_such_resource};
use crate::reviews::{self, Asker};
use crate::subresource;
use crate::verbs::list::{self, Options as ListOptions};
use crate::verbs::patch::Patch;
use crate::verbs::watch::{self, Item, Watcher};
use crate::verbs::{create, delete, deletecollection, get, patch, update};
use crate::write::{self, Request};

/// The API as one identity sees it.
pub struct InProcess {
    core: Arc<Core>,
    identity: Arc<Identity>,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InProcess(as {})", self.identity.name)
    }
}

impl InProcess {
    /// As this identity.
    pub fn new(core: Arc<Core>, identity: Identity) -> InProcess {
        InProcess { core, identity: Arc::new(identity) }
    }

    fn served(&self, resource: Resource) -> Result<Arc<Served>, Status> {
        let registry = self.core.registry.load();
        let found = registry.find(resource.group, resource.version, resource.plural);
        found.cloned().ok_or_else(no_such_resource)
    }

    async fn authorize(&self, served: &Served, call: &Call, verb: &str) -> Result<(), Status> {
        let selectors = Selectors::read(&call.fields, &call.labels);
        // Who selects one object by its name means that one.
        let selected = selectors.as_ref().and_then(|selectors| selectors.fields.exact("metadata.name"));
        let name = if call.name.is_empty() { selected.unwrap_or_default() } else { &call.name };
        let attributes = Attributes {
            subresource: call.subresource,
            namespace: &call.namespace,
            name,
            selectors: selectors.as_ref(),
            ..Attributes::of_resource(&self.identity, verb, served.resource())
        };
        self.core.authorizer.check(&attributes).await
    }

    fn request<'a>(
        &'a self,
        served: &'a Arc<Served>,
        call: &'a Call,
        options: &'a write::Options,
    ) -> Request<'a> {
        Request {
            core: &self.core,
            identity: &self.identity,
            served,
            namespace: &call.namespace,
            name: &call.name,
            subresource: call.subresource,
            options,
        }
    }

    async fn get_one(&self, resource: Resource, call: Call) -> Result<Object, Status> {
        let served = self.served(resource)?;
        self.authorize(&served, &call, "get").await?;
        let entry = get::get(&self.core, &served, (&call.namespace, &call.name), "").await?;
        if call.subresource == "scale" {
            return Object::from_value(&subresource::scale_of(&served, &entry.object().to_value()?)?);
        }
        Ok(entry.object().clone())
    }

    async fn list_all(&self, resource: Resource, call: Call) -> Result<ListAnswer, Status> {
        let served = self.served(resource)?;
        self.authorize(&served, &call, "list").await?;
        let options = ListOptions {
            labels: call.labels.clone(),
            fields: call.fields.clone(),
            ..ListOptions::default()
        };
        let listing = list::list(&self.core, &served, &call.namespace, &options).await?;
        let items = listing.items.map(|entry| entry.object().clone()).collect();
        Ok(ListAnswer { items, revision: listing.revision })
    }

    async fn follow(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> Result<Box<dyn WatchStream>, Status> {
        let served = self.served(resource)?;
        self.authorize(&served, &call, "watch").await?;
        let options = ListOptions {
            labels: call.labels.clone(),
            fields: call.fields.clone(),
            resource_version: revision.to_string(),
            watch: true,
            bookmarks: true,
            initial_events: Some(false),
            ..ListOptions::default()
        };
        let watcher = watch::watch(&self.core, &served, &call.namespace, &options).await?;
        Ok(Box::new(Stream { served, watcher, ready: VecDeque::new() }))
    }

    async fn change(&self, resource: Resource, call: Call, write: Write) -> Result<Object, Status> {
        let served = self.served(resource)?;
        let options = write::Options {
            manager: self.identity.name.rsplit(':').next().unwrap_or_default().to_owned(),
            manager_named: true,
            force: Some(true),
            ..write::Options::default()
        };
        match write {
            Write::Create(body) => {
                self.authorize(&served, &call, "create").await?;
                self.create(&served, &call, &options, &body).await
            }
            Write::Update(body) => {
                self.authorize(&served, &call, "update").await?;
                let document = self.read(&served, &body)?;
                let outcome = update::update(self.request(&served, &call, &options), document).await?;
                Ok(outcome.entry.object().clone())
            }
            Write::MergePatch(body) => self.patch(&served, &call, &options, (Patch::Merge, body)).await,
            Write::StrategicPatch(body) => {
                self.patch(&served, &call, &options, (Patch::Strategic, body)).await
            }
            Write::JsonPatch(body) => self.patch(&served, &call, &options, (Patch::Json, body)).await,
            Write::Apply(body) => self.patch(&served, &call, &options, (Patch::Apply, body)).await,
            Write::Delete(how) => self.delete(&served, &call, &options, how).await,
        }
    }

    fn read(&self, served: &Served, body: &[u8]) -> Result<Value, Status> {
        let registry = self.core.registry.load();
        let validation = document::Validation::Ignore;
        let expected = Expected::object(served);
        Ok(document::read(&registry, body, Media::Json, expected, validation)?.value)
    }

    async fn create(
        &self,
        served: &Arc<Served>,
        call: &Call,
        options: &write::Options,
        body: &Bytes,
    ) -> Result<Object, Status> {
        let request = self.request(served, call, options);
        if reviews::is_review(served) {
            let asker = Asker { core: &self.core, identity: &self.identity, namespace: &call.namespace };
            let answered = reviews::answer(asker, served, self.read(served, body)?).await?;
            return Object::from_value(&answered);
        }
        if call.subresource.is_empty() {
            let outcome = create::create(request, self.read(served, body)?).await?;
            return Ok(outcome.entry.object().clone());
        }
        let answer = subresource::create(request, body).await?;
        Object::from_value(&answer)
    }

    async fn patch(
        &self,
        served: &Arc<Served>,
        call: &Call,
        options: &write::Options,
        (form, body): (Patch, Bytes),
    ) -> Result<Object, Status> {
        self.authorize(served, call, "patch").await?;
        let request = self.request(served, call, options);
        if call.subresource == "scale" {
            return Object::from_value(&subresource::patch_scale(request, form, body).await?);
        }
        let outcome = patch::patch(request, form, body).await?;
        Ok(outcome.entry.object().clone())
    }

    async fn delete(
        &self,
        served: &Arc<Served>,
        call: &Call,
        options: &write::Options,
        how: client::transport::Delete,
    ) -> Result<Object, Status> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let deletion = delete::Options {
            grace: how.grace_secs.map(i64::from),
            uid: some(how.uid),
            resource_version: some(how.resource_version),
            orphan: None,
            propagation: match how.propagation {
                "Orphan" => Some(delete::Propagation::Orphan),
                "Background" => Some(delete::Propagation::Background),
                "Foreground" => Some(delete::Propagation::Foreground),
                _ => None,
            },
            dry_run: false,
        };
        let request = self.request(served, call, options);
        if call.name.is_empty() {
            self.authorize(served, call, "deletecollection").await?;
            let selection = ListOptions {
                labels: call.labels.clone(),
                fields: call.fields.clone(),
                ..ListOptions::default()
            };
            deletecollection::delete_collection(request, &selection, &deletion).await?;
            return Object::from_value(&delete::success(served, "", ""));
        }
        self.authorize(served, call, "delete").await?;
        match delete::delete(request, &deletion).await? {
            delete::Deleted::Gone(uid) => Object::from_value(&delete::success(served, &call.name, &uid)),
            delete::Deleted::Object(entry) => Ok(entry.object().clone()),
        }
    }
}

impl Transport for InProcess {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(self.get_one(resource, call))
    }

    fn list(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        Box::pin(self.list_all(resource, call))
    }

    fn watch(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        Box::pin(self.follow(resource, call, revision))
    }

    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(self.change(resource, call, write))
    }
}

/// A watch in the same process.
struct Stream {
    served: Arc<Served>,
    watcher: Watcher,
    ready: VecDeque<Item>,
}

impl Stream {
    async fn advance(&mut self) -> Result<Option<WatchEvent>, Status> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return told(&self.served, item).map(Some);
            }
            match self.watcher.next().await {
                Some(items) => self.ready.extend(items),
                None => return Ok(None),
            }
        }
    }
}

fn told(served: &Served, item: Item) -> Result<WatchEvent, Status> {
    Ok(match item {
        Item::Initial(entry) => WatchEvent::Added(entry.object().clone()),
        Item::Change(kind, event) => seen(kind, served.view(&event.shown(kind)).object().clone()),
        Item::Shown(kind, entry) => seen(kind, entry.object().clone()),
        Item::Bookmark { revision, .. } => WatchEvent::Bookmark(revision),
        Item::Failed(status) => return Err(status),
    })
}

fn seen(kind: SeenKind, object: Object) -> WatchEvent {
    match kind {
        SeenKind::Added => WatchEvent::Added(object),
        SeenKind::Modified => WatchEvent::Modified(object),
        SeenKind::Deleted | SeenKind::Gone => WatchEvent::Deleted(object),
    }
}

impl WatchStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(self.advance())
    }
}
