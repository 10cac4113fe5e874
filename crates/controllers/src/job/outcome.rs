//! Whether a Job is over, and how.

use env::WallTime;
use k8s_openapi::api::batch::v1::{Job, SuccessPolicy};

use super::failure::Verdict;
use super::indexes::Indexes;
use super::rules::{Rules, has_condition};
use super::tally::Tally;

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Well, or badly.
    pub is_success: bool,
    /// One word for machines; empty for a success that needs no explanation.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Outcome {
    fn failure(reason: &str, message: impl Into<String>) -> Outcome {
        Outcome { is_success: false, reason: reason.to_owned(), message: message.into() }
    }

    /// What is told while its pods are still counted.
    pub fn interim(&self) -> &'static str {
        if self.is_success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// What is told when all is done.
    pub fn condition(&self) -> &'static str {
        if self.is_success { "Complete" } else { "Failed" }
    }
}

/// How it ends, if it does. What was told once stays so.
pub fn decide(job: &Job, rules: &Rules, tally: &Tally, now: WallTime) -> Option<Outcome> {
    told(job)
        .or_else(|| failed(job, rules, tally, now))
        .or_else(|| failed_by_index(rules, tally))
        .or_else(|| succeeded(rules, tally))
}

fn told(job: &Job) -> Option<Outcome> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    [("SuccessCriteriaMet", true), ("FailureTarget", false)].into_iter().find_map(|(kind, is_success)| {
        let condition =
            conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")?;
        Some(Outcome {
            is_success,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        })
    })
}

fn failed(job: &Job, rules: &Rules, tally: &Tally, now: WallTime) -> Option<Outcome> {
    let by_policy = tally.members.iter().find_map(|member| match &member.failure {
        Some(Verdict::FailsJob(told)) => Some(told.clone()),
        _ => None,
    });
    if let Some(told) = by_policy {
        return Some(Outcome::failure("PodFailurePolicy", told));
    }
    let restarted_too_often = rules.restarts_in_place && {
        let restarts = tally.restarts();
        if rules.backoff_limit == 0 { restarts > 0 } else { restarts >= rules.backoff_limit }
    };
    if tally.failed > rules.backoff_limit || restarted_too_often {
        let told = "Job has reached the specified backoff limit";
        return Some(Outcome::failure("BackoffLimitExceeded", told));
    }
    let overdue = deadline(job, rules).is_some_and(|deadline| deadline <= now);
    overdue.then(|| Outcome::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
}

/// When its time is up. The clock of a Job that is suspended stands still, until it was told that it goes on.
pub fn deadline(job: &Job, rules: &Rules) -> Option<WallTime> {
    let started = job.status.as_ref()?.start_time.as_ref()?;
    let stands_still = rules.is_suspended || has_condition(job, "Suspended");
    rules.deadline.filter(|_| !stands_still).map(|limit| client::time::wall(started.0).plus(limit))
}

fn failed_by_index(rules: &Rules, tally: &Tally) -> Option<Outcome> {
    let failed = tally.failed_indexes.as_ref()?.total();
    if rules.max_failed_indexes.is_some_and(|most| failed > most) {
        let told = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Outcome::failure("MaxFailedIndexesExceeded", told));
    }
    let all = u64::from(rules.completions.unwrap_or(0));
    let is_through = failed > 0 && failed + tally.succeeded_indexes.total() >= all;
    is_through.then(|| Outcome::failure("FailedIndexes", "Job has failed indexes"))
}

fn succeeded(rules: &Rules, tally: &Tally) -> Option<Outcome> {
    if let (Some(completions), Some(policy)) = (rules.indexes(), &rules.success_policy)
        && let Some(position) = rule_that_fits(policy, &tally.succeeded_indexes, completions)
    {
        let message = format!("Matched rules at index {position}");
        return Some(Outcome { is_success: true, reason: "SuccessPolicy".to_owned(), message });
    }
    let is_done = match rules.completions {
        // The pods share one piece of work: once one of them succeeds, the others only finish theirs.
        None => tally.succeeded > 0,
        Some(completions) => tally.succeeded >= u64::from(completions),
    };
    let is_quiet = tally.active().next().is_none();
    let plain = || Outcome {
        is_success: true,
        reason: "CompletionsReached".to_owned(),
        message: "Reached expected number of succeeded pods".to_owned(),
    };
    (is_done && is_quiet).then(plain)
}

fn rule_that_fits(policy: &SuccessPolicy, succeeded: &Indexes, completions: u32) -> Option<usize> {
    if succeeded.is_empty() {
        return None;
    }
    policy.rules.iter().position(|rule| {
        let enough = |count: u64| {
            rule.succeeded_count.is_some_and(|wanted| count >= u64::try_from(wanted).unwrap_or(0))
        };
        match &rule.succeeded_indexes {
            Some(text) => {
                let wanted = Indexes::parse(text, completions);
                let common = wanted.common(succeeded);
                !wanted.is_empty() && (common == wanted.total() || enough(common))
            }
            None => enough(succeeded.total()),
        }
    })
}
