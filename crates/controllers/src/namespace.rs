//! Namespaces that are deleted: emptied, pods first, and then gone.
//!
//! What is left is always asked of the server itself: a cache may not know yet of what was made a moment ago.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Call, Client, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::Context;
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
    let controller = Namespaces { namespaces: namespaces.clone(), client: context.client(name) };
    context.driver(controller, &queue, name, name).sees(&namespaces).start()
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
    client: Client,
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
        } else {
            remaining.push(Remaining { resource: resources::PODS, objects: pods.items });
        }
        Ok(Some(View { namespace: entry.object.clone(), remaining }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
