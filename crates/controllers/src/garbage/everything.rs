//! All objects there are, whatever their kind: those of built-in kinds from the start, those of custom ones as they are
//! defined.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use client::cache::{BY_OWNER, Facts, owner_uids};
use client::{Cache, Change, Entry, Key, Queue, Resource, SharedTransport, resources};
use env::Env;
use machinery::Object;
use machinery::object::OwnerRef;
use smol_str::SmolStr;

use super::{AnyKey, watch};
use crate::custom::DefinitionFacts;

/// A cache, as far as garbage is concerned.
pub trait Holds: Send + Sync {
    /// One object.
    fn object(&self, key: &Key) -> Option<Object>;
    /// The objects that one owns.
    fn dependents(&self, uid: &str) -> Vec<Object>;
    /// All that have an owner.
    fn owned(&self) -> Vec<Object>;
    /// Whether its first list is in.
    fn is_filled(&self) -> bool;
}

impl<F: Facts> Holds for Cache<F> {
    fn object(&self, key: &Key) -> Option<Object> {
        self.get(key).map(|entry| entry.object.clone())
    }

    fn dependents(&self, uid: &str) -> Vec<Object> {
        self.by_index(BY_OWNER, uid).iter().map(|entry| entry.object.clone()).collect()
    }

    fn owned(&self) -> Vec<Object> {
        let object = |entry: Arc<Entry<F>>| entry.object.clone();
        self.list().into_iter().map(object).filter(|object| !object.header().owners.is_empty()).collect()
    }

    fn is_filled(&self) -> bool {
        self.is_synced()
    }
}

/// Where an owner is, if it is somewhere.
#[derive(Debug, PartialEq)]
pub enum Place {
    /// Its kind is known.
    Known(Resource, Key),
    /// Its kind was defined once, by the definition of this name.
    Former(SmolStr),
    /// Nobody knows its kind.
    Unknown,
}

/// A kind that a definition makes or made.
struct Custom {
    definition: SmolStr,
    group: &'static str,
    kind: &'static str,
    /// In the version in which its objects are read; `None` if it is not defined any more.
    cache: Option<Cache>,
}

/// All caches, by resource.
#[derive(Clone, Default)]
pub struct Everything {
    built_in: Arc<BTreeMap<Resource, Box<dyn Holds>>>,
    custom: Arc<RwLock<Vec<Custom>>>,
}

impl Everything {
    /// With the caches of built-in kinds.
    pub fn new(built_in: BTreeMap<Resource, Box<dyn Holds>>) -> Everything {
        Everything { built_in: Arc::new(built_in), custom: Arc::default() }
    }

    /// Everything that an object owns.
    pub fn dependents(&self, uid: &str) -> Vec<(Resource, Object)> {
        self.each(|cache| cache.dependents(uid))
    }

    /// One object.
    pub fn object(&self, key: &AnyKey) -> Option<Object> {
        if let Some(cache) = self.built_in.get(&key.resource) {
            return cache.object(&key.key);
        }
        let custom = self.customs();
        let caches = custom.iter().filter_map(|custom| custom.cache.as_ref());
        caches.into_iter().find(|cache| cache.resource() == key.resource)?.object(&key.key)
    }

    /// Whether all that could be owned by something is known.
    pub fn is_complete(&self) -> bool {
        self.customs().iter().filter_map(|custom| custom.cache.as_ref()).all(Holds::is_filled)
    }

    /// Where an owner of an object in `namespace` is.
    pub fn place(&self, owner: &OwnerRef, namespace: &str) -> Place {
        let at = |resource: Resource| {
            let namespace = if resource.namespaced { namespace } else { "" };
            Place::Known(resource, Key::new(namespace, &owner.name))
        };
        if let Some(resource) = resources::of_kind(&owner.api_version, &owner.kind) {
            return at(resource);
        }
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let custom = self.customs();
        let of_kind = custom.iter().filter(|custom| custom.kind == owner.kind && custom.group == group);
        // Of several definitions of a kind, one after the other, the living one counts.
        match of_kind.max_by_key(|custom| custom.cache.is_some()) {
            Some(Custom { cache: Some(cache), .. }) => at(cache.resource()),
            Some(custom) => Place::Former(custom.definition.clone()),
            None => Place::Unknown,
        }
    }

    fn each(&self, of: impl Fn(&dyn Holds) -> Vec<Object>) -> Vec<(Resource, Object)> {
        let mut all = Vec::new();
        for (resource, cache) in self.built_in.iter() {
            all.extend(of(cache.as_ref()).into_iter().map(|object| (*resource, object)));
        }
        for cache in self.customs().iter().filter_map(|custom| custom.cache.as_ref()) {
            all.extend(of(cache).into_iter().map(|object| (cache.resource(), object)));
        }
        all
    }

    fn customs(&self) -> std::sync::RwLockReadGuard<'_, Vec<Custom>> {
        self.custom.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the definitions: their objects are there to be collected too.
pub struct Definitions {
    pub everything: Everything,
    pub queue: Queue<AnyKey>,
    pub reader: SharedTransport,
    pub env: Env,
}

impl Definitions {
    /// Begins to.
    pub fn follow(self, definitions: &Cache<DefinitionFacts>) {
        definitions.subscribe(move |change| self.changed(change));
    }

    fn changed(&self, change: &Change<'_, DefinitionFacts>) {
        let name = &change.key.name;
        let facts = change.new.map(|entry| &entry.facts).filter(|facts| facts.is_established);
        let wanted = facts.map_or(&[][..], |facts| &facts.resources);
        let opened = {
            let mut all = self.everything.custom.write().unwrap_or_else(PoisonError::into_inner);
            let known = all.iter_mut().find(|custom| custom.definition == *name);
            let open = known.as_ref().and_then(|custom| custom.cache.clone());
            if open.as_ref().is_some_and(|cache| wanted.contains(&cache.resource())) {
                return;
            }
            if let Some(cache) = open {
                cache.close();
            }
            let opened = wanted.first().map(|resource| self.open(*resource));
            match (known, wanted.first()) {
                (Some(custom), resource) => {
                    custom.cache = opened.clone();
                    if let Some(resource) = resource {
                        (custom.group, custom.kind) = (resource.group, resource.kind);
                    }
                }
                (None, Some(resource)) => all.push(Custom {
                    definition: name.clone(),
                    group: resource.group,
                    kind: resource.kind,
                    cache: opened.clone(),
                }),
                (None, None) => {}
            }
            opened
        };
        if let Some(cache) = opened {
            watch(&cache, &self.everything, &self.queue);
            self.look_again_at_owned_by(cache.resource());
        }
    }

    fn open(&self, resource: Resource) -> Cache {
        Cache::of(resource).index(BY_OWNER, owner_uids).start(self.reader.clone(), &self.env)
    }

    /// What is owned by objects of a kind that was not known until now.
    fn look_again_at_owned_by(&self, owner: Resource) {
        let is_of = |reference: &OwnerRef| {
            reference.kind == owner.kind
                && reference.api_version.split_once('/').is_some_and(|(group, _)| group == owner.group)
        };
        for (resource, object) in self.everything.each(|cache| cache.owned()) {
            if object.header().owners.iter().any(is_of) {
                self.queue.add(AnyKey { resource, key: Key::of(&object) });
            }
        }
    }
}
