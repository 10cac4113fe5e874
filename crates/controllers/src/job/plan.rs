//! What is done about a Job: first it is told what is known, then pods are let go, then pods are removed or made.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::resources;
use env::WallTime;
use k8s_openapi::api::batch::v1::Job;
use machinery::selector::LabelSelector;
use machinery::{Object, Status};

use super::outcome::{self, Outcome};
use super::pods::{self, Maker};
use super::rules::{self, Rules};
use super::status::{self, Counting, Draft};
use super::tally::{FINALIZER, Member, Tally};
use super::{backoff, victims};
use crate::claim::Owner;
use crate::pod::Pod;

/// Pods made or removed in one go; the rest follows when the cache has seen these.
const BURST: usize = 500;

/// All that the plan for a Job depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Job.
    pub object: Object,
    /// The same, typed.
    pub job: Arc<Job>,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// Pods it owns, and pods of its namespace that nobody owns.
    pub pods: Vec<Pod>,
}

/// Lets go of pods that wait to be counted by a Job that is gone, or over.
pub fn free(strays: &[Pod]) -> Plan {
    let mut plan = Plan::nothing();
    let held =
        strays.iter().filter(|pod| pod.object.header().finalizers.iter().any(|held| held == FINALIZER));
    let ops: Vec<Op> = held.map(|pod| pods::release_counted(&pod.object)).collect();
    if !ops.is_empty() {
        plan.because(format!("nobody counts {} pods any more", ops.len()));
    }
    plan.push_together(ops);
    plan
}

/// Decides about one Job.
pub fn plan(view: &View, now: WallTime) -> Plan {
    decide(view, now).unwrap_or_else(|status| Plan { retry: Some(status.message), ..Plan::default() })
}

fn decide(view: &View, now: WallTime) -> Result<Plan, Status> {
    if rules::is_managed_elsewhere(&view.job) {
        return Ok(Plan::nothing());
    }
    let owner = Owner { resource: resources::JOBS, object: &view.object, selector: &view.selector };
    if rules::is_finished(&view.job) {
        let uid = &view.object.header().uid;
        let is_ours = |pod: &&Pod| pod.object.header().controller().is_some_and(|owner| owner.uid == *uid);
        return Ok(free(&view.pods.iter().filter(is_ours).cloned().collect::<Vec<Pod>>()));
    }
    let mut plan = Plan::nothing();
    let ours = pods::claim(&mut plan, &owner, &view.pods);
    let rules = Rules::of(&view.job);
    let before = view.job.status.clone().unwrap_or_default();
    let tally = Tally::of(&rules, &before, ours)?;
    let outcome = outcome::decide(&view.job, &rules, &tally, now);
    let is_deleting = view.object.header().deleting;
    let counting = status::count(&rules, &tally, outcome.as_ref(), is_deleting);
    let work = Work { view, rules: &rules, tally: &tally, now };
    work.tell(&mut plan, Draft::new(before, now), outcome.as_ref(), &counting)?;
    match &outcome {
        Some(outcome) => work.wind_up(&mut plan, outcome, &counting),
        None => {
            let through = counting.through.iter().map(|member| pods::release_counted(&member.pod.object));
            plan.push_together(through.collect());
            if !is_deleting {
                work.manage(&mut plan, owner);
            }
            if let Some(deadline) = outcome::deadline(&view.job, &rules) {
                plan.requeue(deadline.since(now));
            }
        }
    }
    Ok(plan)
}

/// What a plan is made from.
struct Work<'a> {
    view: &'a View,
    rules: &'a Rules,
    tally: &'a Tally,
    now: WallTime,
}

