//! `MutatingAdmissionPolicy`: policies that change what is written.

use std::sync::Arc;

use machinery::cel::{Struct, Val};
use machinery::json::{self, Report};
use machinery::status::Cause;
use machinery::{Reason, Status, Value, apply, patch};

use super::super::rounds::Round;
use super::super::{Review, Surroundings};
use super::catalog::{Binding, Catalog, Compiled, Hook, Policy};
use super::evaluation::Evaluator;
use super::is_exempt;
use super::parameters;
use super::subject::{self, Subject};
use super::validating::refused;
use crate::authz::Union;
use crate::registry::Served;

/// All policies that change.
#[derive(Debug)]
pub(in super::super) struct MutatingPolicies {
    catalog: Catalog,
    authorizer: Arc<Union>,
}

/// A policy that a write is a matter of, with one of its bindings and parameters.
struct Invocation<'a> {
    policy: &'a Policy,
    compiled: &'a Compiled,
    binding: &'a Binding,
    served: Arc<Served>,
    params: Value,
    position: usize,
}

/// Why a policy could not be followed.
struct Failure {
    text: String,
    is_invalid: bool,
}

impl MutatingPolicies {
    pub fn new(authorizer: &Arc<Union>) -> MutatingPolicies {
        let catalog = Catalog::new("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
        MutatingPolicies { catalog, authorizer: authorizer.clone() }
    }

    /// Lets all policies that a write is a matter of change it, by name.
    pub async fn mutate(
        &self,
        review: &mut Review<'_>,
        around: Surroundings<'_>,
        round: &mut Round,
    ) -> Result<(), Status> {
        let hooks = self.catalog.hooks(around.caches);
        if hooks.is_empty() || is_exempt(review) || review.object.is_null() || !review.is_of_resource() {
            return Ok(());
        }
        let mut failures = Vec::new();
        let mut invocations = Vec::new();
        for hook in hooks.iter() {
            // What most writes do not meet takes no room in all of them; so below.
            Box::pin(collect(hook, review, around, (&mut invocations, &mut failures))).await;
        }
        for invocation in &invocations {
            let key = (invocation.policy.name.clone(), invocation.binding.name.clone(), invocation.position);
            if !round.is_due(&key) {
                continue;
            }
            match Box::pin(self.invoke(invocation, review, around)).await? {
                Ok(true) => round.has_changed(),
                Ok(false) => {}
                Err(failure) => fail(&mut failures, invocation.policy, Some(invocation.binding), failure),
            }
            if invocation.policy.spec.get("reinvocationPolicy").str_or_empty() == "IfNeeded" {
                round.was_asked(key);
            }
        }
        round.ends_with(&review.object);
        if failures.is_empty() { Ok(()) } else { Err(refusal(review, &failures)) }
    }

    /// Makes the changes of a policy; whether there were any.
    async fn invoke(
        &self,
        invocation: &Invocation<'_>,
        review: &mut Review<'_>,
        around: Surroundings<'_>,
    ) -> Result<Result<bool, Failure>, Status> {
        let mut subject = Subject::new(review, &invocation.served, around, &self.authorizer).await?;
        let before = subject.object.clone();
        let compiled = invocation.compiled;
        match Evaluator::new(compiled, &subject, &invocation.params).has_conditions() {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(false)),
            Err(text) => return Ok(Err(Failure { text, is_invalid: true })),
        }
        for rule in &compiled.rules {
            let mut evaluator = Evaluator::new(compiled, &subject, &invocation.params);
            let changed = match evaluator.evaluate(&rule.expression) {
                Ok(Ok(value)) => change(&subject.object, &value, &invocation.served),
                Ok(Err(text)) => Err(text),
                Err(exhausted) => Err(exhausted.to_string()),
            };
            match changed {
                Ok(object) => subject.object = object,
                Err(text) => return Ok(Err(Failure { text, is_invalid: true })),
            }
        }
        if subject.object == before {
            return Ok(Ok(false));
        }
        let is_same = Arc::ptr_eq(&invocation.served, review.served);
        review.object = if is_same {
            subject.object
        } else {
            subject::convert(&subject.object, &invocation.served, review.served, around).await?
        };
        Ok(Ok(true))
    }
}

async fn collect<'a>(
    hook: &'a Hook,
    review: &Review<'_>,
    around: Surroundings<'_>,
    (invocations, failures): (&mut Vec<Invocation<'a>>, &mut Vec<(String, bool)>),
) {
    let policy = &*hook.policy;
    let misconfigured = |what: &str, why: &str| Failure {
        text: format!("failed to configure {what}: {why}"),
        is_invalid: false,
    };
    let compiled = match &policy.compiled {
        Ok(compiled) => compiled,
        Err(why) => return fail(failures, policy, None, misconfigured("policy", why)),
    };
    let served = match compiled.constraints.find(review, around) {
        Ok(Some(served)) => served,
        Ok(None) => return,
        Err(why) => return fail(failures, policy, None, misconfigured("policy", &why.message)),
    };
    for binding in &hook.bindings {
        match parameters::for_binding(policy, binding, review, around).await {
            Err(why) => fail(failures, policy, Some(binding), misconfigured("binding", &why)),
            Ok(params) => {
                let with = |(position, params)| Invocation {
                    policy,
                    compiled,
                    binding,
                    served: served.clone(),
                    params,
                    position,
                };
                invocations.extend(params.into_iter().enumerate().map(with));
            }
        }
    }
}

