//! How many pods a budget expects, how many are well, and how many may therefore be evicted.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{resources, time};
use env::WallTime;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::Object;
use smol_str::SmolStr;

use super::marks::BELIEVED;
use super::owners::Scale;
use crate::pod::Pod;
use crate::scaled::{Rounding, scaled};

/// The condition that says whether any pod may be evicted.
const ALLOWED: &str = "DisruptionAllowed";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The budget.
    pub object: Object,
    /// The same, typed.
    pub budget: Arc<PodDisruptionBudget>,
    /// The pods it is about.
    pub pods: Vec<Pod>,
    /// What is known about their owners, by identity.
    pub scales: BTreeMap<SmolStr, Scale>,
}

/// What a budget asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    pods: i32,
    healthy: i32,
}

/// Decides about one budget.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    let before = view.budget.status.clone().unwrap_or_default();
    let about = About::object(&view.object);
    if view.pods.is_empty() {
        plan.notes.push(Note::normal(&about, "NoPods", "No matching pods found"));
    }
    let spec = view.budget.spec.clone().unwrap_or_default();
    let status = match expected(view, &spec) {
        Ok((expected, is_strange)) => {
            if is_strange {
                plan.notes.push(Note::warning(&about, "UnmanagedPods", strange(spec.selector.as_ref())));
            }
            count(&mut plan, view, &before, expected, now)
        }
        Err(error) => {
            let text = format!("Failed to calculate the number of expected pods: {error}");
            plan.notes.push(Note::warning(&about, "CalculateExpectedPodCountFailed", text));
            plan.because(format!("nothing may be evicted: {error}"));
            let mut status = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..before.clone() };
            let generation = status.observed_generation;
            set_condition(&mut status, ("False", "SyncFailed", &error), generation, now);
            status
        }
    };
    match Op::update_status(resources::POD_DISRUPTION_BUDGETS, &view.object, &status) {
        Ok(op) => plan.status = op,
        Err(status) => plan.retry = Some(status.message),
    }
    plan
}

/// What is asked for, and whether there are pods nobody says how many there should be of.
fn expected(view: &View, spec: &PodDisruptionBudgetSpec) -> Result<(Expected, bool), String> {
    let not_a_share = || "invalid value for IntOrString: invalid type: string is not a percentage".to_owned();
    if let Some(most) = &spec.max_unavailable {
        let (pods, is_strange) = wanted(view)?;
        let unavailable = scaled(most, pods, Rounding::Up).ok_or_else(not_a_share)?;
        let healthy = pods.saturating_sub(unavailable).max(0);
        return Ok((Expected { pods, healthy }, is_strange));
    }
    match &spec.min_available {
        None => Ok((Expected::default(), false)),
        Some(IntOrString::Int(healthy)) => {
            let pods = i32::try_from(view.pods.len()).unwrap_or(i32::MAX);
            Ok((Expected { pods, healthy: *healthy }, false))
        }
        Some(share) => {
            let (pods, is_strange) = wanted(view)?;
            let healthy = scaled(share, pods, Rounding::Up).ok_or_else(not_a_share)?;
            Ok((Expected { pods, healthy }, is_strange))
        }
    }
}

/// How many pods their owners want together.
fn wanted(view: &View) -> Result<(i32, bool), String> {
    let mut wanted: BTreeMap<&SmolStr, i32> = BTreeMap::new();
    let mut is_strange = false;
    for pod in &view.pods {
        let header = pod.object.header();
        let Some(owner) = header.controller() else {
            is_strange = true;
            continue;
        };
        match view.scales.get(&owner.uid) {
            Some(Scale::Wants(uid, replicas)) => {
                wanted.insert(uid, *replicas);
            }
            Some(Scale::Unscalable(why)) => return Err(why.clone()),
            Some(Scale::Missing) | None => {
                return Err(format!("found no controllers for pod {:?}", header.name));
            }
        }
    }
    Ok((wanted.values().fold(0, |sum: i32, more| sum.saturating_add(*more)), is_strange))
}

fn strange(selector: Option<&LabelSelector>) -> String {
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of \
         the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please \
         set \".spec.minAvailable\" field of the PDB to an integer value.",
        shown(selector)
    )
}

/// A selector as upstream prints it.
fn shown(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels: String =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions: String = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|one| {
            let values = one.values.clone().unwrap_or_default().join(" ");
            let (key, operator) = (&one.key, &one.operator);
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// The status that follows.
fn count(
    plan: &mut Plan,
    view: &View,
    before: &PodDisruptionBudgetStatus,
    expected: Expected,
    now: WallTime,
) -> PodDisruptionBudgetStatus {
    let disrupted = still_disrupted(plan, view, before, now);
    let is_healthy = |pod: &&Pod| {
        let name = pod.object.header().name.as_str();
        pod.facts.deletion.is_none() && pod.facts.is_ready && !disrupted.contains_key(name)
    };
    let healthy = i32::try_from(view.pods.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    // A budget without pods allows nothing: they may come any moment.
    let spare = healthy.saturating_sub(expected.healthy).max(0);
    let allowed = if expected.pods <= 0 { 0 } else { spare };
    plan.because(format!(
        "{healthy} of {} pods are healthy and {} have to be; {allowed} may be evicted",
        expected.pods, expected.healthy
    ));
    let generation = Some(view.object.header().generation);
    let mut status = PodDisruptionBudgetStatus {
        conditions: before.conditions.clone(),
        current_healthy: Some(healthy),
        desired_healthy: Some(expected.healthy),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected.pods),
        observed_generation: generation,
    };
    let (truth, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, (truth, reason, ""), generation, now);
    status
}

/// The evictions that were allowed and are still to be seen.
fn still_disrupted(
    plan: &mut Plan,
    view: &View,
    before: &PodDisruptionBudgetStatus,
    now: WallTime,
) -> BTreeMap<String, Time> {
    let mut disrupted = BTreeMap::new();
    for pod in view.pods.iter().filter(|pod| pod.facts.deletion.is_none()) {
        let name = pod.object.header().name.to_string();
        let Some(since) = before.disrupted_pods.as_ref().and_then(|pods| pods.get(&name)) else { continue };
        let until = time::wall(since.0).plus(BELIEVED);
        if until <= now {
            // The namespace twice: so it is told upstream, and people look for what they know.
            let namespace = &view.object.header().namespace;
            let text = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            plan.notes.push(Note::warning(&About::object(&pod.object), "NotDeleted", text));
        } else {
            plan.requeue(until.since(now));
            disrupted.insert(name, since.clone());
        }
    }
    disrupted
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    (truth, reason, message): (&str, &str, &str),
    generation: Option<i64>,
    now: WallTime,
) {
    let conditions = status.conditions.get_or_insert_default();
    let same = |condition: &&Condition| condition.type_ == ALLOWED && condition.status == truth;
    let since = conditions.iter().find(same).map(|condition| condition.last_transition_time.clone());
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: truth.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| Time(time::timestamp(now))),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == ALLOWED) {
        Some(place) => *place = condition,
        None => conditions.push(condition),
    }
}
