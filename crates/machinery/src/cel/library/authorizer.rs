//! Asking the authorizer.

use std::sync::Arc;

use super::super::authorizer::{Authorizer, Check, Decision, Question};
use super::super::failure::{Failure, Outcome};
use super::super::value::{Opaque, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    (
        "authorizer_path",
        "(kubernetes.authorization.Authorizer).path(string) kubernetes.authorization.PathCheck",
        path,
    ),
    (
        "authorizer_group",
        "(kubernetes.authorization.Authorizer).group(string) kubernetes.authorization.GroupCheck",
        group,
    ),
    (
        "authorizer_serviceaccount",
        "(kubernetes.authorization.Authorizer).serviceAccount(string, string) kubernetes.authorization.Authorizer",
        service_account,
    ),
    (
        "pathcheck_check",
        "(kubernetes.authorization.PathCheck).check(string) kubernetes.authorization.Decision",
        check,
    ),
    (
        "groupcheck_resource",
        "(kubernetes.authorization.GroupCheck).resource(string) kubernetes.authorization.ResourceCheck",
        resource,
    ),
    (
        "resourcecheck_subresource",
        "(kubernetes.authorization.ResourceCheck).subresource(string) kubernetes.authorization.ResourceCheck",
        subresource,
    ),
    (
        "resourcecheck_namespace",
        "(kubernetes.authorization.ResourceCheck).namespace(string) kubernetes.authorization.ResourceCheck",
        namespace,
    ),
    (
        "resourcecheck_name",
        "(kubernetes.authorization.ResourceCheck).name(string) kubernetes.authorization.ResourceCheck",
        name,
    ),
    (
        "resourcecheck_field_selector",
        "(kubernetes.authorization.ResourceCheck).fieldSelector(string) kubernetes.authorization.ResourceCheck",
        field_selector,
    ),
    (
        "resourcecheck_label_selector",
        "(kubernetes.authorization.ResourceCheck).labelSelector(string) kubernetes.authorization.ResourceCheck",
        label_selector,
    ),
    (
        "resourcecheck_check",
        "(kubernetes.authorization.ResourceCheck).check(string) kubernetes.authorization.Decision",
        check,
    ),
    ("decision_allowed", "(kubernetes.authorization.Decision).allowed() bool", allowed),
    ("decision_reason", "(kubernetes.authorization.Decision).reason() string", reason),
    ("decision_error", "(kubernetes.authorization.Decision).error() string", error),
    ("decision_errored", "(kubernetes.authorization.Decision).errored() bool", errored),
];

type Asked = (Arc<dyn Authorizer>, Question);

fn val<'a>(check: Check) -> Outcome<'a> {
    Ok(Val::Opaque(Opaque::Authorizer(Arc::new(check))))
}

fn of<'v>(value: &'v Val<'_>) -> Option<&'v Check> {
    match value {
        Val::Opaque(Opaque::Authorizer(check)) => Some(check),
        _ => None,
    }
}

/// Makes a question more precise.
fn refine<'a>(
    arguments: &[Val<'a>],
    from: impl Fn(&Check) -> Option<Asked>,
    to: impl Fn(Arc<dyn Authorizer>, Question) -> Check,
    set: impl Fn(&mut Question, String),
) -> Outcome<'a> {
    let [target, Val::String(text)] = arguments else { return misfit() };
    let Some((authorizer, mut question)) = of(target).and_then(from) else { return misfit() };
    set(&mut question, text.to_string());
    val(to(authorizer, question))
}

fn started(check: &Check) -> Option<Asked> {
    match check {
        Check::Start(authorizer, question) => Some((authorizer.clone(), question.clone())),
        _ => None,
    }
}

fn about_resource(check: &Check) -> Option<Asked> {
    match check {
        Check::Resource(authorizer, question) => Some((authorizer.clone(), question.clone())),
        _ => None,
    }
}

fn path<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    if matches!(arguments, [_, Val::String(path)] if path.is_empty()) {
        return Err(Failure::new("path must not be empty"));
    }
    refine(arguments, started, Check::Path, |question, path| question.path = path)
}

fn group<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, started, Check::Group, |question, group| question.group = group)
}

fn service_account<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [target, Val::String(namespace), Val::String(name)] = arguments else { return misfit() };
    let Some((authorizer, mut question)) = of(target).and_then(started) else { return misfit() };
    if let Some(fault) = crate::names::dns1123_label(namespace).first() {
        return Err(Failure::new(format!("Invalid service account namespace: {fault}")));
    }
    if let Some(fault) = crate::names::dns1123_subdomain(name).first() {
        return Err(Failure::new(format!("Invalid service account name: {fault}")));
    }
    question.service_account = Some((namespace.to_string(), name.to_string()));
    val(Check::Start(authorizer, question))
}

fn resource<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let of_group = |check: &Check| match check {
        Check::Group(authorizer, question) => Some((authorizer.clone(), question.clone())),
        _ => None,
    };
    refine(arguments, of_group, Check::Resource, |question, resource| question.resource = resource)
}

fn subresource<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, about_resource, Check::Resource, |question, text| question.subresource = text)
}

fn namespace<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, about_resource, Check::Resource, |question, text| question.namespace = text)
}

fn name<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, about_resource, Check::Resource, |question, text| question.name = text)
}

fn field_selector<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, about_resource, Check::Resource, |question, text| question.field_selector = text)
}

fn label_selector<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    refine(arguments, about_resource, Check::Resource, |question, text| question.label_selector = text)
}

fn check<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [target, Val::String(verb)] = arguments else { return misfit() };
    match of(target) {
        Some(Check::Path(authorizer, question) | Check::Resource(authorizer, question)) => {
            let question = Question { verb: verb.to_string(), ..question.clone() };
            val(Check::Decision(authorizer.decide(&question)))
        }
        _ => misfit(),
    }
}

fn decided<'a>(arguments: &[Val<'a>], look: impl Fn(&Decision) -> Val<'a>) -> Outcome<'a> {
    match arguments {
        [target] => match of(target) {
            Some(Check::Decision(decision)) => Ok(look(decision)),
            _ => misfit(),
        },
        _ => misfit(),
    }
}

fn allowed<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    decided(arguments, |decision| Val::Bool(decision.allowed))
}

fn reason<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    decided(arguments, |decision| Val::string(&decision.reason))
}

fn error<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    decided(arguments, |decision| Val::string(&decision.error))
}

fn errored<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    decided(arguments, |decision| Val::Bool(!decision.error.is_empty()))
}
