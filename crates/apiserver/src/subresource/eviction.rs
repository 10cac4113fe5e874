//! `eviction`: a deletion that respects disruption budgets.

use machinery::selector::LabelSelector;
use machinery::status::Cause;
use machinery::time::Timestamp;
use machinery::{Reason, Status, Value};

use super::binding::created;
use crate::answer;
use crate::document::Expected;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::Response;
use crate::query::Query;
use crate::registry::no_such_resource;
use crate::verbs::delete;
use crate::verbs::update::{self, Change};
use crate::write::Request;

/// How often an eviction is tried again because the budget changed.
const ATTEMPTS: usize = 20;
/// How many evicted pods a budget remembers at most.
const MAX_DISRUPTED: usize = 2_000;

/// Evicts a pod.
pub(super) async fn answer(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    let form = call.form(&request)?;
    let mut options = call.write_options(&request, "CreateOptions")?;
    let registry = call.core.registry.load_full();
    let table = registry.table();
    let kind = table.kind("policy", "v1", "Eviction").ok_or_else(no_such_resource)?;
    let schema = table.schema_of(kind);
    let expected = Expected {
        group: "policy",
        version: "v1",
        kind: "Eviction",
        schema: &schema,
        custom: None,
        aliases: &["policy/v1beta1"],
    };
    let (route, eviction) = call.read(request, expected, &options).await?;
    let own = eviction.at(&["metadata", "name"]).str_or_empty();
    if !own.is_empty() && own != route.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    options.dry_run |= deletion_of(&eviction)?.dry_run;
    let warnings = evict(call.request(&route, &options), eviction).await?;
    call.warnings().extend(warnings);
    Ok(answer::document(table, 201, &created(), form))
}

fn deletion_of(eviction: &Value) -> Result<delete::Options, Status> {
    delete::Options::read(&Query::default(), Some(eviction.get("deleteOptions")))
}

/// Evicts a pod if its budget allows it; what the evictor is told beside the answer.
pub(crate) async fn evict(request: Request<'_>, eviction: Value) -> Result<Vec<String>, Status> {
    let (eviction, warnings) = request.admit_posted(eviction).await?;
    let deletion = &deletion_of(&eviction)?;
    let request = Request { subresource: "", ..request };
    for _ in 0..ATTEMPTS {
        request.core.catch_up().await?;
        let pod = request.current()?.object().to_value()?;
        let budget = if is_over(&pod) { None } else { budget_of(request, &pod)? };
        let charged = match budget {
            None => Ok(()),
            Some(budget) => charge(request, &pod, &budget).await,
        };
        match charged {
            Ok(()) => return delete::delete(request, deletion).await.map(|_| warnings),
            Err(status) if status.is(Reason::Conflict) => {}
            Err(status) => return Err(status),
        }
    }
    let why = "Cannot evict pod as its disruption budget changes too often.";
    Err(Status::new(429, Reason::TooManyRequests, why).retry_after(10))
}

/// What has ended, or never began, or is on its way out disrupts nobody.
fn is_over(pod: &Value) -> bool {
    let phase = pod.at(&["status", "phase"]).str_or_empty();
    matches!(phase, "Succeeded" | "Failed" | "Pending")
        || !pod.at(&["metadata", "deletionTimestamp"]).is_null()
}

fn budget_of(request: Request<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let Some(budgets) = request.core.caches.collection("policy/poddisruptionbudgets") else {
        return Ok(None);
    };
    let prefix = format!("{}/", request.namespace);
    let labels = pod.at(&["metadata", "labels"]);
    let mut found = None;
    for entry in budgets.snapshot().starting_at(&prefix).take_while(|entry| entry.key().starts_with(&prefix))
    {
        let budget = entry.object().to_value()?;
        let selector =
            LabelSelector::from_document(budget.at(&["spec", "selector"])).map_err(Status::internal)?;
        if !selector.matches_map(labels) {
            continue;
        }
        if found.is_some() {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(500, Reason::Unknown, why));
        }
        found = Some(budget);
    }
    Ok(found)
}

/// Takes the disruption out of the budget.
async fn charge(request: Request<'_>, pod: &Value, budget: &Value) -> Result<(), Status> {
    if is_unready_and_may_go(pod, budget) {
        return Ok(());
    }
    let registry = request.core.registry.load_full();
    let served = registry.find("policy", "v1", "poddisruptionbudgets").ok_or_else(no_such_resource)?;
    let name = budget.at(&["metadata", "name"]).str_or_empty();
    let own = Request { served, name, subresource: "status", ..request };
    let now = request.core.env.clock.now().secs();
    update::change(own, &Charge { pod: request.name, now }).await.map(|_| ())
}

fn is_unready_and_may_go(pod: &Value, budget: &Value) -> bool {
    let ready = pod.at(&["status", "conditions"]).items().iter().any(|condition| {
        condition.get("type").as_str() == Some("Ready") && condition.get("status").as_str() == Some("True")
    });
    let status = budget.get("status");
    let number = |name: &str| status.get(name).as_int().unwrap_or(0);
    let always = budget.at(&["spec", "unhealthyPodEvictionPolicy"]).as_str() == Some("AlwaysAllow");
    let enough = number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
    !ready && (always || enough)
}

struct Charge<'a> {
    pod: &'a str,
    now: i64,
}

impl Change for Charge<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let name = current.at(&["metadata", "name"]).str_or_empty();
        let status = current.get("status");
        let number = |field: &str| status.get(field).as_int().unwrap_or(0);
        let refused = |message: String| {
            let too_many = "Cannot evict pod as it would violate the pod's disruption budget.";
            let cause = Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() };
            Status::new(429, Reason::TooManyRequests, too_many).caused_by(cause)
        };
        let generation = current.at(&["metadata", "generation"]).as_int().unwrap_or(0);
        if number("observedGeneration") < generation {
            let why = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refused(why).retry_after(10));
        }
        let allowed = number("disruptionsAllowed");
        if allowed <= 0 {
            return Err(refused(format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("desiredHealthy"),
                number("currentHealthy")
            )));
        }
        if status.get("disruptedPods").as_object().is_some_and(|pods| pods.len() > MAX_DISRUPTED) {
            let why = "has too many evictions not confirmed by the controller";
            return Err(refused(format!("The disruption budget {name} {why}")));
        }
        let mut budget = current.clone();
        let status = budget.entry("status");
        status.set("disruptionsAllowed", allowed - 1);
        let now = Timestamp::from_secs(self.now).to_rfc3339();
        status.entry("disruptedPods").set(self.pod, now);
        Ok(budget)
    }
}
