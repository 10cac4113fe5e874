//! Jobs: pods that end, until enough of them ended well.
//!
//! [`tally`] adds up what the pods say; [`outcome`] says whether that is the end; [`status`] turns pods into numbers,
//! each exactly once; [`plan`] puts the steps in an order that may be cut off anywhere. [`failure`] and [`rules`] are
//! what the user wished; [`backoff`] says when it is tried again.

pub mod backoff;
pub mod failure;
pub mod indexes;
pub mod outcome;
pub mod plan;
pub mod pods;
pub mod rules;
pub mod status;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod victims;

use std::fmt;
use std::sync::Arc;

use client::cache::{BY_OWNER, Facts};
use client::driver::{Controller, Decisions};
use client::{Cache, Client, Entry, Key, Queue, resources};
use env::WallTime;
use k8s_openapi::api::batch::v1::Job;
use machinery::Status;

use crate::context::Context;
use crate::pod::{Pod, PodFacts};
use crate::replicaset::candidates;
use plan::View;
use tally::FINALIZER;

/// What is worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A Job.
    Job(Key),
    /// A pod that waits to be counted, though no Job may be there to count it.
    Stray(Key),
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Job(key) => key.fmt(out),
            Subject::Stray(key) => write!(out, "pod {key}"),
        }
    }
}

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Subject>();
    let (jobs, pods) = (context.cache(resources::JOBS), context.pods());
    enqueue_jobs(&jobs, &pods, &queue);
    enqueue_pods(&jobs, &pods, &queue);
    let name = "job-controller";
    let reader = Client::new(context.reader());
    let controller = Jobs { jobs: jobs.clone(), pods: pods.clone(), reader };
    context.driver(controller, &queue, name, name).sees(&jobs).sees(&pods).start()
}

/// Jobs that changed; when one is gone, the pods it leaves.
fn enqueue_jobs(jobs: &Cache, pods: &Cache<PodFacts>, queue: &Queue<Subject>) {
    let (pods, queue) = (pods.clone(), queue.clone());
    jobs.subscribe(move |change| {
        queue.add(Subject::Job(change.key.clone()));
        if let (Some(gone), None) = (change.old, change.new) {
            for pod in pods.by_index(BY_OWNER, &gone.object.header().uid) {
                queue.add(Subject::Stray(Key::of(&pod.object)));
            }
        }
    });
}

/// The Jobs whose pods changed, those that may want to take in a pod, and pods nobody may count.
fn enqueue_pods(jobs: &Cache, pods: &Cache<PodFacts>, queue: &Queue<Subject>) {
    let (jobs, queue) = (jobs.clone(), queue.clone());
    pods.subscribe(move |change| {
        for entry in [change.old, change.new].into_iter().flatten() {
            let header = entry.object.header();
            let controller = header.controller().filter(|controller| controller.kind == "Job");
            if let Some(controller) = controller {
                queue.add(Subject::Job(Key::new(&header.namespace, &controller.name)));
            }
        }
        let Some(entry) = change.new else { return };
        let header = entry.object.header();
        if header.finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            let is_counted = header.controller().is_some_and(|controller| {
                let job = jobs.get(&Key::new(&header.namespace, &controller.name));
                job.is_some_and(|job| job.object.header().uid == controller.uid)
            });
            if !is_counted {
                queue.add(Subject::Stray(change.key.clone()));
            }
        }
        if header.controller().is_none() && !header.deleting && !header.labels.is_empty() {
            for job in jobs.list_in(&header.namespace) {
                queue.add(Subject::Job(Key::of(&job.object)));
            }
        }
    });
}

struct Jobs {
    jobs: Cache,
    pods: Cache<PodFacts>,
    reader: Client,
}

/// What is seen of a subject.
#[derive(Debug)]
pub enum Seen {
    /// A Job with its pods.
    Job(View),
    /// A pod nobody counts.
    Stray(Pod),
}

impl Jobs {
    async fn look_at_job(&self, key: &Key) -> Result<Option<Seen>, Status> {
        let Some(entry) = self.jobs.get(key) else { return Ok(None) };
        let header = entry.object.header();
        let job = entry.object.view::<Job>()?;
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = client::selector::of(selector).map_err(Status::bad_request)?;
        let mut pods = candidates(&self.pods, &header.uid, &header.namespace);
        if self.pods.revision() < header.revision {
            pods = self.confirmed(&job, pods).await?;
        }
        Ok(Some(Seen::Job(View { object: entry.object.clone(), job, selector, pods })))
    }

    /// The Job is newer than what we know of its pods: some that seem to wait to be counted may have been counted
    /// already. Only the server knows.
    async fn confirmed(&self, job: &Job, pods: Vec<Pod>) -> Result<Vec<Pod>, Status> {
        let noted = job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.clone());
        let noted = noted.unwrap_or_default();
        let is_noted = |uid: &str| {
            [&noted.succeeded, &noted.failed].into_iter().flatten().flatten().any(|known| known == uid)
        };
        let mut confirmed = Vec::new();
        for pod in pods {
            let header = pod.object.header();
            let waits = header.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
            if pod.facts.is_active() || !waits || is_noted(&header.uid) {
                confirmed.push(pod);
                continue;
            }
            let found = self.reader.find(resources::PODS, &Key::of(&pod.object)).await?;
            if let Some(object) = found.filter(|object| object.header().uid == header.uid) {
                let facts = PodFacts::of(&object)?;
                confirmed.push(Arc::new(Entry { object, facts }));
            }
        }
        Ok(confirmed)
    }

    /// A pod is only given up when the server itself knows no such Job.
    async fn look_at_stray(&self, key: &Key) -> Result<Option<Seen>, Status> {
        let Some(pod) = self.pods.get(key) else { return Ok(None) };
        let header = pod.object.header();
        if let Some(controller) = header.controller() {
            if controller.kind != "Job" {
                return Ok(Some(Seen::Stray(pod)));
            }
            let job =
                self.reader.find(resources::JOBS, &Key::new(&header.namespace, &controller.name)).await?;
            if job.is_some_and(|job| job.header().uid == controller.uid) {
                return Ok(None);
            }
        } else if self.may_be_adopted(&pod)? {
            return Ok(None);
        }
        Ok(Some(Seen::Stray(pod)))
    }

    fn may_be_adopted(&self, pod: &Pod) -> Result<bool, Status> {
        let header = pod.object.header();
        for job in self.jobs.list_in(&header.namespace) {
            let typed = job.object.view::<Job>()?;
            let selector = typed.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let selector = client::selector::of(selector).map_err(Status::bad_request)?;
            let is_open = !job.object.header().deleting && !rules::is_finished(&typed);
            if is_open && client::selector::selects(&selector, header) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Controller for Jobs {
    type Key = Subject;
    type View = Seen;

    fn name(&self) -> &'static str {
        "job-controller"
    }

    async fn look(&self, subject: &Subject) -> Result<Option<Seen>, Status> {
        match subject {
            Subject::Job(key) => self.look_at_job(key).await,
            Subject::Stray(key) => self.look_at_stray(key).await,
        }
    }

    fn plan(&self, seen: Seen, now: WallTime) -> client::Plan {
        match seen {
            Seen::Job(view) => plan::plan(&view, now),
            Seen::Stray(pod) => plan::free(&[pod]),
        }
    }
}
