//! Access review by somebody else, asked by webhook and remembered for a while.

use std::time::Duration;

use env::Clock;
use machinery::Value;
use machinery::selector::Operator;

use super::{Attributes, Decision, Selectors};
use crate::expression::Expression;
use crate::memo::Memo;
use crate::remote::{Remote, Target};
use crate::reviews::user_into;

/// How a webhook is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub target: Target,
    /// How long it may take.
    pub timeout: Duration,
    /// How long a yes is remembered.
    pub yes: Duration,
    /// How long a no is remembered.
    pub no: Duration,
    /// Whether its failure is a no.
    pub fails_closed: bool,
    /// What must be true of a request that it is asked about.
    pub conditions: Vec<Expression>,
}

/// Somebody who is asked whether something may be done.
#[derive(Debug)]
pub struct Webhook {
    remote: Remote,
    settings: Settings,
    clock: Clock,
    known: Memo<Decision>,
}

impl Webhook {
    /// At an address.
    pub fn new(remote: Remote, settings: Settings, clock: Clock) -> Webhook {
        Webhook { remote, settings, clock, known: Memo::default() }
    }

    /// What is said of a request without asking: nothing, if it is none of its business; no, if nobody can tell whether it
    /// is and failures count as such.
    fn excluded(&self, attributes: &Attributes<'_>) -> Option<Decision> {
        if self.settings.conditions.is_empty() {
            return None;
        }
        let request = request_of(attributes);
        let mut failed = None;
        for condition in &self.settings.conditions {
            match condition.is_true(&request) {
                Ok(true) => {}
                Ok(false) => return Some(Decision::NoOpinion(String::new())),
                Err(why) => failed = Some(why),
            }
        }
        let why = failed?;
        tracing::warn!(webhook = ?self.remote, why, "a condition of an authorization webhook failed");
        Some(self.failure())
    }

    /// What its failure is taken for.
    fn failure(&self) -> Decision {
        let silent = String::new();
        if self.settings.fails_closed { Decision::Deny(silent) } else { Decision::NoOpinion(silent) }
    }

    /// What was answered before, if that still counts.
    pub fn remembered(&self, attributes: &Attributes<'_>) -> Option<Decision> {
        if let Some(decision) = self.excluded(attributes) {
            return Some(decision);
        }
        let question = machinery::json::to_vec(&spec_of(attributes));
        self.known.get(&question, self.clock.monotonic())
    }

    /// May this be done?
    pub async fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if let Some(decision) = self.excluded(attributes) {
            return decision;
        }
        let spec = spec_of(attributes);
        let question = machinery::json::to_vec(&spec);
        let now = self.clock.monotonic();
        if let Some(known) = self.known.get(&question, now) {
            return known;
        }
        let review = Value::from([
            ("apiVersion", Value::from("authorization.k8s.io/v1")),
            ("kind", Value::from("SubjectAccessReview")),
            ("metadata", Value::object()),
            ("spec", spec),
        ]);
        match self.remote.post(&self.settings.target.path, &review).await {
            Ok(answer) => {
                let decision = decision_in(answer.get("status"));
                let lasts =
                    if matches!(decision, Decision::Allow(_)) { self.settings.yes } else { self.settings.no };
                self.known.put(&question, decision.clone(), (now, now + lasts));
                decision
            }
            Err(why) => {
                tracing::warn!(webhook = ?self.remote, why, "an authorization webhook failed");
                self.failure()
            }
        }
    }
}

/// A request as conditions see it: what it does not say is there all the same, and empty.
fn request_of(attributes: &Attributes<'_>) -> Value {
    let mut spec = spec_of(attributes);
    for name in ["user", "uid"] {
        if spec.get(name).is_null() {
            spec.set(name, "");
        }
    }
    if spec.get("groups").is_null() {
        spec.set("groups", Vec::new());
    }
    if spec.get("extra").is_null() {
        spec.set("extra", Value::object());
    }
    if let Some(resource) = spec.get_mut("resourceAttributes") {
        for name in ["namespace", "verb", "group", "version", "resource", "subresource", "name"] {
            if resource.get(name).is_null() {
                resource.set(name, "");
            }
        }
    }
    spec
}

