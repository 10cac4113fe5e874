//! CronJobs: Jobs that are made when their time has come.
//!
//! [`calendar`] knows when a schedule is due in a time zone; [`due`] finds the start that is to be made now; [`plan`]
//! makes it, or says why not.

pub mod calendar;
pub mod due;
pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use client::cache::BY_OWNER;
use client::driver::{Controller, Decisions};
use client::{Cache, Client, Key, resources};
use env::WallTime;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use machinery::Status;

use crate::context::{Context, enqueue_changed, enqueue_owner};
use plan::{Child, View};

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (crons, jobs) = (context.cache(resources::CRON_JOBS), context.cache(resources::JOBS));
    enqueue_changed(&crons, &queue);
    enqueue_owner(&jobs, resources::CRON_JOBS, &queue);
    let reader = Client::new(context.reader());
    let controller = CronJobs { crons: crons.clone(), jobs: jobs.clone(), reader };
    let name = "cronjob-controller";
    context.driver(controller, &queue, name, name).sees(&crons).sees(&jobs).start()
}

struct CronJobs {
    crons: Cache,
    jobs: Cache,
    reader: Client,
}

impl CronJobs {
    /// Those Jobs of its list that are gone. The cache may not know yet of one that was made a moment ago.
    async fn missing(&self, cron: &CronJob, children: &[Child]) -> Result<BTreeSet<String>, Status> {
        let mut missing = BTreeSet::new();
        let listed = cron.status.as_ref().and_then(|status| status.active.as_deref()).unwrap_or_default();
        for reference in listed {
            let uid = reference.uid.as_deref().unwrap_or_default();
            if children.iter().any(|child| child.object.header().uid == uid) {
                continue;
            }
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let key = Key::new(&text(&reference.namespace), &text(&reference.name));
            let found = self.reader.find(resources::JOBS, &key).await?;
            if found.is_none_or(|job| job.header().uid != uid) {
                missing.insert(uid.to_owned());
            }
        }
        Ok(missing)
    }
}

impl Controller for CronJobs {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.crons.get(key) else { return Ok(None) };
        let uid = &entry.object.header().uid;
        let mut children = Vec::new();
        for job in self.jobs.by_index(BY_OWNER, uid) {
            let is_ours = job.object.header().controller().is_some_and(|owner| owner.uid == *uid);
            if is_ours {
                children.push(Child { object: job.object.clone(), job: job.object.view::<Job>()? });
            }
        }
        let cron = entry.object.view::<CronJob>()?;
        let missing = self.missing(&cron, &children).await?;
        Ok(Some(View { object: entry.object.clone(), cron, children, missing }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
