use std::collections::BTreeMap;
use std::time::Duration;

use client::plan::Plan;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::marks;
use super::owners::Scale;
use super::plan::View;
use crate::pod::Pod;
use crate::tests::fixtures::{NOW, ago, body, merge, object, pod, running_pod, status};

fn budget(changes: Value) -> Value {
    let mut budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "web", "namespace": "shop", "uid": "b-1", "resourceVersion": "4", "generation": 2 },
        "spec": { "selector": { "matchLabels": { "app": "web" } } },
    });
    merge(&mut budget, changes);
    budget
}

fn min(value: Value) -> Value {
    json!({ "spec": { "minAvailable": value } })
}

fn max(value: Value) -> Value {
    json!({ "spec": { "maxUnavailable": value } })
}

/// A pod whose owner has this identity; nobody owns it if that is empty.
fn owned(name: &str, owner: &str, is_ready: bool) -> Pod {
    let ready = if is_ready { "True" } else { "False" };
    let mut changes = json!({ "status": { "conditions": [
        { "type": "Ready", "status": ready, "lastTransitionTime": ago(60) }] } });
    if !owner.is_empty() {
        changes["metadata"]["ownerReferences"] = json!([
            { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true }]);
    }
    pod(&running_pod(name, changes))
}

/// So many pods of an owner, of which so many are ready.
fn pods(owner: &str, count: usize, ready: usize) -> Vec<Pod> {
    (0..count).map(|number| owned(&format!("{owner}-{number}"), owner, number < ready)).collect()
}

fn view(budget: &Value, pods: Vec<Pod>, scales: &[(&str, Scale)]) -> View {
    let object = object(budget);
    let scales: BTreeMap<SmolStr, Scale> =
        scales.iter().map(|(uid, scale)| (SmolStr::new(uid), scale.clone())).collect();
    View { budget: object.view::<PodDisruptionBudget>().unwrap(), object, pods, scales }
}

fn wants(replicas: i32) -> Scale {
    Scale::Wants("d-1".into(), replicas)
}

fn plan(budget: &Value, pods: Vec<Pod>, scales: &[(&str, Scale)]) -> Plan {
    super::plan::plan(&view(budget, pods, scales), NOW)
}

fn numbers(plan: &Plan) -> [i64; 4] {
    let status = status(plan);
    ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
        .map(|name| status[name].as_i64().unwrap_or(0))
}

