//! Claims, volumes and classes of volume attributes that were deleted go when nobody uses them any more.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Call, Client, Key, Queue, Resource, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use machinery::{Object, Status};

use crate::context::{Context, enqueue_changed};
use plan::{Protected, View};

/// Starts the controller of claims. A claim that waits is looked at whenever a pod of its namespace is over or gone.
pub fn start_claims(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (claims, waiting) = (context.cache(resources::PERSISTENT_VOLUME_CLAIMS), queue.clone());
    context.pods().subscribe(move |change| {
        if change.new.is_none_or(|pod| pod.facts.phase.is_terminal()) {
            for claim in claims.list_in(&change.key.namespace) {
                if claim.object.header().deleting {
                    waiting.add(Key::of(&claim.object));
                }
            }
        }
    });
    start(context, Protected::Claim, &queue)
}

/// Starts the controller of volumes.
pub fn start_volumes(context: &Context) -> Decisions {
    start(context, Protected::Volume, &context.queue())
}

/// Starts the controller of classes. A class that waits is looked at whenever anybody changed who may have had it.
pub fn start_classes(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    for user in [resources::PERSISTENT_VOLUME_CLAIMS, resources::PERSISTENT_VOLUMES] {
        let (classes, waiting) = (context.cache(resources::VOLUME_ATTRIBUTES_CLASSES), queue.clone());
        context.cache(user).subscribe(move |_change| {
            for class in classes.list().iter().filter(|class| class.object.header().deleting) {
                waiting.add(Key::of(&class.object));
            }
        });
    }
    start(context, Protected::Class, &queue)
}

fn start(context: &Context, kind: Protected, queue: &Queue<Key>) -> Decisions {
    let cache = context.cache(kind.resource());
    enqueue_changed(&cache, queue);
    let controller = Protection { kind, cache: cache.clone(), reader: Client::new(context.reader()) };
    context.driver(controller, queue, kind.controller(), kind.controller()).sees(&cache).start()
}

struct Protection {
    kind: Protected,
    cache: Cache,
    reader: Client,
}

impl Protection {
    /// Who uses it, if anybody does. The server itself is asked: a cache may not know yet of who began a moment ago.
    async fn user(&self, object: &Object) -> Result<Option<String>, Status> {
        let header = object.header();
        match self.kind {
            Protected::Claim => {
                let pods = self.reader.list::<Pod>(Call::all(&header.namespace)).await?;
                Ok(pods.iter().find_map(|pod| plan::pod_that_uses(pod, object)))
            }
            Protected::Volume => Ok(plan::claim_of(&*object.view::<PersistentVolume>()?)),
            Protected::Class => {
                let claims = self.reader.list::<PersistentVolumeClaim>(Call::all("")).await?;
                let volumes = self.reader.list::<PersistentVolume>(Call::all("")).await?;
                Ok(plan::user_of_class(&header.name, &claims, &volumes))
            }
        }
    }
}

impl Controller for Protection {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        self.kind.controller()
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.cache.get(key) else { return Ok(None) };
        let object = entry.object.clone();
        let user = if object.header().deleting { self.user(&object).await? } else { None };
        Ok(Some(View { kind: self.kind, object, user }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}

impl Protected {
    /// Where its objects live.
    fn resource(self) -> Resource {
        match self {
            Protected::Claim => resources::PERSISTENT_VOLUME_CLAIMS,
            Protected::Volume => resources::PERSISTENT_VOLUMES,
            Protected::Class => resources::VOLUME_ATTRIBUTES_CLASSES,
        }
    }

    /// Who holds them, and lets them go.
    fn controller(self) -> &'static str {
        match self {
            Protected::Claim => "pvc-protection-controller",
            Protected::Volume => "pv-protection-controller",
            Protected::Class => "volumeattributesclass-protection-controller",
        }
    }
}
