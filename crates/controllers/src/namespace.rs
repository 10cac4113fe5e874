//! Namespaces that are deleted: emptied, pods first, and then gone.
//!
//! What is left is always asked of the server itself: a cache may not know yet of what was made a moment ago.

pub mod plan;
#[cfg(test)]
mod tests;

use client::cache::Facts;
use client::driver::{Controller, Decisions};
use client::{Cache, Call, Client, Key, Resource, resources};
use env::WallTime;
use machinery::Status;

use crate::context::Context;
use crate::custom::DefinitionFacts;
use crate::pod::PodFacts;
use plan::{Remaining, View};

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (namespaces, pods) = (context.cache(resources::NAMESPACES), context.pods());
    let changed = queue.clone();
    namespaces.subscribe(move |change| {
        if change.new.is_some_and(|entry| entry.object.header().deleting) {
            changed.add(change.key.clone());
        }
    });
    enqueue_after_last_pod(&namespaces, &pods, &queue);
    let name = "namespace-controller";
    let definitions = context.definitions();
    let controller = Namespaces {
        namespaces: namespaces.clone(),
        definitions: definitions.clone(),
        client: context.client(name),
    };
    context.driver(controller, &queue, name, name).sees(&namespaces).sees(&definitions).start()
}

/// The rest of a namespace goes as soon as its last pod is gone.
fn enqueue_after_last_pod(namespaces: &Cache, pods: &Cache<PodFacts>, queue: &client::Queue<Key>) {
    let (namespaces, all, queue) = (namespaces.clone(), pods.clone(), queue.clone());
    pods.subscribe(move |change| {
        let namespace = Key::new("", &change.key.namespace);
        let is_going = || namespaces.get(&namespace).is_some_and(|entry| entry.object.header().deleting);
        if change.new.is_none() && is_going() && all.list_in(&change.key.namespace).is_empty() {
            queue.add(namespace);
        }
    });
}

struct Namespaces {
    namespaces: Cache,
    definitions: Cache<DefinitionFacts>,
    client: Client,
}

impl Namespaces {
    /// What is left of the custom resources in a namespace.
    async fn custom(&self, namespace: &str) -> Result<Vec<Remaining>, Status> {
        let mut remaining = Vec::new();
        for definition in
            self.client.objects(resources::CUSTOM_RESOURCE_DEFINITIONS, Call::default()).await?.items
        {
            let known = self.definitions.get(&Key::of(&definition));
            let known = known.filter(|entry| entry.object.header().revision == definition.header().revision);
            let facts = match known {
                Some(entry) => entry.facts.clone(),
                None => DefinitionFacts::of(&definition)?,
            };
            if !facts.is_established || !facts.resources.iter().any(|resource| resource.namespaced) {
                continue;
            }
            remaining.extend(self.of_any_version(&facts.resources, namespace).await?);
        }
        Ok(remaining)
    }

    /// What is left of a custom resource, read in the first version that is there: one that was defined a moment ago
    /// may not be.
    async fn of_any_version(
        &self,
        versions: &[Resource],
        namespace: &str,
    ) -> Result<Option<Remaining>, Status> {
        let mut missing = None;
        for resource in versions {
            match self.client.objects(*resource, Call::all(namespace)).await {
                Ok(answer) if answer.items.is_empty() => return Ok(None),
                Ok(answer) => return Ok(Some(Remaining { resource: *resource, objects: answer.items })),
                Err(status) if status.code == 404 => missing = Some(status),
                Err(status) => return Err(status),
            }
        }
        missing.map_or(Ok(None), Err)
    }
}

impl Controller for Namespaces {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.namespaces.get(key).filter(|entry| entry.object.header().deleting) else {
            return Ok(None);
        };
        let mut remaining = Vec::new();
        let pods = self.client.objects(resources::PODS, Call::all(&key.name)).await?;
        if pods.items.is_empty() {
            for resource in resources::ALL.iter().filter(|resource| resource.namespaced) {
                let listed = self.client.objects(*resource, Call::all(&key.name)).await;
                match listed {
                    Ok(answer) if answer.items.is_empty() => {}
                    Ok(answer) => remaining.push(Remaining { resource: *resource, objects: answer.items }),
                    // Not served here, so there is none.
                    Err(status) if status.code == 404 => {}
                    Err(status) => return Err(status),
                }
            }
            remaining.extend(self.custom(&key.name).await?);
        } else {
            remaining.push(Remaining { resource: resources::PODS, objects: pods.items });
        }
        Ok(Some(View { namespace: entry.object.clone(), remaining }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