impl Work<'_> {
    /// Writes what is known. It is the first step: what is decided below is never forgotten.
    fn tell(
        &self,
        plan: &mut Plan,
        mut draft: Draft,
        outcome: Option<&Outcome>,
        counting: &Counting<'_>,
    ) -> Result<(), Status> {
        draft.observe(self.rules, self.tally);
        draft.account(self.rules, self.tally, counting);
        let about = About::object(&self.view.object);
        let mut note = None;
        if let Some(outcome) = outcome {
            plan.because(if outcome.message.is_empty() {
                "it is done".to_owned()
            } else {
                outcome.message.clone()
            });
            draft.conclude(outcome.interim(), outcome);
            let is_quiet = self.tally.active().next().is_none() && self.tally.terminating() == 0;
            if is_quiet && counting.through.is_empty() && draft.is_accounted() {
                draft.conclude(outcome.condition(), outcome);
                note = Some(end_note(&about, outcome));
            }
        } else if !self.view.object.header().deleting && draft.suspend(self.rules.is_suspended) {
            note = Some(match self.rules.is_suspended {
                true => Note::normal(&about, "Suspended", "Job suspended"),
                false => Note::normal(&about, "Resumed", "Job resumed"),
            });
        }
        let Some(mut op) = Op::update_status(resources::JOBS, &self.view.object, &draft.status)? else {
            return Ok(());
        };
        if draft.status.completion_time.is_some() && self.has_too_many() {
            let told = "Too many succeeded pods running after completion count reached";
            plan.notes.push(Note::warning(&about, "TooManySucceededPods", told));
        }
        op.success = note;
        plan.push(op);
        Ok(())
    }

    fn has_too_many(&self) -> bool {
        self.rules.completions.is_some_and(|completions| self.tally.succeeded > u64::from(completions))
    }

    /// Nothing shall run any more, and everything is counted.
    fn wind_up(&self, plan: &mut Plan, outcome: &Outcome, counting: &Counting<'_>) {
        let job = &self.view.object;
        let removals = || self.tally.active().map(|member| pods::remove(job, &member.pod.object)).collect();
        let through =
            || counting.through.iter().map(|member| pods::release_counted(&member.pod.object)).collect();
        if outcome.is_success {
            // What others have made superfluous did not fail: it is let go first, so that nobody counts it.
            plan.push_together(through());
            plan.push_together(removals());
        } else {
            plan.push_together(removals());
            plan.push_together(through());
        }
    }

    /// Removes what is too much, or makes what is missing.
    fn manage(&self, plan: &mut Plan, owner: Owner<'_>) {
        let active: Vec<&Member> = self.tally.active().collect();
        let wanted = self.wanted(active.len());
        let surplus = active.len().saturating_sub(wanted);
        let mut goes = victims::choose(&active, surplus, self.rules.is_indexed, self.now);
        if !goes.is_empty() {
            if !self.rules.is_suspended {
                goes.truncate(BURST);
            }
            plan.because(if self.rules.is_suspended {
                format!("it is suspended; removes {} pods", goes.len())
            } else {
                format!("{wanted} pods are wanted; removes {}", goes.len())
            });
            let held = goes.iter().filter(|member| member.is_tracked);
            plan.push_together(held.map(|member| pods::release_counted(&member.pod.object)).collect());
            let removals = goes.iter().map(|member| pods::remove(&self.view.object, &member.pod.object));
            plan.push_together(removals.collect());
            return;
        }
        let going = if self.rules.replaces_failed_only { self.tally.terminating() } else { 0 };
        let missing = wanted.saturating_sub(going + active.len());
        if missing > 0 && !self.rules.is_suspended {
            self.make(plan, owner, missing.min(BURST));
        }
    }

    /// How many pods there should be.
    fn wanted(&self, active: usize) -> usize {
        if self.rules.is_suspended {
            return 0;
        }
        match self.rules.completions {
            // Once one has succeeded, the others only finish what they do.
            None if self.tally.succeeded > 0 => active,
            None => self.rules.parallelism,
            Some(completions) => {
                let left = u64::from(completions).saturating_sub(self.tally.succeeded);
                self.rules.parallelism.min(usize::try_from(left).unwrap_or(usize::MAX))
            }
        }
    }

    fn make(&self, plan: &mut Plan, owner: Owner<'_>, missing: usize) {
        let counts_by_index = self.rules.backoff_limit_per_index.is_some();
        if !counts_by_index {
            let wait = backoff::of_job(self.tally, self.now);
            if !wait.is_zero() {
                plan.because(format!("waits {} s after a failure", wait.as_secs()));
                plan.requeue(wait);
                return;
            }
        }
        let indexes = match self.rules.indexes() {
            None => vec![None; missing],
            Some(completions) => self.due_indexes(plan, missing, completions),
        };
        let template = self.view.job.spec.as_ref().map(|spec| &spec.template);
        let Some(template) = template.filter(|_| !indexes.is_empty()) else { return };
        plan.because(format!("{missing} pods are missing; makes {}", indexes.len()));
        let is_indexed = self.rules.is_indexed;
        let maker = Maker { owner, template, tally: self.tally, is_indexed, counts_by_index };
        // In batches of 1, 2, 4, …: if none can be made, only one failure is had.
        let mut ops = indexes.into_iter().map(|index| maker.make(index));
        let mut batch = 1;
        loop {
            let together: Vec<Op> = ops.by_ref().take(batch).collect();
            if together.is_empty() {
                return;
            }
            plan.push_together(together);
            batch *= 2;
        }
    }

    /// The lowest indexes that have no pod and need not wait.
    fn due_indexes(&self, plan: &mut Plan, missing: usize, completions: u32) -> Vec<Option<u32>> {
        let is_busy = |member: &&Member| {
            member.pod.facts.is_active() || (self.rules.replaces_failed_only && member.is_terminating())
        };
        let busy = self.tally.members.iter().filter(is_busy).filter_map(|member| member.index);
        let mut taken = self.tally.succeeded_indexes.union(&super::indexes::Indexes::of(busy));
        if let Some(failed) = &self.tally.failed_indexes {
            taken = taken.union(failed);
        }
        let mut waits = BTreeMap::new();
        let due = taken.missing(missing, completions).into_iter().filter(|index| {
            let wait = backoff::of_index(self.tally.awaiting_replacement.get(index), self.now);
            if !wait.is_zero() {
                waits.insert(*index, wait);
            }
            wait.is_zero()
        });
        let due = due.map(Some).collect();
        for wait in waits.values() {
            plan.requeue(*wait);
        }
        due
    }
}

fn end_note(about: &About, outcome: &Outcome) -> Note {
    if outcome.is_success {
        return Note::normal(about, "Completed", "Job completed");
    }
    let reason = match outcome.reason.as_str() {
        "PodFailurePolicy" => "PodFailurePolicy",
        "BackoffLimitExceeded" => "BackoffLimitExceeded",
        "DeadlineExceeded" => "DeadlineExceeded",
        "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
        "FailedIndexes" => "FailedIndexes",
        _ => "Failed",
    };
    Note::warning(about, reason, outcome.message.clone())
}
