//! A pod is marked before it is evicted or preempted. If it is still there long after, the mark is taken back: whatever
//! was to end it gave up.

use std::time::Duration;

use client::driver::{Controller, Decisions};
use client::plan::{Op, Plan};
use client::{Cache, Key, Write, resources, time};
use env::WallTime;
use machinery::Status;
use serde_json::json;

use crate::context::Context;
use crate::pod::{Pod, PodFacts};

/// How long a mark is believed.
pub const BELIEVED: Duration = Duration::from_secs(120);

/// Starts the controller. Its keys are pods.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let pods = context.pods();
    let changed = queue.clone();
    pods.subscribe(move |change| {
        if change.new.is_some_and(|pod| pod.facts.disrupted.is_some()) {
            changed.add(change.key.clone());
        }
    });
    let driver =
        context.driver(Marks { pods: pods.clone() }, &queue, "disruption-controller", "controllermanager");
    driver.sees(&pods).start()
}

struct Marks {
    pods: Cache<PodFacts>,
}

impl Controller for Marks {
    type Key = Key;
    type View = Pod;

    fn name(&self) -> &'static str {
        "stale-disruption-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<Pod>, Status> {
        Ok(self.pods.get(key))
    }

    fn plan(&self, pod: Pod, now: WallTime) -> Plan {
        plan(&pod, now)
    }
}

/// Decides about one pod.
pub fn plan(pod: &Pod, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    let Some(marked) = pod.facts.disrupted else { return plan };
    if !pod.facts.is_active() {
        return plan;
    }
    let until = marked.plus(BELIEVED);
    if until > now {
        plan.requeue(until.since(now));
        return plan;
    }
    plan.because("it was announced to end and did not; takes the announcement back");
    let taken_back = json!({ "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
        "lastTransitionTime": time::seconds(now) });
    let uid = pod.object.header().uid.as_str();
    let patch = json!({ "metadata": { "uid": uid }, "status": { "conditions": [taken_back] } });
    let body = patch.to_string().into_bytes().into();
    plan.push(Op::through(resources::PODS, &Key::of(&pod.object), "status", Write::StrategicPatch(body)));
    plan
}
