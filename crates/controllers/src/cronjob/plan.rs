//! What is done about a CronJob: its list of running Jobs, the start that is due, and the Jobs kept for the record.

use std::collections::BTreeSet;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Delete, Key, resources, time};
use env::WallTime;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::{Object, Status};
use serde_json::json;

use super::calendar::{Calendar, Fault};
use super::due::{self, Due};

/// For when a Job was scheduled.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// A Job the CronJob controls.
#[derive(Clone, Debug)]
pub struct Child {
    /// The Job.
    pub object: Object,
    /// The same, typed.
    pub job: Arc<Job>,
}

impl Child {
    fn name(&self) -> &str {
        &self.object.header().name
    }

    /// `Complete` or `Failed`, if it is over.
    fn end(&self) -> Option<&str> {
        let conditions = self.job.status.as_ref()?.conditions.as_deref()?;
        let is_end = |kind: &str| matches!(kind, "Complete" | "Failed");
        let mut ends = conditions.iter();
        ends.find(|condition| is_end(&condition.type_) && condition.status == "True")
            .map(|condition| condition.type_.as_str())
    }

    fn started(&self) -> Option<Timestamp> {
        self.job.status.as_ref()?.start_time.as_ref().map(|at| at.0)
    }

    fn completed(&self) -> Option<Timestamp> {
        self.job.status.as_ref()?.completion_time.as_ref().map(|at| at.0)
    }

    fn reference(&self) -> ObjectReference {
        let header = self.object.header();
        ObjectReference {
            api_version: Some(resources::JOBS.api_version()),
            kind: Some(resources::JOBS.kind.to_owned()),
            namespace: Some(header.namespace.to_string()),
            name: Some(header.name.to_string()),
            uid: Some(header.uid.to_string()),
            resource_version: Some(header.revision.to_string()),
            ..ObjectReference::default()
        }
    }
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The CronJob.
    pub object: Object,
    /// The same, typed.
    pub cron: Arc<CronJob>,
    /// The Jobs it controls.
    pub children: Vec<Child>,
    /// The uids of Jobs in its list of which the server itself says that they are gone.
    pub missing: BTreeSet<String>,
}

/// Decides about one CronJob.
pub fn plan(view: &View, now: WallTime) -> Plan {
    decide(view, now).unwrap_or_else(|status| Plan { retry: Some(status.message), ..Plan::default() })
}

fn decide(view: &View, now: WallTime) -> Result<Plan, Status> {
    let mut work = Work {
        view,
        about: About::object(&view.object),
        plan: Plan::nothing(),
        status: view.cron.status.clone().unwrap_or_default(),
        now: time::timestamp(now),
    };
    work.take_stock();
    work.remove_old();
    if !view.object.header().deleting {
        work.start_due();
    }
    let mut plan = work.plan;
    plan.status = Op::update_status(resources::CRON_JOBS, &view.object, &work.status)?;
    Ok(plan)
}

struct Work<'a> {
    view: &'a View,
    about: About,
    plan: Plan,
    status: CronJobStatus,
    now: Timestamp,
}

