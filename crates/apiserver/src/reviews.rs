//! Reviews: questions about who somebody is and what they may do. They are answered, never stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::field::{Error, Path};
use machinery::selector::{FieldSelector, LabelSelector, Operator, Requirement};
use machinery::status::GroupName;
use machinery::time::Timestamp;
use machinery::{Status, Value};

use crate::authz::rules::Rule;
use crate::authz::{Attributes, Decision, Selectors};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::Served;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The server.
    pub core: &'a Arc<Core>,
    /// Who.
    pub identity: &'a Identity,
    /// In which namespace; empty for what belongs to the cluster.
    pub namespace: &'a str,
}

/// Whether creating such an object asks a question.
pub fn is_review(served: &Served) -> bool {
    served.group == AUTHENTICATION || served.group == AUTHORIZATION
}

/// Answers a review.
pub async fn answer(asker: Asker<'_>, served: &Served, mut review: Value) -> Result<Value, Status> {
    let status = match served.plural.as_str() {
        "selfsubjectreviews" => {
            let now = Timestamp::from_secs(asker.core.env.clock.now().secs()).to_rfc3339();
            review.entry("metadata").set("creationTimestamp", now);
            Value::from([("userInfo", user_info(asker.identity))])
        }
        "tokenreviews" => token_review(asker, review.get("spec")).await?,
        "selfsubjectrulesreviews" => {
            let status = rules_review(asker, review.get("spec"))?;
            review.set("spec", Value::object());
            status
        }
        plural => access_review(asker, plural, &review).await?,
    };
    if review.get("metadata").is_null() {
        review.set("metadata", Value::object());
    }
    review.set("status", status);
    Ok(review)
}

/// Who somebody is, as documents tell it.
pub fn user_info(identity: &Identity) -> Value {
    let mut user = Value::object();
    user_into(&mut user, identity, "username");
    user
}

/// Adds to a document who somebody is; `name` is what it calls the name.
pub fn user_into(document: &mut Value, identity: &Identity, name: &str) {
    let list = |texts: &[String]| {
        Value::from(texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>())
    };
    if !identity.name.is_empty() {
        document.set(name, identity.name.as_str());
    }
    if !identity.uid.is_empty() {
        document.set("uid", identity.uid.as_str());
    }
    if !identity.groups.is_empty() {
        document.set("groups", list(&identity.groups));
    }
    for (key, values) in &identity.extra {
        document.entry("extra").set(key, list(values));
    }
}

async fn token_review(asker: Asker<'_>, spec: &Value) -> Result<Value, Status> {
    let token = spec.get("token").str_or_empty();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let core = asker.core;
    let mut audiences: Vec<&str> = spec.get("audiences").items().iter().filter_map(Value::as_str).collect();
    if audiences.is_empty() {
        audiences.push(&core.config.issuer);
    }
    // One after the other, because a token tells only whether it is meant for one of those it is shown.
    let mut accepted: Vec<Value> = Vec::new();
    let mut found = None;
    for audience in audiences {
        if let Ok(identity) = core.authenticator.token(core, token, &[audience]).await {
            accepted.push(Value::from(audience));
            found.get_or_insert(identity);
        }
    }
    let Some(identity) = found else {
        return Ok(Value::from([("user", Value::object()), ("error", Value::from("invalid bearer token"))]));
    };
    Ok(Value::from([
        ("authenticated", Value::from(true)),
        ("user", user_info(&identity)),
        ("audiences", Value::from(accepted)),
    ]))
}

fn rules_review(asker: Asker<'_>, spec: &Value) -> Result<Value, Status> {
    let namespace = spec.get("namespace").str_or_empty();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let granted = asker.core.authorizer.rules_for(asker.identity, namespace);
    let list = |rules: &[&Rule]| Value::from(rules.iter().map(|rule| rule.to_value()).collect::<Vec<_>>());
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) =
        granted.rules.iter().partition(|rule| !rule.paths.is_empty());
    let mut status = Value::from([
        ("resourceRules", list(&resources)),
        ("nonResourceRules", list(&paths)),
        ("incomplete", Value::from(false)),
    ]);
    if !granted.errors.is_empty() {
        status.set("evaluationError", granted.errors.join(", "));
    }
    Ok(status)
}

async fn access_review(asker: Asker<'_>, plural: &str, review: &Value) -> Result<Value, Status> {
    let spec = review.get("spec");
    let own = plural == "selfsubjectaccessreviews";
    check_access_review(asker, plural, review)?;
    let identity = if own { asker.identity.clone() } else { identity_of(spec) };
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    let text = |name: &str| resource.get(name).str_or_empty();
    let (selectors, errors) = selectors_of(resource);
    let attributes = if resource.is_null() {
        Attributes {
            is_resource: false,
            path: other.get("path").str_or_empty(),
            ..Attributes::of_resource(&identity, other.get("verb").str_or_empty(), NOTHING)
        }
    } else {
        let subject = GroupName { group: text("group"), name: text("resource") };
        Attributes {
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            selectors: selectors.as_ref(),
            ..Attributes::of_resource(&identity, text("verb"), subject)
        }
    };
    let decision = asker.core.authorizer.authorize(&attributes).await;
    let mut status = Value::from([("allowed", Value::from(matches!(decision, Decision::Allow(_))))]);
    if matches!(decision, Decision::Deny(_)) {
        status.set("denied", true);
    }
    let (Decision::Allow(reason) | Decision::Deny(reason) | Decision::NoOpinion(reason)) = decision;
    if !reason.is_empty() {
        status.set("reason", reason);
    }
    match errors.as_slice() {
        [] => {}
        [one] => status.set("evaluationError", one.as_str()),
        several => status.set("evaluationError", format!("[{}]", several.join(", "))),
    }
    Ok(status)
}

