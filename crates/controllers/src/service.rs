//! What controllers ask of Services, and which Services a pod belongs to.

use client::cache::Facts;
use client::{Cache, Key, Queue};
use k8s_openapi::api::core::v1::Service;
use machinery::selector::LabelSelector;
use machinery::{Object, Status};

use crate::pod::PodFacts;

/// What is asked of Services.
#[derive(Clone, Debug)]
pub struct ServiceFacts {
    /// Which pods it is about; `None` if it does not say.
    pub selector: Option<LabelSelector>,
    /// Whether it wants a load balancer, and names no other kind of them.
    pub balanced: bool,
}

impl Facts for ServiceFacts {
    fn of(object: &Object) -> Result<ServiceFacts, Status> {
        let service = object.view::<Service>()?;
        let spec = service.spec.as_ref();
        let is_external = spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        let labels =
            spec.and_then(|spec| spec.selector.as_ref()).filter(|labels| !is_external && !labels.is_empty());
        let selector = labels.map(client::selector::of_labels).transpose().map_err(Status::bad_request)?;
        let balanced = spec.is_some_and(|spec| {
            spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none()
        });
        Ok(ServiceFacts { selector, balanced })
    }
}

/// Adds every Service, and whenever it changes.
pub fn enqueue_services(services: &Cache<ServiceFacts>, queue: &Queue<Key>) {
    let queue = queue.clone();
    services.subscribe(move |change| queue.add(change.key.clone()));
}

/// Adds the Services of a pod whenever something of it changed that endpoints tell.
pub fn enqueue_services_of_pods(services: &Cache<ServiceFacts>, pods: &Cache<PodFacts>, queue: &Queue<Key>) {
    let (services, queue) = (services.clone(), queue.clone());
    pods.subscribe(move |change| {
        if let (Some(old), Some(new)) = (change.old, change.new) {
            let (before, after) = (old.object.header(), new.object.header());
            if before.labels == after.labels && before.uid == after.uid && old.facts == new.facts {
                return;
            }
        }
        let pods = [change.old, change.new];
        for service in services.list_in(&change.key.namespace) {
            let Some(selector) = &service.facts.selector else { continue };
            let concerns =
                pods.iter().flatten().any(|pod| client::selector::selects(selector, pod.object.header()));
            if concerns {
                queue.add(Key::of(&service.object));
            }
        }
    });
}