/// Notes a failure, unless the policy says that failures do not matter.
fn fail(failures: &mut Vec<(String, bool)>, policy: &Policy, binding: Option<&Binding>, failure: Failure) {
    if policy.is_ignoring_failures {
        return;
    }
    let (name, text) = (&policy.name, &failure.text);
    let message = match binding {
        Some(binding) => {
            format!("policy '{name}' with binding '{}' denied request: {text}", binding.name)
        }
        None => format!("policy '{name}' denied request: {text}"),
    };
    failures.push((message, failure.is_invalid));
}

/// 403 with all that failed; the first is the message.
fn refusal(review: &Review<'_>, failures: &[(String, bool)]) -> Status {
    let mut status = refused(review, "admission request denied by policy");
    if let Some((message, is_invalid)) = failures.first() {
        status.message.clone_from(message);
        if *is_invalid {
            status.reason = Reason::Invalid;
        }
    }
    failures.iter().fold(status, |status, (message, _)| {
        status.caused_by(Cause { message: message.clone(), ..Cause::default() })
    })
}

/// The object with a change.
fn change(object: &Value, value: &Val<'_>, served: &Served) -> Result<Value, String> {
    let changed = match value {
        Val::Struct(inner) => merged(object, inner, value, served)?,
        Val::List(_) => patched(object, value)?,
        other => return Err(format!("unsupported return type from {} expression", other.ty())),
    };
    let Some(changed) = changed else { return Ok(object.clone()) };
    settled(&changed, served, Report::new())
}

/// The object with an apply configuration in it.
fn merged(
    object: &Value,
    inner: &Struct<'_>,
    value: &Val<'_>,
    served: &Served,
) -> Result<Option<Value>, String> {
    check_names(inner, "Object").map_err(|why| format!("type mismatch: {why}"))?;
    let mut config = value.to_document()?;
    config.set("apiVersion", served.api_version.as_str());
    config.set("kind", served.kind.as_str());
    let merged = apply::merge_unowned(object, &config, served.schema.root());
    merged.map(Some).map_err(|why| format!("error applying patch: {why}"))
}

/// Every object in an apply configuration is named by the fields that lead to it.
fn check_names(inner: &Struct<'_>, path: &str) -> Result<(), String> {
    if inner.ty.name() != path {
        return Err(format!(
            "unexpected type name \"{}\", expected \"{path}\", which matches field name path from root Object type",
            inner.ty.name()
        ));
    }
    inner.fields.iter().try_for_each(|(name, value)| check_value_names(value, &format!("{path}.{name}")))
}

fn check_value_names(value: &Val<'_>, path: &str) -> Result<(), String> {
    match value {
        Val::Struct(inner) => check_names(inner, path),
        Val::List(list) => list.items().flatten().try_for_each(|item| check_value_names(&item, path)),
        Val::Optional(Some(value)) => check_value_names(value, path),
        _ => Ok(()),
    }
}

/// The object with the operations of a JSON patch; `None` if one of its tests fails.
fn patched(object: &Value, value: &Val<'_>) -> Result<Option<Value>, String> {
    let mut operations = value.to_document()?;
    for operation in operations.items_mut() {
        if operation.get("from").str_or_empty().is_empty() {
            operation.remove("from");
        }
        for name in ["op", "path"] {
            if operation.get(name).is_null() {
                operation.set(name, "");
            }
        }
    }
    let mut patched = object.clone();
    for operation in operations.items() {
        let is_test = operation.get("op").str_or_empty() == "test";
        let bytes = json::to_vec(&Value::from(vec![operation.clone()]));
        match patch::json(patched, &bytes, &mut Report::ignoring()) {
            Ok(next) => patched = next,
            Err(_) if is_test => return Ok(None),
            Err(status) => return Err(format!("JSONPath: {}", status.message)),
        }
    }
    Ok(Some(patched))
}

/// A changed document as the kind's schema has it, with defaults for what is new.
pub(in super::super) fn settled(
    changed: &Value,
    served: &Served,
    mut report: Report,
) -> Result<Value, String> {
    let decoded = json::decode(&json::to_vec(changed), served.schema.root(), &mut report);
    let mut object = decoded.map_err(|error| error.to_string())?;
    let findings = report.strict_errors();
    if !findings.is_empty() {
        return Err(format!("strict decoding error: {}", findings.join(", ")));
    }
    object.set("kind", served.kind.as_str());
    object.set("apiVersion", served.api_version.as_str());
    served.rules.default(&mut object);
    json::canonicalize(&mut object, served.schema.root());
    Ok(object)
}
