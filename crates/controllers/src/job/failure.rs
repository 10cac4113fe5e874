//! What the failure of a pod means, by the rules of its Job's failure policy.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use machinery::{Object, Status};

/// What a failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of those the back-off limit allows.
    Counts,
    /// It did not happen.
    Ignored,
    /// The whole Job fails, with what is told of it.
    FailsJob(String),
    /// Its index fails.
    FailsIndex,
}

impl Verdict {
    /// Whether the Job has one failure more.
    pub fn counts(&self) -> bool {
        *self != Verdict::Ignored
    }
}

/// Judges a pod that failed: the first rule that fits decides.
pub fn judge(policy: Option<&PodFailurePolicy>, pod: &Object, per_index: bool) -> Result<Verdict, Status> {
    let Some(policy) = policy else { return Ok(Verdict::Counts) };
    let pod = pod.view::<Pod>()?;
    let status = pod.status.clone().unwrap_or_default();
    let key = format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default()
    );
    for (position, rule) in policy.rules.iter().enumerate() {
        let told = if let Some(required) = &rule.on_exit_codes {
            container_that_fits(&status, required).map(|(name, code)| {
                format!("Container {name} for pod {key} failed with exit code {code} matching {} rule at index {position}", rule.action)
            })
        } else {
            let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
            condition_that_fits(&status, patterns).map(|kind| {
                format!("Pod {key} has condition {kind} matching {} rule at index {position}", rule.action)
            })
        };
        let Some(told) = told else { continue };
        match rule.action.as_str() {
            "Ignore" => return Ok(Verdict::Ignored),
            "Count" => return Ok(Verdict::Counts),
            "FailJob" => return Ok(Verdict::FailsJob(told)),
            "FailIndex" if per_index => return Ok(Verdict::FailsIndex),
            // An action we do not know is one of a newer server; the next rule may fit.
            _ => {}
        }
    }
    Ok(Verdict::Counts)
}

/// The first container that ended with an exit code the rule is about.
fn container_that_fits(
    status: &PodStatus,
    required: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(String, i32)> {
    let fits = |container: &ContainerStatus| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let is_named = required.container_name.as_ref().is_none_or(|name| *name == container.name);
        let is_listed = required.values.contains(&code);
        let is_asked_for = match required.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            _ => false,
        };
        (code != 0 && is_named && is_asked_for).then(|| (container.name.clone(), code))
    };
    let containers = status.container_statuses.iter().flatten();
    containers.chain(status.init_container_statuses.iter().flatten()).find_map(fits)
}

fn condition_that_fits<'a>(
    status: &'a PodStatus,
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
) -> Option<&'a str> {
    let is_wanted = |kind: &str, value: &str| {
        patterns
            .iter()
            .any(|pattern| pattern.type_ == kind && pattern.status.as_deref().unwrap_or("True") == value)
    };
    let mut conditions = status.conditions.iter().flatten();
    conditions
        .find(|condition| is_wanted(&condition.type_, &condition.status))
        .map(|condition| condition.type_.as_str())
}
