//! Garbage: objects whose owners are gone go too, unless they are to be orphaned; owners that are deleted in the
//! foreground wait for those that block them.
//!
//! There is no graph: caches with an index by owner are the graph.

pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use client::cache::{BY_OWNER, Facts};
use client::driver::{Controller, Decisions};
use client::{Cache, Change, Client, Key, Queue, Resource, resources};
use env::WallTime;
use machinery::object::OwnerRef;
use machinery::{Object, Status};

use crate::context::Context;
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

/// A cache, as far as garbage is concerned.
trait Holds: Send + Sync {
    fn object(&self, key: &Key) -> Option<Object>;
    fn dependents(&self, uid: &str) -> Vec<Object>;
}

impl<F: Facts> Holds for Cache<F> {
    fn object(&self, key: &Key) -> Option<Object> {
        self.get(key).map(|entry| entry.object.clone())
    }

    fn dependents(&self, uid: &str) -> Vec<Object> {
        self.by_index(BY_OWNER, uid).iter().map(|entry| entry.object.clone()).collect()
    }
}

/// All caches, by resource.
#[derive(Clone, Default)]
struct Everything {
    caches: Arc<BTreeMap<Resource, Box<dyn Holds>>>,
}

impl Everything {
    fn dependents(&self, uid: &str) -> Vec<(Resource, Object)> {
        let all = self.caches.iter();
        all.flat_map(|(resource, cache)| cache.dependents(uid).into_iter().map(|object| (*resource, object)))
            .collect()
    }
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<AnyKey>();
    let name = "generic-garbage-collector";
    let mut controller = Garbage { everything: Everything::default(), client: context.client(name) };
    let mut plain = Vec::new();
    let mut caches: BTreeMap<Resource, Box<dyn Holds>> = BTreeMap::new();
    // Events are many, short-lived and owned by nobody.
    for resource in resources::ALL.iter().copied().filter(|resource| *resource != resources::EVENTS) {
        if resource == resources::PODS {
            caches.insert(resource, Box::new(context.pods()));
        } else {
            let cache = context.cache(resource);
            caches.insert(resource, Box::new(cache.clone()));
            plain.push(cache);
        }
    }
    controller.everything.caches = Arc::new(caches);
    let everything = controller.everything.clone();
    let mut driver = context.driver(controller, &queue, name, "garbage-collector-controller");
    for cache in &plain {
        watch(cache, &everything, &queue);
        driver = driver.sees(cache);
    }
    let pods = context.pods();
    watch(&pods, &everything, &queue);
    driver.sees(&pods).start()
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
        if let Some((resource, key)) = place(owner, &change.key.namespace) {
            let waits = everything.caches.get(&resource).and_then(|cache| cache.object(&key));
            if waits.is_some_and(|owner| owner.header().deleting) {
                queue.add(AnyKey { resource, key });
            }
        }
    }
}

/// Where an owner is; `None` if its kind is not known here.
fn place(owner: &OwnerRef, namespace: &str) -> Option<(Resource, Key)> {
    let resource = resources::of_kind(&owner.api_version, &owner.kind)?;
    let namespace = if resource.namespaced { namespace } else { "" };
    Some((resource, Key::new(namespace, &owner.name)))
}

struct Garbage {
    everything: Everything,
    client: Client,
}

impl Garbage {
    async fn state(&self, owner: &OwnerRef, of: &Object) -> Result<OwnerState, Status> {
        let Some((resource, key)) = place(owner, &of.header().namespace) else {
            return Ok(OwnerState::Unknown);
        };
        if resource.namespaced && key.namespace.is_empty() {
            // Nothing of the cluster can belong to something in a namespace.
            return Ok(OwnerState::Unknown);
        }
        let is_it = |object: &Object| object.header().uid == owner.uid;
        let known = self.everything.caches.get(&resource).and_then(|cache| cache.object(&key)).filter(is_it);
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
}

impl Controller for Garbage {
    type Key = AnyKey;
    type View = View;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    async fn look(&self, key: &AnyKey) -> Result<Option<View>, Status> {
        let cache = self.everything.caches.get(&key.resource);
        let Some(object) = cache.and_then(|cache| cache.object(&key.key)) else { return Ok(None) };
        let header = object.header();
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
