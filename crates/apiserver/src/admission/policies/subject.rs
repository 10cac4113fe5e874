//! What a policy looks at: the write as its expressions see it.

use std::sync::Arc;

use kinds::admission::expressions::{NAMESPACE, REQUEST};
use machinery::cel::{self, Activation, Check, Opaque, Question, Val};
use machinery::{Map, Status, Value};

use super::super::{Review, Surroundings};
use crate::authz::{Attributes, Decision, Selectors, Union};
use crate::cache::Entry;
use crate::identity::Identity;
use crate::registry::Served;
use crate::stored;

/// A write as expressions see it.
#[derive(Debug)]
pub(in super::super) struct Subject {
    pub object: Value,
    pub old: Value,
    request: Value,
    namespace: Value,
    asker: Arc<Asker>,
    resource: Question,
}

/// Asks the authorizer on behalf of whoever writes.
#[derive(Debug)]
struct Asker {
    authorizer: Arc<Union>,
    identity: Identity,
}

impl Subject {
    /// The write as one of `served`, which may be another version of what is written.
    pub async fn new(
        review: &Review<'_>,
        served: &Arc<Served>,
        around: Surroundings<'_>,
        authorizer: &Arc<Union>,
    ) -> Result<Subject, Status> {
        let asker = Asker { authorizer: authorizer.clone(), identity: review.identity.clone() };
        let resource = Question {
            group: review.served.group.to_string(),
            resource: review.served.plural.to_string(),
            subresource: review.subresource.to_owned(),
            namespace: review.namespace.to_owned(),
            name: review.name.to_owned(),
            ..Question::default()
        };
        Ok(Subject {
            object: in_version(&review.object, review, served, around).await?,
            old: in_version(review.old, review, served, around).await?,
            request: request(review, served),
            namespace: namespace(review, around),
            asker: Arc::new(asker),
            resource,
        })
    }

    /// The request, as expressions and webhooks see it.
    pub fn request(&self) -> &Value {
        &self.request
    }

    /// What the variables of expressions stand for.
    pub fn activation<'a>(&'a self, params: &'a Value) -> Activation<'a> {
        let typed = |document: &'a Value, declaration| Val::of(document, declaration).unwrap_or(Val::Null);
        let asker: Arc<dyn cel::Authorizer> = self.asker.clone();
        let check = |check: Check| Val::Opaque(Opaque::Authorizer(Arc::new(check)));
        Activation::new()
            .with("object", Val::dynamic(&self.object))
            .with("oldObject", Val::dynamic(&self.old))
            .with("request", typed(&self.request, &REQUEST))
            .with("namespaceObject", typed(&self.namespace, &NAMESPACE))
            .with("params", Val::dynamic(params))
            .with("authorizer", check(Check::Start(asker.clone(), Question::default())))
            .with("authorizer.requestResource", check(Check::Resource(asker, self.resource.clone())))
    }
}

/// A document of what is written, as another version of it shows it.
async fn in_version(
    document: &Value,
    review: &Review<'_>,
    served: &Arc<Served>,
    around: Surroundings<'_>,
) -> Result<Value, Status> {
    if document.is_null() || Arc::ptr_eq(served, review.served) || !review.subresource.is_empty() {
        return Ok(document.clone());
    }
    convert(document, review.served, served, around).await
}

/// A document of one version of a resource as another version shows it.
pub(in super::super) async fn convert(
    document: &Value,
    from: &Served,
    to: &Served,
    around: Surroundings<'_>,
) -> Result<Value, Status> {
    let object = stored::read(&from.stored(document, around).await?, 0)?;
    let shown: Arc<Entry> = to.shown(&object, around).await?;
    let mut shown = shown.object().to_whole_value()?;
    if document.at(&["metadata", "resourceVersion"]).is_null() {
        shown.entry("metadata").remove("resourceVersion");
    }
    Ok(shown)
}

