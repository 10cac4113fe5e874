//! EndpointSlices: where the pods of a Service are, in slices of at most a hundred.
//!
//! [`desired`] says what there should be; [`plan`] brings the slices there with few and small writes.

pub mod desired;
pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::Context;
use crate::pod::PodFacts;
use crate::service::{ServiceFacts, enqueue_services, enqueue_services_of_pods};
use plan::{Slice, View};

/// The label that says which Service a slice belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who keeps a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What it says on ours.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";

const BY_SERVICE: &str = "service";
const ZONE: &str = "topology.kubernetes.io/zone";

fn service_of(object: &Object, _facts: &()) -> Vec<SmolStr> {
    let header = object.header();
    let name = header.label(SERVICE_NAME);
    name.map(|name| SmolStr::from(format!("{}/{name}", header.namespace))).into_iter().collect()
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (services, pods, nodes) = (context.services(), context.pods(), context.cache(resources::NODES));
    let slices: Cache = Cache::of(resources::ENDPOINT_SLICES)
        .labels(&format!("{MANAGED_BY}={MANAGER}"))
        .index(BY_SERVICE, service_of)
        .start(context.reader(), &context.env);
    enqueue_services(&services, &queue);
    enqueue_services_of_pods(&services, &pods, &queue);
    let changed = queue.clone();
    slices.subscribe(move |change| {
        for entry in [change.old, change.new].into_iter().flatten() {
            if let Some(name) = entry.object.header().label(SERVICE_NAME) {
                changed.add(Key::new(&change.key.namespace, name));
            }
        }
    });
    let controller = Slices {
        services: services.clone(),
        pods: pods.clone(),
        nodes: nodes.clone(),
        slices: slices.clone(),
    };
    let driver = context.driver(controller, &queue, "endpointslice-controller", "endpoint-slice-controller");
    driver.sees(&services).sees(&pods).sees(&nodes).sees(&slices).start()
}

struct Slices {
    services: Cache<ServiceFacts>,
    pods: Cache<PodFacts>,
    nodes: Cache,
    slices: Cache,
}

impl Controller for Slices {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        // The slices of a Service that is gone are its dependents, and go with it.
        let Some(entry) = self.services.get(key) else { return Ok(None) };
        let Some(selector) = &entry.facts.selector else { return Ok(None) };
        let pods = self.pods.list_in(&key.namespace).into_iter();
        let pods: Vec<_> =
            pods.filter(|pod| client::selector::selects(selector, pod.object.header())).collect();
        let zones = pods
            .iter()
            .map(|pod| pod.facts.node.clone())
            .filter_map(|name| {
                let node = self.nodes.get(&Key::new("", &name))?;
                Some((name, SmolStr::new(node.object.header().label(ZONE)?)))
            })
            .collect();
        let slices = self.slices.by_index(BY_SERVICE, &key.to_string());
        let slices = slices.iter().map(|slice| {
            let typed = slice.object.view::<EndpointSlice>()?;
            Ok(Slice { object: slice.object.clone(), typed })
        });
        let service = entry.object.view::<Service>()?;
        let slices = slices.collect::<Result<_, Status>>()?;
        Ok(Some(View { object: entry.object.clone(), service, pods, zones, slices }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
