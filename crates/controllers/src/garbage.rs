//! Garbage: objects whose owners are gone go too, unless they are to be orphaned; owners that are deleted in the
//! foreground wait for those that block them.
//!
//! There is no graph: caches with an index by owner are the graph.

mod everything;
pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use client::cache::Facts;
use client::driver::{Controller, Decisions};
use client::{Cache, Change, Client, Key, Queue, Resource, resources};
use env::WallTime;
use machinery::object::OwnerRef;
use machinery::{Object, Status};

use crate::context::Context;
use crate::custom::DefinitionFacts;
use everything::{Definitions, Everything, Holds, Place};
use plan::{Owner, OwnerState, View};

/// An object of any resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnyKey {
    /// The resource.
    pub resource: Resource,
    /// The object.
    pub key: Key,
}

impl fmt::Display for AnyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.resource.plural, self.key)
    }
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<AnyKey>();
    let name = "generic-garbage-collector";
    let mut plain = Vec::new();
    let mut caches: BTreeMap<Resource, Box<dyn Holds>> = BTreeMap::new();
    // Events are many, short-lived and owned by nobody.
    for resource in resources::ALL.iter().copied().filter(|resource| *resource != resources::EVENTS) {
        if resource == resources::PODS {
            caches.insert(resource, Box::new(context.pods()));
        } else if resource == resources::CUSTOM_RESOURCE_DEFINITIONS {
            caches.insert(resource, Box::new(context.definitions()));
        } else {
            let cache = context.cache(resource);
            caches.insert(resource, Box::new(cache.clone()));
            plain.push(cache);
        }
    }
    let everything = Everything::new(caches);
    let controller = Garbage {
        everything: everything.clone(),
        definitions: context.definitions(),
        client: context.client(name),
    };
    let mut driver = context.driver(controller, &queue, name, "garbage-collector-controller");
    for cache in &plain {
        watch(cache, &everything, &queue);
        driver = driver.sees(cache);
    }
    let (pods, definitions) = (context.pods(), context.definitions());
    watch(&pods, &everything, &queue);
    watch(&definitions, &everything, &queue);
    let (reader, env) = (context.reader(), context.env.clone());
    Definitions { everything, queue, reader, env }.follow(&definitions);
    driver.sees(&pods).sees(&definitions).start()
}

/// Looks at objects that may have become garbage, or may be what somebody waits for.
fn watch<F: Facts>(cache: &Cache<F>, everything: &Everything, queue: &Queue<AnyKey>) {
    let (resource, everything, queue) = (cache.resource(), everything.clone(), queue.clone());
    cache.subscribe(move |change| concern(resource, &everything, &queue, change));
}

fn concern<F>(resource: Resource, everything: &Everything, queue: &Queue<AnyKey>, change: &Change<'_, F>) {
    let old = change.old.map(|entry| entry.object.header());
    let new = change.new.map(|entry| entry.object.header());
    let is_same = old.zip(new).is_some_and(|(old, new)| {
        old.uid == new.uid
            && old.owners == new.owners
            && old.deleting == new.deleting
            && old.finalizers == new.finalizers
    });
    if is_same {
        return;
    }
    if new.is_some_and(|new| !new.owners.is_empty() || new.deleting) {
        queue.add(AnyKey { resource, key: change.key.clone() });
    }
    let is_replaced = old.zip(new).is_some_and(|(old, new)| old.uid != new.uid);
    let begins_to_go = old.zip(new).is_some_and(|(old, new)| !old.deleting && new.deleting);
    if let Some(old) = old.filter(|_| new.is_none() || is_replaced || begins_to_go) {
        for (resource, object) in everything.dependents(&old.uid) {
            queue.add(AnyKey { resource, key: Key::of(&object) });
        }
    }
    // Owners that wait for it, or did.
    for owner in [old, new].into_iter().flatten().flat_map(|header| &header.owners) {
        if let Place::Known(resource, key) = everything.place(owner, &change.key.namespace) {
            let owner = AnyKey { resource, key };
            if everything.object(&owner).is_some_and(|owner| owner.header().deleting) {
                queue.add(owner);
            }
        }
    }
}

struct Garbage {
    everything: Everything,
    definitions: Cache<DefinitionFacts>,
    client: Client,
}

impl Garbage {
    async fn state(&self, owner: &OwnerRef, of: &Object) -> Result<OwnerState, Status> {
        let (resource, key) = match self.everything.place(owner, &of.header().namespace) {
            Place::Known(resource, key) => (resource, key),
            Place::Former(definition) => return self.state_of_former(&definition).await,
            Place::Unknown => return Ok(OwnerState::Unknown),
        };
        if resource.namespaced && key.namespace.is_empty() {
            // Nothing of the cluster can belong to something in a namespace.
            return Ok(OwnerState::Unknown);
        }
        let is_it = |object: &Object| object.header().uid == owner.uid;
        let known = self.everything.object(&AnyKey { resource, key: key.clone() }).filter(is_it);
        // Only the server itself can say that something is not there.
        let found = match known {
            Some(object) => Some(object),
            None => self.client.find(resource, &key).await?.filter(is_it),
        };
        Ok(match found {
            None => OwnerState::Absent,
            Some(object) if plan::waits_for_dependents(&object) => OwnerState::Waiting,
            Some(_) => OwnerState::Present,
        })
    }

    /// Of an owner whose kind was defined once: with the definition all its objects went.
    async fn state_of_former(&self, definition: &str) -> Result<OwnerState, Status> {
        let found = self.client.find(self.definitions.resource(), &Key::new("", definition)).await?;
        Ok(if found.is_none() { OwnerState::Absent } else { OwnerState::Unknown })
    }
}

impl Controller for Garbage {
    type Key = AnyKey;
    type View = View;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    async fn look(&self, key: &AnyKey) -> Result<Option<View>, Status> {
        let Some(object) = self.everything.object(key) else { return Ok(None) };
        let header = object.header();
        if header.deleting && !header.finalizers.is_empty() && !self.everything.is_complete() {
            // It must not be let go before those are known that depend on it.
            return Err(Status::internal("not all custom resources are known yet"));
        }
        let mut owners = Vec::new();
        if !header.deleting {
            for reference in &header.owners {
                owners.push(Owner {
                    reference: reference.clone(),
                    state: self.state(reference, &object).await?,
                });
            }
        }
        let dependents = self.everything.dependents(&header.uid);
        Ok(Some(View { resource: key.resource, object, owners, dependents }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
