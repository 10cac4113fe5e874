//! Who may ask what: the API server decides, but for those who may do everything anyway.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use client::{Call, Client, Write, resources};
use env::Clock;
use http::Method;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use machinery::{Reason, Status};
use serde_json::json;

use super::tls::Caller;

/// Who may do everything.
const MASTERS: &str = "system:masters";
/// How many decisions are remembered; then all are forgotten.
const REMEMBERED: usize = 1_000;
/// For how long, in seconds.
const ALLOWED_SECS: i64 = 300;
const DENIED_SECS: i64 = 30;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    caller: Caller,
    verb: &'static str,
    part: &'static str,
}

/// Decides, and remembers what the API server decided.
#[derive(Debug)]
pub(super) struct Access {
    client: Client,
    clock: Clock,
    node: String,
    known: Mutex<BTreeMap<Question, (bool, i64)>>,
}

impl Access {
    /// Asks through `client` about the node of that name.
    pub fn new(client: Client, clock: Clock, node: &str) -> Access {
        Access { client, clock, node: node.to_owned(), known: Mutex::default() }
    }

    /// Whether the caller may ask this.
    pub async fn check(&self, caller: &Caller, method: &Method, parts: &[&str]) -> Result<(), Status> {
        if caller.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        let (verb, allowing) = (verb(method), allowing(parts));
        for part in allowing {
            if self.decide(&Question { caller: caller.clone(), verb, part }).await? {
                return Ok(());
            }
        }
        let message = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            caller.name,
            allowing.join(" ")
        );
        Err(Status::new(403, Reason::Forbidden, message))
    }

    async fn decide(&self, question: &Question) -> Result<bool, Status> {
        let now = self.clock.now().secs();
        if let Some((allowed, until)) =
            self.known.lock().unwrap_or_else(PoisonError::into_inner).get(question)
            && now < *until
        {
            return Ok(*allowed);
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": question.caller.name,
                "uid": question.caller.uid,
                "groups": question.caller.groups,
                "extra": question.caller.extra,
                "resourceAttributes": {
                    "verb": question.verb, "resource": "nodes", "subresource": question.part,
                    "name": self.node, "version": "v1",
                },
            },
        });
        let body = Write::Create(review.to_string().into());
        let answer = self.client.write(resources::SUBJECT_ACCESS_REVIEWS, Call::default(), body).await?;
        let answer = answer.view::<SubjectAccessReview>()?;
        let allowed = answer.status.as_ref().is_some_and(|status| status.allowed);
        let until = now + if allowed { ALLOWED_SECS } else { DENIED_SECS };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(question.clone(), (allowed, until));
        Ok(allowed)
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::DELETE => "delete",
        Method::PATCH => "patch",
        _ => "get",
    }
}

/// The parts of the node, as roles name them, of which one must be open to who asks for a path: the narrowest first.
fn allowing(parts: &[&str]) -> &'static [&'static str] {
    match parts.first().copied().unwrap_or_default() {
        "stats" => &["stats"],
        "metrics" => &["metrics"],
        "logs" => &["log"],
        "checkpoint" => &["checkpoint"],
        "healthz" => &["healthz", "proxy"],
        "configz" => &["configz", "proxy"],
        "pods" | "runningpods" => &["pods", "proxy"],
        _ => &["proxy"],
    }
}
