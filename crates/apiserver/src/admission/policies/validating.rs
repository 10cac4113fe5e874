//! `ValidatingAdmissionPolicy`: policies that refuse, warn, or note for the audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::cel::Val;
use machinery::status::{Cause, GroupName};
use machinery::{Reason, Status, Value};

use super::super::{Review, Surroundings};
use super::catalog::{Binding, Catalog, Hook, Policy, Rule};
use super::evaluation::Evaluator;
use super::is_exempt;
use super::parameters;
use super::subject::Subject;
use crate::authz::Union;

/// How long a message that an expression makes may be.
const MESSAGE_MAX: usize = 5 * 1024;
/// How long an annotation of the audit log may be.
const ANNOTATION_MAX: usize = 10 * 1024;
/// What the audit log calls a rule that was broken.
const FAILURE_NOTE: &str = "validation.policy.admission.k8s.io/validation_failure";

/// All policies that refuse.
#[derive(Debug)]
pub(in super::super) struct ValidatingPolicies {
    catalog: Catalog,
    authorizer: Arc<Union>,
}

/// A rule that a write breaks.
#[derive(Debug)]
struct Broken {
    message: String,
    /// Empty for the usual one.
    reason: String,
    /// Which rule.
    position: usize,
}

/// What a policy says about a write with one parameter.
#[derive(Debug, Default)]
struct Findings {
    broken: Vec<Broken>,
    annotations: Vec<(String, String)>,
    /// Annotations that have no value, although they must have one.
    failed: Vec<String>,
}

impl ValidatingPolicies {
    pub fn new(authorizer: &Arc<Union>) -> ValidatingPolicies {
        let catalog = Catalog::new("validatingadmissionpolicies", "validatingadmissionpolicybindings");
        ValidatingPolicies { catalog, authorizer: authorizer.clone() }
    }

    /// Asks all policies that a write is a matter of; the first that refuses is the one that is told of.
    pub async fn validate(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        let hooks = self.catalog.hooks(around.caches);
        if hooks.is_empty() || is_exempt(review) {
            return Ok(());
        }
        let mut denial = None;
        for hook in hooks.iter() {
            // What most writes do not meet takes no room in all of them.
            Box::pin(self.ask(hook, review, around, &mut denial)).await?;
        }
        match denial {
            None => Ok(()),
            Some((message, reason)) => Err(refusal(review, &message, &reason)),
        }
    }

    async fn ask(
        &self,
        hook: &Hook,
        review: &mut Review<'_>,
        around: Surroundings<'_>,
        denial: &mut Option<(String, String)>,
    ) -> Result<(), Status> {
        let policy = &hook.policy;
        let found = match &policy.compiled {
            Ok(compiled) => compiled.constraints.find(review, around).map_err(|status| status.message),
            Err(why) => Err(why.clone()),
        };
        let served = match found {
            Ok(Some(served)) => served,
            Ok(None) => return Ok(()),
            Err(why) => {
                misconfigured(denial, policy, None, &why);
                return Ok(());
            }
        };
        let mut subject = None;
        let mut notes = Notes::new();
        for binding in &hook.bindings {
            let params = match parameters::for_binding(policy, binding, review, around).await {
                Ok(params) => params,
                Err(why) => {
                    misconfigured(denial, policy, Some(binding), &why);
                    continue;
                }
            };
            for params in &params {
                let subject = match &subject {
                    Some(subject) => subject,
                    None => {
                        let fresh = Subject::new(review, &served, around, &self.authorizer).await?;
                        subject.insert(fresh)
                    }
                };
                let findings = Findings::of(policy, subject, params);
                act(findings, (policy, binding), (review, &mut notes), denial);
            }
        }
        for (key, values) in notes {
            review.note(&format!("{}/{key}", policy.name), values.join(", "));
        }
        Ok(())
    }
}

/// What a policy wants to have noted, by key; its bindings may say different things.
type Notes = BTreeMap<String, Vec<String>>;

/// Refuses because nobody can tell what a policy or a binding says, unless that does not matter.
fn misconfigured(
    denial: &mut Option<(String, String)>,
    policy: &Policy,
    binding: Option<&Binding>,
    why: &str,
) {
    if !policy.is_ignoring_failures {
        let what = if binding.is_none() { "policy" } else { "binding" };
        deny(denial, policy, binding, (&format!("failed to configure {what}: {why}"), ""));
    }
}

/// Does what a binding says is to be done about what was found.
fn act(
    findings: Findings,
    (policy, binding): (&Policy, &Binding),
    (review, notes): (&mut Review<'_>, &mut Notes),
    denial: &mut Option<(String, String)>,
) {
    let actions = binding.spec.get("validationActions");
    for broken in findings.broken {
        for action in actions.items() {
            match action.str_or_empty() {
                "Deny" => deny(denial, policy, Some(binding), (&broken.message, &broken.reason)),
                "Warn" => review.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    policy.name, binding.name, broken.message
                )),
                _ => review.note(FAILURE_NOTE, failure_note(&broken, policy, binding)),
            }
        }
    }
    for (key, value) in findings.annotations {
        let values = notes.entry(key).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    for failed in findings.failed {
        deny(denial, policy, Some(binding), (&failed, ""));
    }
}

