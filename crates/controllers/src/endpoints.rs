//! Endpoints: where the pods of a Service are, in one object, for clients that do not know slices.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::Service;
use machinery::Status;

use crate::context::Context;
use crate::pod::PodFacts;
use crate::service::{ServiceFacts, enqueue_services, enqueue_services_of_pods};
use plan::View;

/// The label that says who keeps the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (services, pods) = (context.services(), context.pods());
    let endpoints = context.cache(resources::ENDPOINTS);
    enqueue_services(&services, &queue);
    enqueue_services_of_pods(&services, &pods, &queue);
    // Those kept by others are none of our business.
    let changed = queue.clone();
    endpoints.subscribe(move |change| {
        let entries = [change.old, change.new];
        if entries.iter().flatten().any(|entry| entry.object.header().label(MANAGED_BY) == Some(MANAGER)) {
            changed.add(change.key.clone());
        }
    });
    let controller =
        Endpoints { services: services.clone(), pods: pods.clone(), endpoints: endpoints.clone() };
    let driver = context.driver(controller, &queue, MANAGER, MANAGER);
    driver.sees(&services).sees(&pods).sees(&endpoints).start()
}

struct Endpoints {
    services: Cache<ServiceFacts>,
    pods: Cache<PodFacts>,
    endpoints: Cache,
}

impl Controller for Endpoints {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        MANAGER
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let endpoints = self.endpoints.get(key).map(|entry| entry.object.clone());
        let Some(entry) = self.services.get(key) else {
            return Ok(endpoints.map(|endpoints| View {
                service: None,
                pods: Vec::new(),
                endpoints: Some(endpoints),
            }));
        };
        let Some(selector) = &entry.facts.selector else { return Ok(None) };
        let pods = self.pods.list_in(&key.namespace).into_iter();
        let pods = pods.filter(|pod| client::selector::selects(selector, pod.object.header())).collect();
        let service = entry.object.view::<Service>()?;
        Ok(Some(View { service: Some((entry.object.clone(), service)), pods, endpoints }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
