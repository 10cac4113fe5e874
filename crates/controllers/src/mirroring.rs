//! Endpoints that somebody keeps by hand, copied to EndpointSlices, which is where everybody looks.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::{Context, enqueue_changed};
use crate::endpointslice::plan::Slice;
use crate::endpointslice::{MANAGED_BY, SERVICE_NAME};
use crate::service::{ServiceFacts, enqueue_services};
use plan::View;

/// What slices say of who keeps them.
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const BY_SOURCE: &str = "source";

fn source_of(object: &Object, _facts: &()) -> Vec<SmolStr> {
    let header = object.header();
    let name = header.label(SERVICE_NAME);
    name.map(|name| SmolStr::from(format!("{}/{name}", header.namespace))).into_iter().collect()
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (endpoints, services) = (context.cache(resources::ENDPOINTS), context.services());
    let slices: Cache = Cache::of(resources::ENDPOINT_SLICES)
        .labels(&format!("{MANAGED_BY}={MANAGER}"))
        .index(BY_SOURCE, source_of)
        .start(context.reader(), &context.env);
    enqueue_changed(&endpoints, &queue);
    enqueue_services(&services, &queue);
    let changed = queue.clone();
    slices.subscribe(move |change| {
        for entry in [change.old, change.new].into_iter().flatten() {
            if let Some(name) = entry.object.header().label(SERVICE_NAME) {
                changed.add(Key::new(&change.key.namespace, name));
            }
        }
    });
    let controller =
        Mirroring { endpoints: endpoints.clone(), services: services.clone(), slices: slices.clone() };
    let (account, component) = ("endpointslicemirroring-controller", "endpoint-slice-mirroring-controller");
    context
        .driver(controller, &queue, account, component)
        .sees(&endpoints)
        .sees(&services)
        .sees(&slices)
        .start()
}

struct Mirroring {
    endpoints: Cache,
    services: Cache<ServiceFacts>,
    slices: Cache,
}

impl Controller for Mirroring {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        // Those of a Service that selects pods are kept by a controller, which keeps slices as well.
        let is_by_hand = self.services.get(key).is_some_and(|service| service.facts.selector.is_none());
        let source = self.endpoints.get(key).filter(|_| is_by_hand);
        let typed = |object: &Object| object.view::<Endpoints>().map(|typed| (object.clone(), typed));
        let source = source.map(|entry| typed(&entry.object)).transpose()?;
        let slices = self.slices.by_index(BY_SOURCE, &key.to_string());
        let slices = slices.iter().map(|slice| {
            let typed = slice.object.view::<EndpointSlice>()?;
            Ok(Slice { object: slice.object.clone(), typed })
        });
        let slices = slices.collect::<Result<Vec<Slice>, Status>>()?;
        Ok(Some(View { source, slices }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