fn request(review: &Review<'_>, served: &Served) -> Value {
    let kind = |served: &Served| {
        let kind = match served.sub(review.subresource) {
            Some(sub) => (sub.group.as_str(), sub.version.as_str(), sub.kind.as_str()),
            None => (served.group.as_str(), served.version.as_str(), served.kind.as_str()),
        };
        Value::from([
            ("group", Value::from(kind.0)),
            ("version", Value::from(kind.1)),
            ("kind", Value::from(kind.2)),
        ])
    };
    let resource = |served: &Served| {
        Value::from([
            ("group", Value::from(served.group.as_str())),
            ("version", Value::from(served.version.as_str())),
            ("resource", Value::from(served.plural.as_str())),
        ])
    };
    let mut request = Value::from([
        ("kind", kind(served)),
        ("resource", resource(served)),
        ("requestKind", kind(review.served)),
        ("requestResource", resource(review.served)),
        ("name", Value::from(review.name)),
        ("operation", Value::from(review.operation.name())),
        ("userInfo", user(review.identity)),
        ("dryRun", Value::Bool(review.is_dry_run)),
        ("options", options(review)),
    ]);
    let mut set = |name: &str, text: &str| {
        if !text.is_empty() {
            request.set(name, text);
        }
    };
    set("subResource", review.subresource);
    set("requestSubResource", review.subresource);
    set("namespace", review.namespace);
    request
}

fn options(review: &Review<'_>) -> Value {
    use super::super::Operation;
    let kind = match review.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options =
        Value::from([("kind", Value::from(kind)), ("apiVersion", Value::from("meta.k8s.io/v1"))]);
    if review.is_dry_run {
        options.set("dryRun", vec![Value::from("All")]);
    }
    options
}

fn user(identity: &Identity) -> Value {
    let texts =
        |list: &[String]| Value::from(list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
    let mut user =
        Value::from([("username", Value::from(identity.name.as_str())), ("groups", texts(&identity.groups))]);
    if !identity.uid.is_empty() {
        user.set("uid", identity.uid.as_str());
    }
    if !identity.extra.is_empty() {
        let extra = identity.extra.iter().map(|(key, values)| (key.as_str(), texts(values)));
        user.set("extra", Map::from_entries(extra));
    }
    user
}

/// The namespace of what is written, as far as expressions may see it. A namespace itself is in none.
fn namespace(review: &Review<'_>, around: Surroundings<'_>) -> Value {
    if review.namespace.is_empty() || review.served.is("", "namespaces") {
        return Value::Null;
    }
    let namespaces = around.caches.collection("core/namespaces");
    let found = namespaces.and_then(|namespaces| namespaces.get(review.namespace));
    let document = found.and_then(|entry| entry.object().to_value().ok());
    let Some(mut document) = document else { return Value::Null };
    let metadata = document.entry("metadata");
    for hidden in ["managedFields", "ownerReferences", "selfLink"] {
        metadata.remove(hidden);
    }
    document
}

impl cel::Authorizer for Asker {
    fn decide(&self, question: &Question) -> cel::Decision {
        let account;
        let identity = match &question.service_account {
            None => &self.identity,
            Some((namespace, name)) => {
                let groups =
                    ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
                let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                account = Identity::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups);
                &account
            }
        };
        let selectors = Selectors::read(&question.field_selector, &question.label_selector);
        let attributes = Attributes {
            identity,
            verb: &question.verb,
            is_resource: question.path.is_empty(),
            path: &question.path,
            group: &question.group,
            resource: &question.resource,
            subresource: &question.subresource,
            namespace: &question.namespace,
            name: &question.name,
            selectors: selectors.as_ref(),
        };
        let (allowed, reason) = match self.authorizer.authorize_here(&attributes) {
            Decision::Allow(reason) => (true, reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => (false, reason),
        };
        cel::Decision { allowed, reason, error: String::new() }
    }
}
