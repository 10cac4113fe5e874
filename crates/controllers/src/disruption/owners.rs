//! How many pods the owner of a pod wants.

use client::{Cache, Key, Resource, resources};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use machinery::object::OwnerRef;
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::Context;

/// What is known about an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Who decides in the end how many pods there are, and how many they are.
    Wants(SmolStr, i32),
    /// There is no such owner.
    Missing,
    /// It is of a kind that wants no number of pods.
    Unscalable(String),
}

/// The objects that own pods.
pub struct Owners {
    controllers: Cache,
    deployments: Cache,
    sets: Cache,
    stateful: Cache,
}

impl Owners {
    /// Those there are.
    pub fn new(context: &Context) -> Owners {
        Owners {
            controllers: context.cache(resources::REPLICATION_CONTROLLERS),
            deployments: context.cache(resources::DEPLOYMENTS),
            sets: context.cache(resources::REPLICA_SETS),
            stateful: context.cache(resources::STATEFUL_SETS),
        }
    }

    /// What is looked at.
    pub fn caches(&self) -> [Cache; 4] {
        [&self.controllers, &self.deployments, &self.sets, &self.stateful].map(Clone::clone)
    }

    /// What is known about the owner of a pod.
    pub async fn scale_of(&self, namespace: &str, owner: &OwnerRef) -> Result<Scale, Status> {
        let Some(resource) = resources::of_kind(&owner.api_version, &owner.kind) else {
            let why = format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version);
            return Ok(Scale::Unscalable(why));
        };
        let Some(cache) = self.caches().into_iter().find(|cache| cache.resource() == resource) else {
            return Ok(Scale::Unscalable(unscalable(resource)));
        };
        let found = cache.get(&Key::new(namespace, &owner.name));
        let Some(found) = found.filter(|entry| entry.object.header().uid == owner.uid) else {
            return Ok(Scale::Missing);
        };
        // A set that a Deployment manages is as large as the moment needs it; the Deployment says what is wanted.
        let above =
            found.object.header().controller().filter(|above| above.kind == resources::DEPLOYMENTS.kind);
        if let Some(above) = above.filter(|_| resource == resources::REPLICA_SETS) {
            let deployment = self.deployments.get(&Key::new(namespace, &above.name));
            if let Some(deployment) = deployment.filter(|entry| entry.object.header().uid == above.uid) {
                return wants(resources::DEPLOYMENTS, &deployment.object);
            }
        }
        wants(resource, &found.object)
    }
}

fn unscalable(resource: Resource) -> String {
    let name = if resource.group.is_empty() {
        resource.plural.to_owned()
    } else {
        format!("{}.{}", resource.plural, resource.group)
    };
    format!("{name} does not implement the scale subresource")
}

fn wants(resource: Resource, object: &Object) -> Result<Scale, Status> {
    let replicas = match resource {
        resources::DEPLOYMENTS => object.view::<Deployment>()?.spec.as_ref().and_then(|spec| spec.replicas),
        resources::REPLICA_SETS => object.view::<ReplicaSet>()?.spec.as_ref().and_then(|spec| spec.replicas),
        resources::STATEFUL_SETS => {
            object.view::<StatefulSet>()?.spec.as_ref().and_then(|spec| spec.replicas)
        }
        _ => object.view::<ReplicationController>()?.spec.as_ref().and_then(|spec| spec.replicas),
    };
    Ok(Scale::Wants(object.header().uid.clone(), replicas.unwrap_or(1)))
}
