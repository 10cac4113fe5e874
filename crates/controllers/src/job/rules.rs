//! What a Job asks for, with everything filled in.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, PodFailurePolicy, SuccessPolicy};

/// Who works on Jobs that name nobody, or us.
pub const MANAGER: &str = "kubernetes.io/job-controller";

/// What a Job asks for.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Pods at the same time.
    pub parallelism: usize,
    /// Successes; none means that one success is all it takes, and the pods agree among themselves.
    pub completions: Option<u32>,
    /// Each pod has an index of its own.
    pub is_indexed: bool,
    /// Failures that are one too many.
    pub backoff_limit: i64,
    /// The same for each index.
    pub backoff_limit_per_index: Option<i32>,
    /// Failed indexes that are not yet too many.
    pub max_failed_indexes: Option<u64>,
    /// Pods are replaced when they have failed, not already when they are on their way out.
    pub replaces_failed_only: bool,
    /// Nothing shall run.
    pub is_suspended: bool,
    /// How long it may take.
    pub deadline: Option<Duration>,
    /// Containers are restarted where they failed.
    pub restarts_in_place: bool,
    /// Which failures mean what.
    pub failure_policy: Option<PodFailurePolicy>,
    /// Which successes are enough.
    pub success_policy: Option<SuccessPolicy>,
}

fn natural(number: Option<i32>) -> Option<u32> {
    number.map(|number| u32::try_from(number).unwrap_or(0))
}

impl Rules {
    /// From the Job.
    pub fn of(job: &Job) -> Rules {
        let spec = job.spec.clone().unwrap_or_default();
        let restart_policy = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref());
        Rules {
            parallelism: natural(spec.parallelism).map_or(1, |count| count as usize),
            completions: natural(spec.completions),
            is_indexed: spec.completion_mode.as_deref() == Some("Indexed"),
            backoff_limit: i64::from(spec.backoff_limit.unwrap_or(6)),
            backoff_limit_per_index: spec.backoff_limit_per_index,
            max_failed_indexes: natural(spec.max_failed_indexes).map(u64::from),
            replaces_failed_only: spec.pod_replacement_policy.as_deref() == Some("Failed"),
            is_suspended: spec.suspend == Some(true),
            deadline: spec
                .active_deadline_seconds
                .map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0))),
            restarts_in_place: restart_policy == Some("OnFailure"),
            failure_policy: spec.pod_failure_policy,
            success_policy: spec.success_policy,
        }
    }

    /// The number of indexes, where there are any.
    pub fn indexes(&self) -> Option<u32> {
        self.completions.filter(|_| self.is_indexed)
    }
}

/// Whether somebody else works on it.
pub fn is_managed_elsewhere(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_some_and(|manager| manager != MANAGER)
}

/// Whether it has a condition of a kind that is true.
pub fn has_condition(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether it is over.
pub fn is_finished(job: &Job) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}