fn decision_in(status: &Value) -> Decision {
    let reason = status.get("reason").str_or_empty().to_owned();
    match (status.get("allowed").is_true(), status.get("denied").is_true()) {
        (true, false) => Decision::Allow(reason),
        // Who says both is not to be trusted with either.
        (_, true) => Decision::Deny(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

fn spec_of(attributes: &Attributes<'_>) -> Value {
    let mut spec = Value::object();
    if attributes.is_resource {
        let mut resource = Value::object();
        for (name, text) in [
            ("namespace", attributes.namespace),
            ("verb", attributes.verb),
            ("group", attributes.group),
            ("resource", attributes.resource),
            ("subresource", attributes.subresource),
            ("name", attributes.name),
        ] {
            if !text.is_empty() {
                resource.set(name, text);
            }
        }
        if let Some(selectors) = attributes.selectors {
            add_selectors(&mut resource, selectors);
        }
        spec.set("resourceAttributes", resource);
    } else {
        let path = [("path", Value::from(attributes.path)), ("verb", Value::from(attributes.verb))];
        spec.set("nonResourceAttributes", Value::from(path));
    }
    user_into(&mut spec, attributes.identity, "user");
    spec
}

fn add_selectors(resource: &mut Value, selectors: &Selectors) {
    let requirement = |key: &str, operator: &str, values: Vec<Value>| {
        let mut requirement = Value::from([("key", Value::from(key)), ("operator", Value::from(operator))]);
        if !values.is_empty() {
            requirement.set("values", values);
        }
        requirement
    };
    let fields = selectors.fields.requirements().iter().map(|one| {
        let operator = if one.equal { "In" } else { "NotIn" };
        requirement(&one.field, operator, vec![Value::from(one.value.as_str())])
    });
    let fields: Vec<Value> = fields.collect();
    let labels = selectors.labels.requirements().iter().filter_map(|one| {
        let operator = match one.operator() {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            // Reviews have no words for the others; to leave one out asks for more, never for less.
            _ => return None,
        };
        let values = one.values().iter().map(|value| Value::from(value.as_str())).collect();
        Some(requirement(one.key(), operator, values))
    });
    let labels: Vec<Value> = labels.collect();
    for (name, requirements) in [("fieldSelector", fields), ("labelSelector", labels)] {
        if !requirements.is_empty() {
            resource.set(name, Value::from([("requirements", Value::from(requirements))]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use env::Env;
    use machinery::status::GroupName;

    use super::*;
    use crate::expression::About;
    use crate::identity::Identity;
    use crate::remote::tests::{Answers, remote, serve};

    #[tokio::test]
    async fn a_webhook_says_yes_no_or_nothing() {
        let env = Env::real();
        let answers: Answers = Arc::new(|_, review| {
            let spec = review.get("spec");
            let resource = spec.get("resourceAttributes");
            let status = match (spec.get("user").str_or_empty(), resource.get("verb").str_or_empty()) {
                ("ann", "list") if !resource.get("fieldSelector").is_null() => {
                    r#"{"status":{"allowed":true}}"#
                }
                ("ann", "get") => r#"{"status":{"allowed":false,"denied":true,"reason":"not today"}}"#,
                ("eve", _) => return (500, Value::object()),
                _ => r#"{"status":{"allowed":false}}"#,
            };
            (200, machinery::json::parse(status.as_bytes()).unwrap())
        });
        let (address, ca) = serve(&env, answers).await;
        let webhook = |fails_closed: bool, conditions: &[&str]| {
            let settings = Settings {
                target: Target { path: "/".to_owned(), ..Target::default() },
                timeout: Duration::from_secs(3),
                yes: Duration::from_secs(300),
                no: Duration::from_secs(30),
                fails_closed,
                conditions: conditions
                    .iter()
                    .map(|text| Expression::condition(About::Request, text).unwrap())
                    .collect(),
            };
            Webhook::new(remote(&env, address, ca.clone()), settings, env.clock.clone())
        };
        let (open, closed) = (webhook(false, &[]), webhook(true, &[]));
        let (ann, eve) = (Identity::new("ann", &[]), Identity::new("eve", &[]));
        let pods = GroupName { group: "", name: "pods" };
        let selectors = Selectors::read("spec.nodeName=n", "a in (b)");
        let narrowed =
            Attributes { selectors: selectors.as_ref(), ..Attributes::of_resource(&ann, "list", pods) };
        assert_eq!(open.remembered(&narrowed), None);
        assert_eq!(open.authorize(&narrowed).await, Decision::Allow(String::new()));
        assert_eq!(open.remembered(&narrowed), Some(Decision::Allow(String::new())));
        let whole = Attributes { selectors: None, ..narrowed };
        assert_eq!(open.authorize(&whole).await, Decision::NoOpinion(String::new()));
        let get = Attributes::of_resource(&ann, "get", pods);
        assert_eq!(open.authorize(&get).await, Decision::Deny("not today".to_owned()));
        let failing = Attributes::of_resource(&eve, "get", pods);
        assert_eq!(open.authorize(&failing).await, Decision::NoOpinion(String::new()));
        assert_eq!(closed.authorize(&failing).await, Decision::Deny(String::new()));
        let nothing = Decision::NoOpinion(String::new());
        let own =
            ["has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'kube-system'"];
        let narrow = webhook(true, &own);
        assert_eq!(narrow.authorize(&get).await, nothing, "it is none of its business");
        assert_eq!(narrow.remembered(&get), Some(nothing));
        let inside = Attributes { namespace: "kube-system", ..get };
        assert_eq!(narrow.authorize(&inside).await, Decision::Deny("not today".to_owned()));
        let broken = webhook(true, &["request.extra['missing'][0] == 'x'"]);
        assert_eq!(broken.authorize(&get).await, Decision::Deny(String::new()));
        env.tasks.stop(Duration::from_secs(5)).await;
    }
}