/// What the audit log says of a rule that was broken.
fn failure_note(broken: &Broken, policy: &Policy, binding: &Binding) -> String {
    let position = i64::try_from(broken.position).unwrap_or(i64::MAX);
    let note = Value::from([
        ("message", Value::from(broken.message.as_str())),
        ("policy", Value::from(policy.name.as_str())),
        ("binding", Value::from(binding.name.as_str())),
        ("expressionIndex", Value::Int(position)),
        ("validationActions", binding.spec.get("validationActions").clone()),
    ]);
    machinery::json::to_string(&Value::from(vec![note]))
}

/// Refuses, unless somebody did before.
fn deny(
    denial: &mut Option<(String, String)>,
    policy: &Policy,
    binding: Option<&Binding>,
    (message, reason): (&str, &str),
) {
    let with = binding.map(|binding| format!(" with binding '{}'", binding.name)).unwrap_or_default();
    let message = format!("ValidatingAdmissionPolicy '{}'{with} denied request: {message}", policy.name);
    denial.get_or_insert((message, reason.to_owned()));
}

/// The answer to who is refused.
fn refusal(review: &Review<'_>, message: &str, reason: &str) -> Status {
    let mut status = refused(review, message);
    let (reason, code) = match reason {
        "Forbidden" => (Reason::Forbidden, 403),
        "Unauthorized" => (Reason::Unauthorized, 401),
        "RequestEntityTooLarge" => (Reason::RequestEntityTooLarge, 413),
        _ => (Reason::Invalid, 422),
    };
    status.reason = reason;
    status.code = code;
    status.caused_by(Cause { message: message.to_owned(), ..Cause::default() })
}

/// 403, about what is written.
pub(in super::super) fn refused(review: &Review<'_>, message: &str) -> Status {
    let metadata = review.object.get("metadata");
    let names =
        [review.name, metadata.get("name").str_or_empty(), metadata.get("generateName").str_or_empty()];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let resource = GroupName { group: &review.served.group, name: &review.served.plural };
    Status::forbidden(resource, name, message)
}

impl Findings {
    /// What a policy says.
    fn of(policy: &Policy, subject: &Subject, params: &Value) -> Findings {
        let Ok(compiled) = &policy.compiled else { return Findings::default() };
        let failed = |message: String| {
            let broken = Broken { message, reason: String::new(), position: 0 };
            let broken = if policy.is_ignoring_failures { Vec::new() } else { vec![broken] };
            Findings { broken, ..Findings::default() }
        };
        let mut evaluator = Evaluator::new(compiled, subject, params);
        match evaluator.has_conditions() {
            Ok(true) => {}
            Ok(false) => return Findings::default(),
            Err(why) => return failed(why),
        }
        let mut findings = Findings::default();
        for (position, rule) in compiled.rules.iter().enumerate() {
            let value = match evaluator.evaluate(&rule.expression) {
                Ok(value) => value,
                Err(exhausted) => return failed(exhausted.to_string()),
            };
            let broken = match value {
                Ok(value) if value.is_true() => continue,
                Ok(_) => {
                    let reason = rule.document.get("reason").str_or_empty().to_owned();
                    Broken { message: message(rule, &mut evaluator), reason, position }
                }
                Err(_) if policy.is_ignoring_failures => continue,
                Err(message) => Broken { message, reason: String::new(), position },
            };
            findings.broken.push(broken);
        }
        findings.annotate(policy, &mut Evaluator::new(compiled, subject, params));
        findings
    }

    /// What the policy wants to have noted.
    fn annotate(&mut self, policy: &Policy, evaluator: &mut Evaluator<'_>) {
        let Ok(compiled) = &policy.compiled else { return };
        for (key, expression) in &compiled.annotations {
            let value = match evaluator.evaluate(expression) {
                Ok(value) => value,
                Err(exhausted) => Err(exhausted.to_string()),
            };
            match value {
                Ok(Val::String(text)) if !text.trim().is_empty() => {
                    let text = text.trim();
                    let end =
                        (0..=text.len().min(ANNOTATION_MAX)).rev().find(|end| text.is_char_boundary(*end));
                    self.annotations.push((key.clone(), text[..end.unwrap_or(0)].to_owned()));
                }
                Ok(_) => {}
                Err(_) if policy.is_ignoring_failures => {}
                Err(why) => self.failed.push(why),
            }
        }
    }
}

/// The message about a rule that was broken: what its expression says, or its text, or the rule itself.
fn message(rule: &Rule, evaluator: &mut Evaluator<'_>) -> String {
    if let Some(program) = &rule.message {
        match evaluator.run(program) {
            Ok(Ok(Val::String(text))) => {
                let text = text.trim();
                if !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n') {
                    return text.to_owned();
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the message of a policy has no value"),
            Err(exhausted) => return format!("failed messageExpression: {exhausted}"),
        }
    }
    match rule.document.get("message").str_or_empty().trim() {
        "" => format!("failed expression: {}", rule.expression.text.trim()),
        message => message.to_owned(),
    }
}
