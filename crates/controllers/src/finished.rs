//! Jobs that are over and say for how long they want to be kept.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::batch::v1::Job;
use machinery::Status;

use crate::context::{Context, enqueue_changed};
use plan::View;

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let jobs = context.cache(resources::JOBS);
    enqueue_changed(&jobs, &queue);
    let controller = Finished { jobs: jobs.clone() };
    let name = "ttl-after-finished-controller";
    context.driver(controller, &queue, name, name).sees(&jobs).start()
}

struct Finished {
    jobs: Cache,
}

impl Controller for Finished {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.jobs.get(key) else { return Ok(None) };
        Ok(Some(View { object: entry.object.clone(), job: entry.object.view::<Job>()? }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
