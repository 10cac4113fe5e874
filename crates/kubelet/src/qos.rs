//! The quality-of-service class: whether a pod's limits are promises.

use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::amounts;
use crate::pod::PodView;

/// How firmly a pod's resources are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Every container has limits for CPU and memory, and asks for just as much.
    Guaranteed,
    /// Some container asks for some.
    Burstable,
    /// None does.
    BestEffort,
}

impl Class {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Guaranteed => "Guaranteed",
            Class::Burstable => "Burstable",
            Class::BestEffort => "BestEffort",
        }
    }
}

/// The class of a pod: by the resources of the pod as a whole if it has any, else by its containers'.
pub(crate) fn class(pod: &PodView) -> Class {
    let whole = pod.spec().resources.as_ref().filter(|resources| asks(resources));
    let parts: Vec<Option<&ResourceRequirements>> = match whole {
        Some(resources) => vec![Some(resources)],
        None => {
            let inits = pod.spec().init_containers.iter().flatten();
            inits.chain(&pod.spec().containers).map(|container| container.resources.as_ref()).collect()
        }
    };
    if !parts.iter().flatten().any(|resources| asks(resources)) {
        return Class::BestEffort;
    }
    let guaranteed = parts.iter().all(|part| part.is_some_and(promised));
    if guaranteed { Class::Guaranteed } else { Class::Burstable }
}

fn asks(resources: &ResourceRequirements) -> bool {
    ["cpu", "memory"].into_iter().any(|name| {
        amounts::millis_of(resources.requests.as_ref(), name) > 0
            || amounts::millis_of(resources.limits.as_ref(), name) > 0
    })
}

fn promised(resources: &ResourceRequirements) -> bool {
    ["cpu", "memory"].into_iter().all(|name| {
        let limit = amounts::millis_of(resources.limits.as_ref(), name);
        let request = match resources.requests.as_ref().filter(|requests| requests.contains_key(name)) {
            Some(requests) => amounts::millis_of(Some(requests), name),
            None => limit,
        };
        limit > 0 && request == limit
    })
}