/// What is asked; pods wanted, there, ready; then expected, to be healthy, healthy, allowed.
#[test]
fn budgets_are_counted_and_shares_rounded_up() {
    let cases = [
        (min(json!(1)), (3, 3, 3), [3, 1, 3, 2]),
        (min(json!(3)), (3, 3, 3), [3, 3, 3, 0]),
        (min(json!(5)), (3, 3, 3), [3, 5, 3, 0]),
        (min(json!(0)), (3, 3, 3), [3, 0, 3, 3]),
        (min(json!(2)), (9, 3, 2), [3, 2, 2, 0]),
        (min(json!("50%")), (3, 3, 3), [3, 2, 3, 1]),
        (min(json!("34%")), (3, 3, 3), [3, 2, 3, 1]),
        (min(json!("33%")), (3, 3, 3), [3, 1, 3, 2]),
        (min(json!("100%")), (3, 3, 3), [3, 3, 3, 0]),
        (min(json!("0%")), (3, 3, 3), [3, 0, 3, 3]),
        (min(json!("50%")), (10, 5, 5), [10, 5, 5, 0]),
        (min(json!("50%")), (10, 10, 6), [10, 5, 6, 1]),
        (max(json!(1)), (3, 3, 3), [3, 2, 3, 1]),
        (max(json!(0)), (3, 3, 3), [3, 3, 3, 0]),
        (max(json!(5)), (3, 3, 3), [3, 0, 3, 3]),
        (max(json!(1)), (3, 3, 2), [3, 2, 2, 0]),
        (max(json!(1)), (3, 3, 1), [3, 2, 1, 0]),
        (max(json!("34%")), (3, 3, 3), [3, 1, 3, 2]),
        (max(json!("33%")), (3, 3, 3), [3, 2, 3, 1]),
        (max(json!("100%")), (3, 3, 0), [3, 0, 0, 0]),
        (max(json!("10%")), (1, 1, 1), [1, 0, 1, 1]),
        (max(json!("30%")), (7, 7, 7), [7, 4, 7, 3]),
        (max(json!(1)), (5, 3, 3), [5, 4, 3, 0]),
        (max(json!(1)), (2, 3, 3), [2, 1, 3, 2]),
        (max(json!(1)), (0, 2, 2), [0, 0, 2, 0]),
        (json!({}), (3, 3, 3), [0, 0, 3, 0]),
    ];
    for (spec, (wanted, there, ready), expected) in cases {
        let plan = plan(&budget(spec.clone()), pods("rs", there, ready), &[("rs", wants(wanted))]);
        assert_eq!(numbers(&plan), expected, "{spec} of {wanted}/{there}/{ready}");
        let allowed = expected[3] > 0;
        let condition = status(&plan)["conditions"][0].clone();
        let (truth, reason) =
            if allowed { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!((&condition["status"], &condition["reason"]), (&json!(truth), &json!(reason)), "{spec}");
        assert_eq!(
            (&condition["type"], &condition["observedGeneration"]),
            (&json!("DisruptionAllowed"), &json!(2))
        );
        assert_eq!(status(&plan)["observedGeneration"], 2);
    }
}

#[test]
fn each_owner_counts_once_and_a_deployment_for_all_its_sets() {
    let mut all = pods("old", 2, 2);
    all.extend(pods("new", 3, 3));
    let one = [("old", wants(4)), ("new", wants(4))];
    assert_eq!(numbers(&plan(&budget(max(json!(1))), all.clone(), &one)), [4, 3, 5, 2]);
    let two = [("old", Scale::Wants("a".into(), 4)), ("new", Scale::Wants("b".into(), 4))];
    assert_eq!(numbers(&plan(&budget(max(json!(1))), all, &two)), [8, 7, 5, 0]);
}

#[test]
fn pods_on_their_way_out_are_not_healthy() {
    let mut all = pods("rs", 3, 3);
    let going = json!({ "metadata": { "deletionTimestamp": ago(1), "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true }] } });
    all.push(pod(&running_pod("going", going)));
    assert_eq!(numbers(&plan(&budget(min(json!(1))), all, &[("rs", wants(3))])), [4, 1, 3, 2]);
}

#[test]
fn a_budget_without_pods_says_so_and_allows_nothing() {
    let plan = plan(&budget(min(json!(0))), Vec::new(), &[]);
    assert_eq!(numbers(&plan), [0, 0, 0, 0]);
    assert_eq!((plan.notes[0].reason, plan.notes[0].message.as_str()), ("NoPods", "No matching pods found"));
}

#[test]
fn pods_nobody_owns_are_told_of_where_their_number_matters() {
    let cases = [(min(json!(1)), false), (min(json!("50%")), true), (max(json!(1)), true)];
    for (spec, is_told) in cases {
        let plan = plan(&budget(spec.clone()), pods("", 2, 2), &[]);
        let told = plan.notes.iter().any(|note| note.reason == "UnmanagedPods");
        assert_eq!(told, is_told, "{spec}");
        if told {
            let shown = "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]\
                         LabelSelectorRequirement{},})";
            assert!(plan.notes[0].message.contains(shown), "{}", plan.notes[0].message);
        }
    }
}

#[test]
fn if_it_cannot_be_counted_nothing_may_be_evicted() {
    let cases = [
        (Scale::Missing, "found no controllers for pod \"rs-0\""),
        (
            Scale::Unscalable("jobs.batch does not implement the scale subresource".into()),
            "jobs.batch does not implement the scale subresource",
        ),
    ];
    for (scale, message) in cases {
        let before = json!({ "spec": { "maxUnavailable": 1 }, "status": { "disruptionsAllowed": 2,
            "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3, "observedGeneration": 1 } });
        let plan = plan(&budget(before), pods("rs", 1, 1), &[("rs", scale)]);
        let status = status(&plan);
        assert_eq!((&status["disruptionsAllowed"], &status["currentHealthy"]), (&json!(0), &json!(3)));
        let condition = &status["conditions"][0];
        assert_eq!((&condition["reason"], &condition["message"]), (&json!("SyncFailed"), &json!(message)));
        assert_eq!((&condition["status"], &condition["observedGeneration"]), (&json!("False"), &json!(1)));
        let note = &plan.notes[0];
        assert_eq!(note.reason, "CalculateExpectedPodCountFailed");
        assert_eq!(note.message, format!("Failed to calculate the number of expected pods: {message}"));
    }
}

#[test]
fn what_was_allowed_to_go_does_not_count_until_it_is_gone_or_was_not_to_be() {
    for (secs, healthy, is_kept) in [(10, 2, true), (119, 2, true), (120, 3, false), (500, 3, false)] {
        let before = json!({ "spec": { "minAvailable": 1 },
            "status": { "disruptedPods": { "rs-0": ago(secs), "long-gone": ago(5) } } });
        let plan = plan(&budget(before), pods("rs", 3, 3), &[("rs", wants(3))]);
        let status = status(&plan);
        assert_eq!(status["currentHealthy"], healthy, "{secs} s");
        assert_eq!(status["disruptedPods"].get("rs-0").is_some(), is_kept, "{secs} s");
        assert_eq!(status["disruptedPods"].get("long-gone"), None);
        let wait = plan.requeue_after.map(|wait| wait.as_secs());
        assert_eq!(wait, is_kept.then(|| 120 - secs as u64));
        assert_eq!(plan.notes.first().map(|note| note.reason), (!is_kept).then_some("NotDeleted"));
    }
}

#[test]
fn what_says_the_same_is_not_written_and_keeps_its_time() {
    let said = json!({ "spec": { "minAvailable": 1 }, "status": {
        "expectedPods": 3, "desiredHealthy": 1, "currentHealthy": 3, "disruptionsAllowed": 2,
        "observedGeneration": 2, "conditions": [{ "type": "DisruptionAllowed", "status": "True",
            "reason": "SufficientPods", "message": "", "observedGeneration": 2, "lastTransitionTime": ago(900) }] } });
    let all = plan(&budget(said.clone()), pods("rs", 3, 3), &[("rs", wants(3))]);
    assert!(all.status.is_none(), "{:?}", status(&all));
    let fewer = plan(&budget(said.clone()), pods("rs", 3, 2), &[("rs", wants(3))]);
    assert_eq!(status(&fewer)["conditions"][0]["lastTransitionTime"], ago(900));
    let none = plan(&budget(said), pods("rs", 3, 1), &[("rs", wants(3))]);
    assert_eq!(status(&none)["conditions"][0]["lastTransitionTime"], ago(0));
}

#[test]
fn an_announcement_that_came_to_nothing_is_taken_back() {
    let marked = |secs: i64, reason: &str, more: Value| {
        let mut changes = json!({ "status": { "conditions": [{ "type": "DisruptionTarget", "status": "True",
            "reason": reason, "lastTransitionTime": ago(secs) }] } });
        merge(&mut changes, more);
        marks::plan(&pod(&running_pod("p", changes)), NOW)
    };
    let api = "EvictionByEvictionAPI";
    let waiting = marked(30, api, json!({}));
    assert_eq!((waiting.ops().count(), waiting.requeue_after), (0, Some(Duration::from_secs(90))));
    let stale = marked(120, api, json!({}));
    let op = stale.ops().next().unwrap();
    assert_eq!(op.to_string(), "patch pods/status shop/p");
    let condition = &body(op)["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("DisruptionTarget"), &json!("False")));
    let quiet = [
        marked(500, "TerminationByKubelet", json!({})),
        marked(500, api, json!({ "metadata": { "deletionTimestamp": ago(1) } })),
        marked(500, api, json!({ "status": { "phase": "Failed" } })),
    ];
    for plan in quiet {
        assert!(plan.is_quiet() && plan.requeue_after.is_none(), "{plan:?}");
    }
}
