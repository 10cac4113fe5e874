//! StatefulSets: pods that each have a name, an ordinal and claims of their own, made and removed in order.
//!
//! [`plan`] leads through a sync; [`model`] is what it works on; [`identity`] says who a pod is and what it looks like;
//! [`storage`] keeps its claims; [`replicas`] makes and mends pods; [`condemned`] removes those that are too many;
//! [`rolling`] replaces those of older templates; [`status`] tells how far it is.

pub mod condemned;
pub mod identity;
pub mod model;
pub mod plan;
pub mod replicas;
pub mod rolling;
pub mod status;
pub mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::{Context, enqueue_changed, enqueue_orphans_owners, enqueue_owner};
use crate::history;
use crate::pod::{Pod, PodFacts};
use crate::replicaset::{candidates, enqueue_for_orphans};
use plan::View;

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (sets, pods) = (context.cache(resources::STATEFUL_SETS), context.pods());
    let revisions = context.cache(resources::CONTROLLER_REVISIONS);
    let claims = context.cache(resources::PERSISTENT_VOLUME_CLAIMS);
    enqueue_changed(&sets, &queue);
    enqueue_owner(&pods, resources::STATEFUL_SETS, &queue);
    enqueue_for_orphans(&sets, &pods, resources::STATEFUL_SETS, &queue);
    enqueue_orphans_owners(&revisions, &sets, &queue);
    let controller = StatefulSets { sets: sets.clone(), pods: pods.clone(), revisions, claims };
    let (seen_revisions, seen_claims) = (controller.revisions.clone(), controller.claims.clone());
    let name = "statefulset-controller";
    let driver = context.driver(controller, &queue, name, name);
    driver.sees(&sets).sees(&pods).sees(&seen_revisions).sees(&seen_claims).start()
}

struct StatefulSets {
    sets: Cache,
    pods: Cache<PodFacts>,
    revisions: Cache,
    claims: Cache,
}

impl StatefulSets {
    /// The claims there are of those that the pods of now and the next ones use.
    fn claims_for(&self, object: &Object, spec: &StatefulSetSpec, pods: &[Pod]) -> BTreeMap<SmolStr, Object> {
        let header = object.header();
        let templates = spec.volume_claim_templates.as_deref().unwrap_or_default();
        let mut claims = BTreeMap::new();
        if templates.is_empty() {
            return claims;
        }
        for ordinal in model::ordinals(&header.name, spec, pods) {
            for template in templates {
                let name = storage::claim_name(template, &header.name, ordinal);
                if let Some(claim) = self.claims.get(&Key::new(&header.namespace, &name)) {
                    claims.insert(name.into(), claim.object.clone());
                }
            }
        }
        claims
    }
}

impl Controller for StatefulSets {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.sets.get(key) else { return Ok(None) };
        let set = entry.object.view::<StatefulSet>()?;
        let Some(spec) = &set.spec else { return Ok(None) };
        let header = entry.object.header();
        let pods = candidates(&self.pods, &header.uid, &header.namespace);
        let data = history::data_of(&entry.object)?;
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let is_taken = |name: &str| self.revisions.get(&Key::new(&key.namespace, name)).is_some();
        Ok(Some(View {
            object: entry.object.clone(),
            claims: self.claims_for(&entry.object, spec, &pods),
            revisions: history::of_owner(&self.revisions, &entry)?,
            next: history::next_name(&header.name, &data, collisions, is_taken),
            set,
            pods,
            data,
        }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
