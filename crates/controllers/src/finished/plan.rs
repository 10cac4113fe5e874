//! When a Job goes.

use std::sync::Arc;
use std::time::Duration;

use client::plan::{Op, Plan};
use client::{Delete, Key, resources, time};
use env::WallTime;
use k8s_openapi::api::batch::v1::Job;
use machinery::Object;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Job.
    pub object: Object,
    /// The same, typed.
    pub job: Arc<Job>,
}

/// When it was over; `None` if it is not.
fn finished(job: &Job) -> Option<WallTime> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    let is_end = |kind: &str| matches!(kind, "Complete" | "Failed");
    let end = conditions.iter().find(|condition| is_end(&condition.type_) && condition.status == "True")?;
    end.last_transition_time.as_ref().map(|at| time::wall(at.0))
}

/// Decides about one Job.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    let kept = view.job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let (Some(kept), Some(finished)) = (kept, finished(&view.job)) else { return plan };
    if view.object.header().deleting {
        return plan;
    }
    let goes = finished.plus(Duration::from_secs(u64::try_from(kept).unwrap_or(0)));
    if goes > now {
        plan.because(format!("it is kept until {}", time::seconds(goes)));
        plan.requeue(goes.since(now));
        return plan;
    }
    plan.because(format!("it was over for {kept} seconds"));
    // Exactly as it was seen: somebody may have asked for it to be kept longer.
    let header = view.object.header();
    let how = Delete {
        uid: header.uid.to_string(),
        resource_version: header.revision.to_string(),
        propagation: "Foreground",
        ..Delete::default()
    };
    plan.push(Op::delete_with(resources::JOBS, &Key::of(&view.object), how));
    plan
}