/// No resource at all.
const NOTHING: GroupName<'static> = GroupName { group: "", name: "" };

/// What a review narrows its question to, and what in it could not be understood and is left out.
fn selectors_of(resource: &Value) -> (Option<Selectors>, Vec<String>) {
    let (fields, labels) = (resource.get("fieldSelector"), resource.get("labelSelector"));
    if fields.is_null() && labels.is_null() {
        return (None, Vec::new());
    }
    let mut errors = Vec::new();
    let mut note = |what: &str, is_partly: bool| {
        let how = if is_partly { "partially ignored" } else { "ignored" };
        errors.push(format!("spec.resourceAttributes.{what} {how} due to parse error"));
    };
    let fields = match field_selector(fields) {
        (selector, true) => selector,
        (selector, false) => {
            note("fieldSelector", !selector.is_everything());
            selector
        }
    };
    let labels = match label_selector(labels) {
        (selector, true) => selector,
        (selector, false) => {
            note("labelSelector", !selector.is_everything());
            selector
        }
    };
    (Some(Selectors { fields, labels }), errors)
}

fn operator_of(requirement: &Value) -> Option<Operator> {
    match requirement.get("operator").str_or_empty() {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => None,
    }
}

/// The selector, and whether all of it was understood.
fn field_selector(given: &Value) -> (FieldSelector, bool) {
    let raw = given.get("rawSelector").str_or_empty();
    if !raw.is_empty() {
        return FieldSelector::parse(raw).map_or((FieldSelector::default(), false), |found| (found, true));
    }
    let requirements = given.get("requirements").items();
    let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
    let texts = requirements.iter().filter_map(|requirement| {
        let [value] = requirement.get("values").items() else { return None };
        let sign = match operator_of(requirement)? {
            Operator::In => "=",
            Operator::NotIn => "!=",
            _ => return None,
        };
        let (key, value) = (requirement.get("key").str_or_empty(), value.str_or_empty());
        Some(format!("{key}{sign}{}", escape(value)))
    });
    let texts: Vec<String> = texts.collect();
    match FieldSelector::parse(&texts.join(",")) {
        Ok(selector) => (selector, texts.len() == requirements.len()),
        Err(_) => (FieldSelector::default(), false),
    }
}

fn label_selector(given: &Value) -> (LabelSelector, bool) {
    let raw = given.get("rawSelector").str_or_empty();
    if !raw.is_empty() {
        return LabelSelector::parse(raw).map_or((LabelSelector::everything(), false), |found| (found, true));
    }
    let requirements = given.get("requirements").items();
    let understood = requirements.iter().filter_map(|requirement| {
        let values = requirement.get("values").items().iter();
        let values = values.map(|value| value.str_or_empty().into()).collect();
        Requirement::new(requirement.get("key").str_or_empty(), operator_of(requirement)?, values).ok()
    });
    let understood: Vec<Requirement> = understood.collect();
    let whole = understood.len() == requirements.len();
    (LabelSelector::from_requirements(understood), whole)
}

fn identity_of(spec: &Value) -> Identity {
    let mut identity = identity_of_user(spec, "user");
    let extra = std::mem::take(&mut identity.extra);
    identity.extra = extra.into_iter().map(|(key, values)| (key.to_lowercase(), values)).collect();
    identity
}

/// Whom a document names; `name` is what it calls the name.
pub fn identity_of_user(document: &Value, name: &str) -> Identity {
    let texts = |list: &Value| {
        list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<String>>()
    };
    let extra: BTreeMap<String, Vec<String>> =
        document.get("extra").members().map(|(key, values)| (key.to_string(), texts(values))).collect();
    Identity {
        name: document.get(name).str_or_empty().to_owned(),
        uid: document.get("uid").str_or_empty().to_owned(),
        groups: texts(document.get("groups")),
        extra,
    }
}

fn check_access_review(asker: Asker<'_>, plural: &str, review: &Value) -> Result<(), Status> {
    let spec = review.get("spec");
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    if resource.is_null() == other.is_null() {
        let (name, value) = if resource.is_null() {
            ("resourceAttributes", resource)
        } else {
            ("nonResourceAttributes", other)
        };
        let why = if resource.is_null() {
            "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        } else {
            "cannot be specified in combination with resourceAttributes"
        };
        errors.push(Error::invalid(&path.child(name), value, why));
    }
    let nobody = spec.get("user").str_or_empty().is_empty() && spec.get("groups").items().is_empty();
    if plural != "selfsubjectaccessreviews" && nobody {
        let why = "at least one of user or group must be specified";
        errors.push(Error::invalid(&path.child("user"), "", why));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        let given = resource.get(selector);
        let raw = given.get("rawSelector").str_or_empty();
        if !raw.is_empty() && !given.get("requirements").items().is_empty() {
            let place = path.child("resourceAttributes").child(selector).child("rawSelector");
            errors.push(Error::invalid(&place, raw, "may not specified at the same time as requirements"));
        }
    }
    let local = plural == "localsubjectaccessreviews";
    if local && !other.is_null() {
        let why = "disallowed on this kind of request";
        errors.push(Error::invalid(&path.child("nonResourceAttributes"), other, why));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(GroupName { group: AUTHORIZATION, name: "" }, "", &errors));
    }
    if local && resource.get("namespace").str_or_empty() != asker.namespace {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {}", asker.namespace);
        return Err(Status::bad_request(why));
    }
    Ok(())
}