impl Work<'_> {
    fn tell(&mut self, reason: &'static str, message: String) {
        self.plan.notes.push(Note::normal(&self.about, reason, message));
    }

    fn warn(&mut self, reason: &'static str, message: String) {
        self.plan.notes.push(Note::warning(&self.about, reason, message));
    }

    fn is_listed(&self, uid: &str) -> bool {
        self.status.active.iter().flatten().any(|reference| reference.uid.as_deref() == Some(uid))
    }

    fn unlist(&mut self, uid: &str) {
        let active = self.status.active.get_or_insert_default();
        active.retain(|reference| reference.uid.as_deref() != Some(uid));
    }

    /// Brings the list of running Jobs up to date.
    fn take_stock(&mut self) {
        for child in &self.view.children {
            let uid = child.object.header().uid.as_str();
            let is_listed = self.is_listed(uid);
            let Some(end) = child.end() else {
                if !is_listed && self.is_own_name(child.name()) {
                    self.status.active.get_or_insert_default().push(child.reference());
                } else if !is_listed {
                    let name = child.name();
                    let told = format!("Saw a job that the controller did not create or forgot: {name}");
                    self.warn("UnexpectedJob", told);
                }
                continue;
            };
            if is_listed {
                self.tell(
                    "SawCompletedJob",
                    format!("Saw completed job: {}, condition: {end}", child.name()),
                );
                self.unlist(uid);
            }
            if let Some(completed) = child.completed().filter(|_| end == "Complete")
                && self.status.last_successful_time.as_ref().is_none_or(|last| completed > last.0)
            {
                self.status.last_successful_time = Some(Time(completed));
            }
        }
        let gone: Vec<ObjectReference> = self.status.active.iter().flatten().cloned().collect();
        for reference in gone {
            let uid = reference.uid.unwrap_or_default();
            if self.view.missing.contains(&uid) {
                let name = reference.name.unwrap_or_default();
                self.tell("MissingJob", format!("Active job went missing: {name}"));
                self.unlist(&uid);
            }
        }
    }

    /// Whether only we would call a Job that: our name and a number of minutes.
    fn is_own_name(&self, name: &str) -> bool {
        let prefix = format!("{}-", self.view.object.header().name);
        let number = name.strip_prefix(&prefix).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Removes the oldest Jobs that are over, of each kind but those that are kept.
    fn remove_old(&mut self) {
        let spec = &self.view.cron.spec;
        let limits =
            [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
        for (end, limit) in limits {
            let Some(limit) = limit else { continue };
            let is_one = |child: &&Child| child.end() == Some(end) && !child.object.header().deleting;
            let mut over: Vec<&Child> = self.view.children.iter().filter(is_one).collect();
            let surplus = over.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            // Those that never started come last.
            over.sort_by_key(|child| (child.started().is_none(), child.started(), child.name().to_owned()));
            if surplus > 0 {
                self.plan.because(format!("{surplus} jobs more than {limit} are {end}"));
            }
            let ops = over.iter().take(surplus).map(|child| self.removal(child)).collect();
            self.plan.push_together(ops);
        }
    }

    fn removal(&self, child: &Child) -> Op {
        let header = child.object.header();
        let how = Delete { uid: header.uid.to_string(), propagation: "Background", ..Delete::default() };
        Op::delete_with(resources::JOBS, &Key::of(&child.object), how)
            .on_success(Note::normal(&self.about, "SuccessfulDelete", format!("Deleted job {}", header.name)))
            .on_failure(Note::warning(&self.about, "FailedDelete", "Deleted job: {error}"))
    }

    /// Makes the Job that is due, if one is.
    fn start_due(&mut self) {
        let spec = &self.view.cron.spec;
        let calendar = match Calendar::read(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(calendar) => calendar,
            Err(Fault::Zone(problem)) => {
                let zone = spec.time_zone.as_deref().unwrap_or_default();
                return self.warn("UnknownTimeZone", format!("invalid timeZone: {zone:?}: {problem}"));
            }
            Err(Fault::Schedule(_)) if spec.suspend == Some(true) => return,
            Err(Fault::Schedule(problem)) => {
                let told = format!("unparseable schedule: {:?} : {problem}", spec.schedule);
                return self.warn("UnparseableSchedule", told);
            }
        };
        if spec.suspend == Some(true) {
            self.plan.because("it is suspended");
            return;
        }
        let due = match due::due(&calendar, self.earliest(spec.starting_deadline_seconds), self.now) {
            Ok(due) => due,
            Err(problem) => {
                let told = format!("invalid schedule: {} : {problem}", spec.schedule);
                return self.warn("InvalidSchedule", told);
            }
        };
        if let Some(wait) = due::wait(&calendar, self.now) {
            self.plan.requeue(wait);
        }
        self.begin(&calendar, &due);
    }

    /// Before that no start is made up for.
    fn earliest(&self, deadline: Option<i64>) -> Timestamp {
        let made = self.view.cron.metadata.creation_timestamp.as_ref().map(|at| at.0);
        let last = self.status.last_schedule_time.as_ref().map(|at| at.0);
        let since = last.or(made).unwrap_or(self.now);
        let limit = deadline.and_then(|secs| self.now.checked_sub(SignedDuration::from_secs(secs)).ok());
        limit.map_or(since, |limit| limit.max(since))
    }

    fn begin(&mut self, calendar: &Calendar, due: &Due) {
        let Some(start) = due.start else { return };
        if due.missed_many {
            let told = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.warn("TooManyMissedTimes", told.to_owned());
        }
        if self.is_too_late(start) {
            let told = start.strftime("%a, %d %b %Y %H:%M:%S +0000");
            return self.warn("MissSchedule", format!("Missed scheduled time to start a job: {told}"));
        }
        let last = self.status.last_schedule_time.as_ref().map(|at| at.0);
        let name = format!("{}-{}", self.view.object.header().name, start.as_second().div_euclid(60));
        if last == Some(start) {
            return;
        }
        // Made before, and the process ended before that was told.
        if self.view.children.iter().any(|child| child.name() == name) {
            self.status.last_schedule_time = Some(Time(start));
            return;
        }
        let policy = self.view.cron.spec.concurrency_policy.as_deref();
        let has_active = self.status.active.as_ref().is_some_and(|active| !active.is_empty());
        if policy == Some("Forbid") && has_active {
            self.plan.because("a job still runs, and two at a time are forbidden");
            let told = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return self.tell("JobAlreadyActive", told.to_owned());
        }
        if policy == Some("Replace") {
            self.remove_active();
        }
        self.plan.because(format!("a start was due at {start}"));
        self.plan.push(self.creation(calendar, &name, start));
        self.status.last_schedule_time = Some(Time(start));
    }

    fn is_too_late(&self, start: Timestamp) -> bool {
        let deadline = self.view.cron.spec.starting_deadline_seconds;
        let until = deadline.map(|secs| start.saturating_add(SignedDuration::from_secs(secs)));
        until.is_some_and(|until| until.is_ok_and(|until| until < self.now))
    }

    /// Ends what still runs.
    fn remove_active(&mut self) {
        let children = &self.view.children;
        let running: Vec<&Child> =
            children.iter().filter(|child| self.is_listed(&child.object.header().uid)).collect();
        let ops = running.iter().map(|child| self.removal(child)).collect();
        self.plan.push_together(ops);
        for child in running {
            self.unlist(&child.object.header().uid);
        }
    }

    /// The Job of a start. Its name is made of the time, so that no start is made twice.
    fn creation(&self, calendar: &Calendar, name: &str, start: Timestamp) -> Op {
        let header = self.view.object.header();
        let template = self.view.cron.spec.job_template.clone();
        let metadata = template.metadata.unwrap_or_default();
        let mut annotations = metadata.annotations.unwrap_or_default();
        let shown = start.to_zoned(calendar.zone().clone());
        let offset = if shown.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
        annotations.insert(SCHEDULED.to_owned(), shown.strftime(offset).to_string());
        let job = json!({
            "apiVersion": resources::JOBS.api_version(),
            "kind": resources::JOBS.kind,
            "metadata": {
                "name": name,
                "namespace": header.namespace.as_str(),
                "labels": metadata.labels.unwrap_or_default(),
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": resources::CRON_JOBS.api_version(),
                    "kind": resources::CRON_JOBS.kind,
                    "name": header.name.as_str(),
                    "uid": header.uid.as_str(),
                    "controller": true,
                    "blockOwnerDeletion": true,
                }],
            },
            "spec": template.spec,
        });
        // Somebody else made it (409): it is made.
        Op::create(resources::JOBS, &header.namespace, &job)
            .tolerating(&[409])
            .on_success(Note::normal(&self.about, "SuccessfulCreate", "Created job {name}"))
            .on_failure(Note::warning(&self.about, "FailedCreate", "Error creating job: {error}"))
    }
}
