//! `eviction`: a deletion that respects disruption budgets.

use machinery::selector::LabelSelector;
use machinery::status::{Cause, GroupName};
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
    let options = call.write_options(&request, "CreateOptions")?;
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
    if own != route.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
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
    let mut options = request.options.clone();
    options.dry_run |= deletion.dry_run;
    let request = Request { subresource: "", options: &options, ..request };
    for _ in 0..ATTEMPTS {
        request.core.catch_up().await?;
        let current = request.current().await?;
        // What cannot be removed must cost no budget.
        delete::check_preconditions(request, deletion, &current)?;
        let pod = current.object().to_value()?;
        let permit = match permit(request, &pod).await {
            Err(status) if status.is(Reason::Conflict) => continue,
            other => other?,
        };
        let mut own = deletion.clone();
        let is_bound = permit != Permit::Free && own.resource_version.is_none();
        if is_bound {
            own.resource_version = Some(pod.at(&["metadata", "resourceVersion"]).str_or_empty().to_owned());
        }
        match (remove(request, own).await, permit) {
            (Ok(()), _) => return Ok(warnings),
            (Err(status), Permit::AsItIs) if is_bound && status.is(Reason::Conflict) => {}
            (Err(status), Permit::Unready(budget)) if is_bound && status.is(Reason::Conflict) => {
                return Err(in_process(&budget));
            }
            (Err(status), _) => return Err(status),
        }
    }
    let why = "Cannot evict pod as its disruption budget changes too often.";
    Err(Status::new(429, Reason::TooManyRequests, why).retry_after(10))
}

/// Why a pod may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Permit {
    /// Whatever becomes of it.
    Free,
    /// Because of what it is now: it disrupts nobody, but might a moment later.
    AsItIs,
    /// Because it is not ready, says the budget of this name.
    Unready(String),
}

async fn permit(request: Request<'_>, pod: &Value) -> Result<Permit, Status> {
    if is_over(pod) {
        return Ok(Permit::Free);
    }
    if pod.at(&["status", "phase"]).str_or_empty() == "Pending" {
        return Ok(Permit::AsItIs);
    }
    let Some(budget) = budget_of(request, pod)? else { return Ok(Permit::Free) };
    if is_unready_and_may_go(pod, &budget) {
        return Ok(Permit::Unready(budget.at(&["metadata", "name"]).str_or_empty().to_owned()));
    }
    charge(request, &budget).await.map(|()| Permit::Free)
}

/// What has ended or is on its way out disrupts nobody.
fn is_over(pod: &Value) -> bool {
    let phase = pod.at(&["status", "phase"]).str_or_empty();
    matches!(phase, "Succeeded" | "Failed") || !pod.at(&["metadata", "deletionTimestamp"]).is_null()
}

/// Says on the pod why it ends, and removes it.
async fn remove(request: Request<'_>, mut deletion: delete::Options) -> Result<(), Status> {
    if !request.options.dry_run {
        delete::check_preconditions(request, &deletion, &*request.current().await?)?;
        let now = request.core.env.clock.now().secs();
        let mark = Mark { now, version: deletion.resource_version.as_deref() };
        let marked = update::change(Request { subresource: "status", ..request }, &mark).await?;
        if let Some(version) = &mut deletion.resource_version {
            *version = marked.entry.object().header().revision.to_string();
        }
    }
    delete::delete(request, &deletion).await.map(|_| ())
}

/// The condition that says why a pod ends.
struct Mark<'a> {
    now: i64,
    /// Only if the pod has this version.
    version: Option<&'a str>,
}

impl Change for Mark<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let mut pod = current.clone();
        if let Some(version) = self.version {
            pod.entry("metadata").set("resourceVersion", version);
        }
        let mark = Condition {
            kind: "DisruptionTarget",
            status: "True",
            reason: "EvictionByEvictionAPI",
            message: "Eviction API: evicting",
        };
        mark.set_on(pod.entry("status"), self.now);
        Ok(pod)
    }
}

/// A condition, as far as it is decided here.
struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    /// Sets it in a status; the time it carries changes only with what it says.
    fn set_on(&self, status: &mut Value, now: i64) {
        let mut conditions = status.get("conditions").items().to_vec();
        let place = conditions.iter().position(|one| one.get("type").as_str() == Some(self.kind));
        let mut condition = place.map_or_else(Value::object, |place| conditions[place].clone());
        if condition.get("status").as_str() != Some(self.status) {
            condition.set("lastTransitionTime", Timestamp::from_secs(now).to_rfc3339());
        }
        condition.set("type", self.kind);
        condition.set("status", self.status);
        condition.set("reason", self.reason);
        condition.set("message", self.message);
        match place {
            Some(place) => conditions[place] = condition,
            None => conditions.push(condition),
        }
        status.set("conditions", conditions);
    }
}

/// 429: the budget has not been looked at since it or its pods changed.
fn in_process(budget: &str) -> Status {
    refused(format!("The disruption budget {budget} is still being processed by the server.")).retry_after(10)
}

fn refused(message: String) -> Status {
    let too_many = "Cannot evict pod as it would violate the pod's disruption budget.";
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() };
    Status::new(429, Reason::TooManyRequests, too_many).caused_by(cause)
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
async fn charge(request: Request<'_>, budget: &Value) -> Result<(), Status> {
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
        let generation = current.at(&["metadata", "generation"]).as_int().unwrap_or(0);
        if number("observedGeneration") < generation {
            return Err(in_process(name));
        }
        let forbidden = |why: &str| {
            let budget = GroupName { group: "policy", name: "poddisruptionbudget" };
            Status::forbidden(budget, name, why)
        };
        let allowed = number("disruptionsAllowed");
        if allowed < 0 {
            return Err(forbidden("pdb disruptions allowed is negative"));
        }
        if status.get("disruptedPods").as_object().is_some_and(|pods| pods.len() > MAX_DISRUPTED) {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(forbidden(why));
        }
        if allowed == 0 {
            return Err(refused(format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("desiredHealthy"),
                number("currentHealthy")
            )));
        }
        let mut budget = current.clone();
        let status = budget.entry("status");
        status.set("disruptionsAllowed", allowed - 1);
        if allowed == 1 {
            let none = Condition {
                kind: "DisruptionAllowed",
                status: "False",
                reason: "InsufficientPods",
                message: "",
            };
            none.set_on(status, self.now);
        }
        let now = Timestamp::from_secs(self.now).to_rfc3339();
        status.entry("disruptedPods").set(self.pod, now);
        Ok(budget)
    }
}
