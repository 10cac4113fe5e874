//! What a Job's pods say, added up with what was counted before.

use std::collections::{BTreeMap, BTreeSet};

use client::Key;
use k8s_openapi::api::batch::v1::JobStatus;
use machinery::Status;
use smol_str::SmolStr;

use super::failure::{self, Verdict};
use super::indexes::Indexes;
use super::rules::Rules;
use crate::pod::ending::Ending;
use crate::pod::{Phase, Pod};

/// Holds a pod until it is counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// A pod of the Job.
#[derive(Clone, Debug)]
pub struct Member {
    /// The pod.
    pub pod: Pod,
    /// Its index, where it has one the Job knows.
    pub index: Option<u32>,
    /// What its failure means; none if it has not failed.
    pub failure: Option<Verdict>,
    /// It was not counted yet: it still has the finalizer.
    pub is_tracked: bool,
}

impl Member {
    fn of(pod: Pod, rules: &Rules) -> Result<Member, Status> {
        let known = rules.indexes().unwrap_or(0);
        let index = pod.facts.ending.as_ref().and_then(|ending| ending.index).filter(|index| *index < known);
        // Those that are deleted count as failures, as orphans of a node that is gone never reach the phase Failed.
        let is_going = pod.facts.deletion.is_some() && !rules.replaces_failed_only;
        let has_failed = pod.facts.phase == Phase::Failed || (is_going && !pod.facts.phase.is_terminal());
        let per_index = rules.backoff_limit_per_index.is_some();
        let judge = || failure::judge(rules.failure_policy.as_ref(), &pod.object, per_index);
        let failure = if has_failed { Some(judge()?) } else { None };
        let is_tracked = pod.object.header().finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        Ok(Member { index, failure, is_tracked, pod })
    }

    /// Its identity.
    pub fn uid(&self) -> &SmolStr {
        &self.pod.object.header().uid
    }

    /// What is asked of pods that may end.
    pub fn ending(&self) -> Ending {
        self.pod.facts.ending.as_deref().cloned().unwrap_or_default()
    }

    /// Whether it ended well.
    pub fn has_succeeded(&self) -> bool {
        self.pod.facts.phase == Phase::Succeeded
    }

    /// Whether it is on its way out.
    pub fn is_terminating(&self) -> bool {
        self.pod.facts.deletion.is_some() && !self.pod.facts.phase.is_terminal()
    }

    /// Failures of its index before it, those that were ignored included.
    pub fn failures_before(&self) -> i32 {
        let ending = self.ending();
        ending.index_failures.saturating_add(ending.index_ignored)
    }

    /// Whether the Job can make use of it: it has an index if it needs one.
    fn is_valid(&self, rules: &Rules) -> bool {
        !rules.is_indexed || self.index.is_some()
    }
}

/// The sum of it all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The pods, by index and name.
    pub members: Vec<Member>,
    /// Pods that ended well and are noted, but not counted.
    pub uncounted_succeeded: BTreeSet<SmolStr>,
    /// Pods that failed and are noted, but not counted.
    pub uncounted_failed: BTreeSet<SmolStr>,
    /// All that ended well, counted or not.
    pub succeeded: u64,
    /// All that failed, counted or not.
    pub failed: i64,
    /// The indexes that ended well.
    pub succeeded_indexes: Indexes,
    /// The indexes that failed, where each has its own limit.
    pub failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that has none in its place yet. They stay until they have: from them it is told
    /// how often the index failed.
    pub awaiting_replacement: BTreeMap<u32, Member>,
}

fn uids(list: Option<&Vec<String>>) -> BTreeSet<SmolStr> {
    list.into_iter().flatten().map(SmolStr::new).collect()
}

impl Tally {
    /// Adds up.
    pub fn of(rules: &Rules, status: &JobStatus, pods: Vec<Pod>) -> Result<Tally, Status> {
        let members = pods.into_iter().map(|pod| Member::of(pod, rules));
        let mut members = members.collect::<Result<Vec<Member>, Status>>()?;
        let order = |member: &Member| (member.index, Key::of(&member.pod.object));
        members.sort_by_key(order);
        let noted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let mut tally = Tally {
            uncounted_succeeded: uids(noted.succeeded.as_ref()),
            uncounted_failed: uids(noted.failed.as_ref()),
            members,
            ..Tally::default()
        };
        let fresh = |noted: &BTreeSet<SmolStr>, is_one: &dyn Fn(&Member) -> bool| {
            let is_new = |member: &&Member| {
                member.is_tracked && !noted.contains(member.uid()) && member.is_valid(rules) && is_one(member)
            };
            tally.members.iter().filter(is_new).count() as u64
        };
        let counts = |member: &Member| member.failure.as_ref().is_some_and(Verdict::counts);
        let new_failed = fresh(&tally.uncounted_failed, &counts);
        let new_succeeded = fresh(&tally.uncounted_succeeded, &Member::has_succeeded);
        let before = |count: Option<i32>| i64::from(count.unwrap_or(0));
        tally.failed =
            before(status.failed) + (new_failed + tally.uncounted_failed.len() as u64).cast_signed();
        tally.succeeded = before(status.succeeded).max(0).cast_unsigned()
            + new_succeeded
            + tally.uncounted_succeeded.len() as u64;
        if let Some(completions) = rules.indexes() {
            tally.add_indexes(rules, status, completions);
        }
        Ok(tally)
    }

    fn add_indexes(&mut self, rules: &Rules, status: &JobStatus, completions: u32) {
        let known = |text: Option<&String>| Indexes::parse(text.map_or("", String::as_str), completions);
        let tracked = || self.members.iter().filter(|member| member.is_tracked);
        let done = tracked().filter(|member| member.has_succeeded()).filter_map(|member| member.index);
        self.succeeded_indexes = known(status.completed_indexes.as_ref()).union(&Indexes::of(done));
        self.succeeded = self.succeeded_indexes.total();
        let Some(limit) = rules.backoff_limit_per_index else { return };
        let is_last = |member: &&Member| match &member.failure {
            None | Some(Verdict::Ignored) => false,
            Some(Verdict::FailsIndex) => true,
            Some(_) => member.ending().index_failures >= limit,
        };
        let failed = tracked().filter(is_last).filter_map(|member| member.index);
        let failed_indexes = known(status.failed_indexes.as_ref()).union(&Indexes::of(failed));
        let active: BTreeSet<u32> = self.active().filter_map(|member| member.index).collect();
        let mut awaiting: BTreeMap<u32, Member> = BTreeMap::new();
        for member in tracked().filter(|member| member.failure.is_some()) {
            let Some(index) = member.index else { continue };
            if self.succeeded_indexes.has(index) || failed_indexes.has(index) || active.contains(&index) {
                continue;
            }
            let rank = |member: &Member| (member.failures_before(), member.ending().at);
            if awaiting.get(&index).is_none_or(|last| rank(last) <= rank(member)) {
                awaiting.insert(index, member.clone());
            }
        }
        self.awaiting_replacement = awaiting;
        self.failed_indexes = Some(failed_indexes);
    }

    /// The pods that are at work.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.pod.facts.is_active())
    }

    /// How many are on their way out.
    pub fn terminating(&self) -> usize {
        self.members.iter().filter(|member| member.is_terminating()).count()
    }

    /// The restarts of all containers of pods that are not over.
    pub fn restarts(&self) -> i64 {
        let running = self.members.iter().filter(|member| !member.pod.facts.phase.is_terminal());
        running.map(|member| i64::from(member.ending().restarts)).sum()
    }
}
