//! What a Job says of itself, and how pods become numbers in it.
//!
//! A pod that is over is noted by its identity first; then its finalizer is removed; then, when it is seen without
//! one, its identity is replaced by one more in the count. Whatever is cut off in between is taken up where it was
//! left, and no pod is counted twice or forgotten.

use std::collections::BTreeSet;

use client::time;
use env::WallTime;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smol_str::SmolStr;

use super::outcome::Outcome;
use super::rules::Rules;
use super::tally::{Member, Tally};

/// Identities noted in one status; the rest follows when these are counted. Keeps a status below 20 KB.
pub const NOTED_AT_MOST: usize = 500;

/// The pods whose finalizers go, and what is to be noted before.
#[derive(Debug, Default)]
pub struct Counting<'a> {
    /// They lose their finalizers.
    pub through: Vec<&'a Member>,
    succeeded: Vec<String>,
    failed: Vec<String>,
    /// There are more.
    pub is_full: bool,
}

/// Finds the pods that can be counted.
pub fn count<'a>(
    rules: &Rules,
    tally: &'a Tally,
    outcome: Option<&Outcome>,
    is_deleting: bool,
) -> Counting<'a> {
    let mut counting = Counting::default();
    for member in tally.members.iter().filter(|member| member.is_tracked) {
        let may_go = is_deleting || outcome.is_some() || member.has_succeeded();
        let has_failed = member.failure.is_some() && !is_awaiting(tally, member);
        if !may_go && !has_failed {
            continue;
        }
        counting.through.push(member);
        counting.note(rules, tally, outcome, member);
        if counting.succeeded.len() + counting.failed.len() >= NOTED_AT_MOST {
            counting.is_full = true;
            break;
        }
    }
    counting
}

fn is_awaiting(tally: &Tally, member: &Member) -> bool {
    let awaiting = member.index.and_then(|index| tally.awaiting_replacement.get(&index));
    awaiting.is_some_and(|other| other.uid() == member.uid())
}

impl Counting<'_> {
    fn note(&mut self, rules: &Rules, tally: &Tally, outcome: Option<&Outcome>, member: &Member) {
        let uid = member.uid();
        if tally.uncounted_failed.contains(uid) || tally.uncounted_succeeded.contains(uid) {
            return;
        }
        if member.has_succeeded() {
            // Of those with an index the index itself is noted, and can be as often as one likes.
            if !rules.is_indexed {
                self.succeeded.push(uid.to_string());
            }
            return;
        }
        // What still ran when the Job failed has failed with it.
        let fails_with_job = outcome.is_some_and(|outcome| !outcome.is_success);
        let counts = match &member.failure {
            Some(verdict) => verdict.counts(),
            None => fails_with_job,
        };
        if counts && (!rules.is_indexed || member.index.is_some()) {
            self.failed.push(uid.to_string());
        }
    }
}

fn stamp(now: WallTime) -> Time {
    Time(time::timestamp(WallTime::from_secs(now.secs())))
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The status as it is becoming.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is so far.
    pub status: JobStatus,
    now: WallTime,
}

impl Draft {
    /// Begins with what was said last.
    pub fn new(status: JobStatus, now: WallTime) -> Draft {
        Draft { status, now }
    }

    /// What there is at this moment.
    pub fn observe(&mut self, rules: &Rules, tally: &Tally) {
        let ready = tally.active().filter(|member| member.pod.facts.is_ready).count();
        self.status.active = Some(number(tally.active().count()));
        self.status.ready = Some(number(ready));
        self.status.terminating = Some(number(tally.terminating()));
        if self.status.start_time.is_none() && !rules.is_suspended {
            self.status.start_time = Some(stamp(self.now));
        }
    }

    /// Turns noted pods that have lost their finalizers, or are gone, into numbers, and notes others.
    pub fn account(&mut self, rules: &Rules, tally: &Tally, counting: &Counting<'_>) {
        let held: BTreeSet<&SmolStr> =
            tally.members.iter().filter(|member| member.is_tracked).map(Member::uid).collect();
        let mut noted = self.status.uncounted_terminated_pods.take().unwrap_or_default();
        settle(&mut noted.succeeded, &mut self.status.succeeded, &held, &counting.succeeded);
        settle(&mut noted.failed, &mut self.status.failed, &held, &counting.failed);
        self.status.uncounted_terminated_pods = Some(noted);
        if rules.is_indexed {
            let text = tally.succeeded_indexes.to_string();
            self.status.completed_indexes = (!text.is_empty()).then_some(text);
            self.status.succeeded = Some(i32::try_from(tally.succeeded_indexes.total()).unwrap_or(i32::MAX));
            self.status.failed_indexes = tally.failed_indexes.as_ref().map(ToString::to_string);
        }
    }

    /// Whether every pod that is over is a number.
    pub fn is_accounted(&self) -> bool {
        let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        let noted = self.status.uncounted_terminated_pods.as_ref();
        noted.is_none_or(|noted| is_empty(&noted.succeeded) && is_empty(&noted.failed))
    }

    /// Says how it will end, or how it ended.
    pub fn conclude(&mut self, kind: &str, outcome: &Outcome) {
        self.set(kind, "True", &outcome.reason, &outcome.message);
        if kind == "Complete" {
            self.status.completion_time = Some(stamp(self.now));
        }
    }

    /// Says whether it is suspended. Answers whether that is news. The clock starts anew with each resumption.
    pub fn suspend(&mut self, is_suspended: bool) -> bool {
        if is_suspended {
            return self.set("Suspended", "True", "JobSuspended", "Job suspended");
        }
        let was_told =
            self.status.conditions.iter().flatten().any(|condition| condition.type_ == "Suspended");
        let is_news = was_told && self.set("Suspended", "False", "JobResumed", "Job resumed");
        if is_news {
            self.status.start_time = Some(stamp(self.now));
        }
        is_news
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let condition = JobCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: text(reason),
            message: text(message),
            last_probe_time: Some(stamp(self.now)),
            last_transition_time: Some(stamp(self.now)),
        };
        let conditions = self.status.conditions.get_or_insert_default();
        let Some(known) = conditions.iter_mut().find(|known| known.type_ == kind) else {
            conditions.push(condition);
            return true;
        };
        let is_same = known.status == condition.status
            && known.reason == condition.reason
            && known.message == condition.message;
        if !is_same {
            *known = condition;
        }
        !is_same
    }
}

fn settle(
    noted: &mut Option<Vec<String>>,
    counter: &mut Option<i32>,
    held: &BTreeSet<&SmolStr>,
    more: &[String],
) {
    let before = noted.take().unwrap_or_default();
    let total = before.len();
    let mut left: Vec<String> = before.into_iter().filter(|uid| held.contains(&SmolStr::new(uid))).collect();
    let settled = number(total - left.len());
    if settled > 0 {
        *counter = Some(counter.unwrap_or(0).saturating_add(settled));
    }
    left.extend(more.iter().cloned());
    *noted = (!left.is_empty()).then_some(left);
}
