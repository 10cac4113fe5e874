//! ClusterRoles that are put together from others by labels.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::rbac::v1::ClusterRole;
use machinery::Status;

use crate::context::Context;
use plan::View;

/// Starts the controller. Any change of any role may change any role that is put together, so each looks at all.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let roles = context.cache(resources::CLUSTER_ROLES);
    let (all, changed) = (roles.clone(), queue.clone());
    roles.subscribe(move |change| {
        changed.add(change.key.clone());
        for entry in all.list() {
            if plan::is_aggregated(&entry.object) {
                changed.add(Key::of(&entry.object));
            }
        }
    });
    let controller = Aggregation { roles: roles.clone() };
    let name = "clusterrole-aggregation-controller";
    context.driver(controller, &queue, name, name).sees(&roles).start()
}

struct Aggregation {
    roles: Cache,
}

impl Controller for Aggregation {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.roles.get(key).filter(|entry| plan::is_aggregated(&entry.object)) else {
            return Ok(None);
        };
        let role = entry.object.view::<ClusterRole>()?;
        let others = self.roles.list().into_iter().map(|entry| entry.object.clone()).collect();
        Ok(Some(View { object: entry.object.clone(), role, others }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
            .unwrap_or_else(|status| client::Plan { retry: Some(status.message), ..Default::default() })
    }
}
