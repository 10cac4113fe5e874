//! Load balancers for machines that have none around them: a Service of the type `LoadBalancer` gets the addresses of the
//! nodes, which serve it there by themselves.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::Status;

use crate::context::Context;
use crate::endpointslice::SERVICE_NAME;
use plan::View;

/// Starts the controller. It has one key: ports of nodes are given to Services together, so that none is given twice.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (services, nodes) = (context.services(), context.cache(resources::NODES));
    let slices = context.cache(resources::ENDPOINT_SLICES);
    let changed = queue.clone();
    services.subscribe(move |change| {
        let is_ours = |entry: &client::Entry<crate::service::ServiceFacts>| entry.facts.balanced;
        if [change.old, change.new].into_iter().flatten().any(|entry| is_ours(entry)) {
            changed.add(Key::default());
        }
    });
    let changed = queue.clone();
    nodes.subscribe(move |change| {
        // Nodes say every few minutes that they are well; that changes nothing here.
        let offers = |entry: Option<&std::sync::Arc<client::Entry<()>>>| {
            entry.and_then(|entry| entry.object.view::<Node>().ok()).map(|node| plan::offered(&node))
        };
        if offers(change.old) != offers(change.new) {
            changed.add(Key::default());
        }
    });
    let (changed, known) = (queue.clone(), services.clone());
    slices.subscribe(move |change| {
        let slice = change.new.or(change.old);
        let service = slice.and_then(|slice| slice.object.header().label(SERVICE_NAME).map(str::to_owned));
        let service = service.and_then(|name| known.get(&Key::new(&change.key.namespace, &name)));
        if service.is_some_and(|service| service.facts.balanced) {
            changed.add(Key::default());
        }
    });
    let controller = Balancers { services: services.clone(), nodes: nodes.clone(), slices: slices.clone() };
    let name = "service-controller";
    context.driver(controller, &queue, name, name).sees(&services).sees(&nodes).sees(&slices).start()
}

struct Balancers {
    services: Cache<crate::service::ServiceFacts>,
    nodes: Cache,
    slices: Cache,
}

impl Controller for Balancers {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "service-controller"
    }

    async fn look(&self, _key: &Key) -> Result<Option<View>, Status> {
        let mut services = Vec::new();
        for entry in self.services.list().iter().filter(|entry| entry.facts.balanced) {
            let service = entry.object.view::<Service>()?;
            services.push((entry.object.clone(), service));
        }
        if services.is_empty() {
            return Ok(None);
        }
        let mut nodes = Vec::new();
        for entry in self.nodes.list() {
            nodes.push(entry.object.view::<Node>()?);
        }
        let mut slices = Vec::new();
        for entry in self.slices.list() {
            let header = entry.object.header();
            let Some(name) = header.label(SERVICE_NAME) else { continue };
            slices.push((Key::new(&header.namespace, name), entry.object.view::<EndpointSlice>()?));
        }
        Ok(Some(View { services, nodes, slices }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
