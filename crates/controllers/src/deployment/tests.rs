use std::collections::BTreeSet;

use client::plan::Plan;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::model::Set;
use super::plan::View;
use super::revision;
use crate::tests::fixtures::{NOW, ago, body, merge, object, status, writes};

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "image": image }] },
    })
}

fn deployment(replicas: i32, changes: Value) -> Value {
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "d-1", "resourceVersion": "9", "generation": 3,
            "annotations": { "deployment.kubernetes.io/revision": "2", "note": "n" },
        },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": template("v2"),
        },
        "status": { "observedGeneration": 3 },
    });
    merge(&mut deployment, changes);
    deployment
}

/// A set of the Deployment: revision, image, size, and how many of its pods are available.
fn set(revision: i64, image: &str, replicas: i32, available: i32) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"]["pod-template-hash"] = json!(format!("h{revision}"));
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("web-h{revision}"), "namespace": "shop", "uid": format!("s-{revision}"),
            "resourceVersion": "5", "generation": 1, "creationTimestamp": ago(1_000 - revision),
            "labels": { "app": "web" },
            "annotations": {
                "deployment.kubernetes.io/revision": revision.to_string(),
                "deployment.kubernetes.io/desired-replicas": "10",
                "deployment.kubernetes.io/max-replicas": "13",
                "note": "n",
            },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1",
                "controller": true }],
        },
        "spec": { "replicas": replicas, "template": template,
            "selector": { "matchLabels": { "app": "web" } } },
        "status": { "replicas": replicas, "readyReplicas": available, "availableReplicas": available,
            "terminatingReplicas": 0, "observedGeneration": 1 },
    })
}

fn view(deployment: &Value, sets: &[Value]) -> View {
    let object = object(deployment);
    let typed = object.view::<Deployment>().unwrap();
    let read = |set| {
        let object = crate::tests::fixtures::object(set);
        Set::read(&object, object.view().unwrap())
    };
    let sets = sets.iter().map(read).collect();
    View { object, deployment: typed, sets, living: BTreeSet::new(), namesake: None }
}

fn plan(deployment: &Value, sets: &[Value]) -> Plan {
    super::plan::plan(view(deployment, sets), NOW)
}

/// Set sizes a plan writes, by name.
fn sizes(plan: &Plan) -> Vec<(String, i64)> {
    plan.ops()
        .filter_map(|op| {
            let body = body(op);
            let name = body["metadata"]["name"].as_str().map_or(op.call.name.clone(), str::to_owned);
            Some((name, body["spec"]["replicas"].as_i64()?))
        })
        .collect()
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

#[test]
fn the_first_set_is_made_at_full_size_with_its_number() {
    let plan = plan(&deployment(3, json!({ "metadata": { "annotations": null } })), &[]);
    let op = plan.ops().next().unwrap();
    let set = body(op);
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);
    assert_eq!(set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], hash);
    assert_eq!(set["spec"]["replicas"], 3);
    let annotations = &set["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
    assert_eq!(annotations["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "4");
    let message = &op.success.as_ref().unwrap().message;
    assert_eq!(*message, format!("Scaled up replica set web-{hash} from 0 to 3"));
    let written = body(plan.status.as_ref().unwrap());
    assert_eq!(written["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let progress = condition(&written["status"], "Progressing");
    assert_eq!(progress["reason"], "NewReplicaSetCreated");
    assert_eq!(progress["message"], format!("Created new replica set \"web-{hash}\""));
    let available = condition(&written["status"], "Available");
    assert_eq!(
        (available["status"].as_str(), available["reason"].as_str()),
        (Some("False"), Some("MinimumReplicasUnavailable"))
    );
}

/// Status of the set and its age in seconds; then the reason for progress that is told, if anything is.
#[test]
fn a_new_deployment_tells_nothing_before_its_set_has_or_is_old_enough_to() {
    let new = deployment(10, json!({ "metadata": { "annotations": null }, "status": null }));
    assert!(plan(&new, &[]).status.is_none(), "the set is made first");
    let full = json!({ "replicas": 10, "observedGeneration": 1 });
    let cases = [
        (json!({ "replicas": 0 }), 0, None),
        (json!({ "replicas": 0 }), 2, Some("NewReplicaSetCreated")),
        (json!({ "replicas": 0, "observedGeneration": 1 }), 0, Some("NewReplicaSetCreated")),
        (full, 0, Some("ReplicaSetUpdated")),
    ];
    for (told, age, expected) in cases {
        let mut set = set(1, "v2", 10, 0);
        set["status"] = told.clone();
        set["metadata"]["creationTimestamp"] = json!(ago(age));
        let plan = plan(&new, &[set]);
        let reason = plan.status.as_ref().map(|op| {
            let written = body(op);
            condition(&written["status"], "Progressing")["reason"].as_str().unwrap().to_owned()
        });
        assert_eq!(reason.as_deref(), expected, "{told} after {age} s");
        assert_eq!(
            plan.requeue_after.is_some_and(|after| after.as_secs() <= 2),
            expected.is_none(),
            "{told}"
        );
    }
}

#[test]
fn a_set_inherits_what_is_not_its_own() {
    let annotated = json!({ "metadata": { "annotations": {
        "kubernetes.io/change-cause": "because", "kubectl.kubernetes.io/last-applied-configuration": "{}" } } });
    let set = body(plan(&deployment(1, annotated), &[]).ops().next().unwrap());
    assert_eq!(set["metadata"]["annotations"]["kubernetes.io/change-cause"], "because");
    assert_eq!(set["metadata"]["annotations"].get("kubectl.kubernetes.io/last-applied-configuration"), None);
}

/// Old and new: size and availability before; then the sizes the plan writes.
#[test]
fn a_rollout_keeps_within_its_bounds() {
    let percent = |surge: Value, unavailable: Value| json!({ "spec": { "strategy": { "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } } } });
    type Case = (Value, Value, (i32, i32), (i32, i32), &'static [(&'static str, i64)]);
    let cases: Vec<Case> = vec![
        // The newest grows into the surge first.
        (json!("25%"), json!("25%"), (10, 10), (0, 0), &[("web-h2", 3)]),
        // At the limit, old ones go as far as availability allows.
        (json!("25%"), json!("25%"), (10, 10), (3, 0), &[("web-h1", 8)]),
        (json!("25%"), json!("25%"), (8, 8), (5, 2), &[("web-h1", 6)]),
        (json!("25%"), json!("25%"), (8, 8), (5, 0), &[]),
        (json!("25%"), json!("25%"), (6, 6), (5, 5), &[("web-h2", 7)]),
        // Old ones that serve nobody go first, however few are available.
        (json!("25%"), json!("25%"), (10, 5), (3, 3), &[("web-h1", 5)]),
        (json!(0), json!(1), (10, 10), (0, 0), &[("web-h1", 9)]),
        (json!(0), json!(1), (9, 9), (0, 0), &[("web-h2", 1)]),
        (json!(0), json!(1), (9, 9), (1, 0), &[]),
        (json!(0), json!(1), (9, 9), (1, 1), &[("web-h1", 8)]),
        (json!(1), json!(0), (10, 10), (0, 0), &[("web-h2", 1)]),
        (json!(1), json!(0), (10, 10), (1, 0), &[]),
        (json!(1), json!(0), (10, 10), (1, 1), &[("web-h1", 9)]),
        (json!("100%"), json!(0), (10, 10), (0, 0), &[("web-h2", 10)]),
        (json!("0%"), json!("0%"), (10, 10), (0, 0), &[("web-h1", 9)]),
        (json!("50%"), json!("100%"), (10, 10), (5, 5), &[("web-h1", 0)]),
        // Nothing left to replace.
        (json!("25%"), json!("25%"), (0, 0), (10, 10), &[]),
        (json!("25%"), json!("25%"), (0, 0), (10, 3), &[]),
    ];
    for (surge, unavailable, old, new, expected) in cases {
        let deployment = deployment(10, percent(surge.clone(), unavailable.clone()));
        let plan = plan(&deployment, &[set(1, "v1", old.0, old.1), set(2, "v2", new.0, new.1)]);
        let expected: Vec<(String, i64)> =
            expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        assert_eq!(
            sizes(&plan),
            expected,
            "surge {surge}, unavailable {unavailable}, old {old:?}, new {new:?}"
        );
    }
}

/// Steps a rollout to its end, with pods that become available one step later, and checks every step.
#[test]
fn every_rollout_ends_and_never_breaks_its_bounds() {
    for wanted in [1, 2, 3, 7, 10, 23] {
        for (surge, unavailable) in
            [("25%", "25%"), ("0%", "34%"), ("50%", "0%"), ("100%", "100%"), ("1%", "1%"), ("0%", "0%")]
        {
            roll_to_the_end(wanted, surge, unavailable);
        }
    }
}

fn roll_to_the_end(wanted: i32, surge: &str, unavailable: &str) {
    let changes = json!({ "spec": { "strategy": { "rollingUpdate": {
        "maxSurge": surge, "maxUnavailable": unavailable } } } });
    let deployment = deployment(wanted, changes);
    let percent = |text: &str| text.trim_end_matches('%').parse::<i32>().unwrap();
    let up = (wanted * percent(surge) + 99) / 100;
    let down = wanted * percent(unavailable) / 100;
    let (up, down) = if up == 0 && down == 0 { (0, 1) } else { (up, down) };
    let mut old = (wanted, wanted);
    let mut new = (0, 0);
    for _ in 0..200 {
        let mut sets = [set(1, "v1", old.0, old.1), set(2, "v2", new.0, new.1)];
        for set in &mut sets {
            set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] =
                json!(wanted.to_string());
        }
        let written = sizes(&plan(&deployment, &sets));
        for (name, size) in &written {
            let size = i32::try_from(*size).unwrap();
            if name == "web-h1" {
                old = (size, old.1.min(size));
            } else {
                new = (size, new.1.min(size));
            }
        }
        assert!(old.0 + new.0 <= wanted + up, "{wanted} {surge} {unavailable}: {old:?} {new:?}");
        assert!(old.1 + new.1 >= wanted - down, "{wanted} {surge} {unavailable}: {old:?} {new:?}");
        if written.is_empty() && new.0 == new.1 {
            break;
        }
        new.1 = new.0.min(new.1 + 1);
    }
    assert_eq!((old, new), ((0, 0), (wanted, wanted)), "{wanted} {surge} {unavailable}");
}

#[test]
fn a_changed_size_is_shared_out_in_proportion() {
    // Wanted, sizes of old and new, and the sizes after.
    let cases = [
        (20, (10, 3), [("web-h1", 19), ("web-h2", 6)]),
        (5, (10, 3), [("web-h1", 5), ("web-h2", 2)]),
        (15, (7, 6), [("web-h1", 10), ("web-h2", 9)]),
    ];
    for (wanted, (old, new), expected) in cases {
        let plan = plan(&deployment(wanted, json!({})), &[set(1, "v1", old, old), set(2, "v2", new, 0)]);
        let mut written = sizes(&plan);
        written.sort();
        let total: i64 = written.iter().map(|(_, size)| size).sum();
        let surge = (i64::from(wanted) * 25 + 99) / 100;
        assert_eq!(total, i64::from(wanted) + surge, "{wanted}");
        let expected: Vec<(String, i64)> =
            expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        assert_eq!(written, expected, "{wanted}");
    }
}

/// Wanted; size and availability of old and new; sizes after.
#[test]
fn a_smaller_size_takes_none_that_serve_while_others_could_go() {
    let cases = [
        (3, (3, 3), (2, 0), (3, 1)),
        (4, (3, 0), (4, 3), (2, 3)),
        (5, (10, 4), (3, 0), (5, 2)),
        (5, (10, 2), (5, 5), (4, 3)),
        (5, (10, 0), (5, 5), (3, 4)),
        (1, (8, 8), (5, 5), (1, 1)),
    ];
    for (wanted, old, new, expected) in cases {
        let sets = [set(1, "v1", old.0, old.1), set(2, "v2", new.0, new.1)];
        let written = sizes(&plan(&deployment(wanted, json!({})), &sets));
        let size = |name: &str, before: i32| {
            written.iter().find(|(set, _)| set == name).map_or(i64::from(before), |(_, size)| *size)
        };
        assert_eq!(
            (size("web-h1", old.0), size("web-h2", new.0)),
            expected,
            "{wanted} of {old:?} and {new:?}: {written:?}"
        );
    }
}

#[test]
fn a_single_active_set_takes_the_whole_size() {
    let plan = plan(&deployment(4, json!({})), &[set(1, "v1", 0, 0), set(2, "v2", 10, 10)]);
    assert_eq!(sizes(&plan), [("web-h2".to_owned(), 4)]);
    let annotations = &body(plan.ops().next().unwrap())["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/desired-replicas"], "4");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "5");
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let paused = json!({ "spec": { "paused": true } });
    let unchanged = plan(&deployment(10, paused.clone()), &[set(1, "v1", 10, 10)]);
    assert!(sizes(&unchanged).is_empty());
    let progress = condition(&status(&unchanged), "Progressing").clone();
    assert_eq!((&progress["status"], &progress["reason"]), (&json!("Unknown"), &json!("DeploymentPaused")));
    let grown = plan(&deployment(12, paused), &[set(1, "v1", 10, 10)]);
    assert_eq!(sizes(&grown), [("web-h1".to_owned(), 12)]);
}

#[test]
fn recreating_waits_for_all_old_pods() {
    let recreate = json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } });
    let deployment = deployment(10, recreate);
    let first = plan(&deployment, &[set(1, "v1", 10, 10)]);
    assert_eq!(sizes(&first), [("web-h1".to_owned(), 0)]);
    let mut counted = set(1, "v1", 0, 0);
    counted["status"]["replicas"] = json!(2);
    assert!(sizes(&plan(&deployment, &[counted])).is_empty());
    let mut ending = view(&deployment, &[set(1, "v1", 0, 0)]);
    ending.living = BTreeSet::from(["s-1".into()]);
    assert!(sizes(&super::plan::plan(ending, NOW)).is_empty());
    let last = plan(&deployment, &[set(1, "v1", 0, 0)]);
    assert_eq!(sizes(&last)[0].1, 10);
}

#[test]
fn recreating_does_not_wait_for_the_pods_of_others() {
    let recreate = json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } });
    let mut orphan = set(1, "v1", 3, 3);
    orphan["metadata"]["ownerReferences"] = json!(null);
    orphan["metadata"]["labels"] = json!({ "app": "another" });
    let mut view = view(&deployment(10, recreate), &[orphan]);
    view.living = BTreeSet::from(["s-1".into()]);
    assert_eq!(sizes(&super::plan::plan(view, NOW))[0].1, 10);
}

#[test]
fn what_a_set_is_about_to_give_up_serves_nobody() {
    // Of the six that are told to be available one is on its way out: one can be spared, not two.
    let changes =
        json!({ "spec": { "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 2 } } } });
    let mut sets = [set(1, "v1", 2, 3), set(2, "v2", 5, 3)];
    sets.iter_mut().for_each(|set| {
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = json!("6");
    });
    assert_eq!(sizes(&plan(&deployment(6, changes), &sets)), [("web-h1".to_owned(), 1)]);
}

#[test]
fn going_back_gives_the_old_set_a_new_number() {
    let back = deployment(10, json!({ "spec": { "template": template("v1") } }));
    let plan = plan(&back, &[set(1, "v1", 0, 0), set(2, "v2", 10, 10)]);
    let patch = body(plan.ops().next().unwrap());
    assert_eq!(patch["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(patch["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(patch["spec"]["replicas"], 3);
    let written = body(plan.status.as_ref().unwrap());
    assert_eq!(written["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
}

#[test]
fn a_taken_name_is_counted_and_another_is_used() {
    let mut taken = view(&deployment(1, json!({})), &[]);
    let first = revision::next_name(&taken);
    taken.namesake = Some(object(&set(7, "v7", 1, 1)));
    let plan = super::plan::plan(taken, NOW);
    assert_eq!(plan.ops().count(), 0);
    assert_eq!(status(&plan)["collisionCount"], 1);
    let counted = view(&deployment(1, json!({ "status": { "collisionCount": 1 } })), &[]);
    assert_ne!(revision::next_name(&counted), first);
}

#[test]
fn of_two_sets_with_the_template_the_older_is_the_newest() {
    let deployment = deployment(10, json!({}));
    let mut twin = set(3, "v2", 0, 0);
    twin["metadata"]["creationTimestamp"] = json!(ago(10));
    let plan = plan(&deployment, &[twin, set(2, "v2", 10, 10)]);
    assert_eq!(
        body(plan.ops().next().unwrap())["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "4"
    );
    assert_eq!(plan.ops().next().unwrap().call.name, "web-h2");
}

fn complete() -> Value {
    json!({ "status": {
        "replicas": 10, "updatedReplicas": 10, "readyReplicas": 10, "availableReplicas": 10,
        "terminatingReplicas": 0,
        "conditions": [
            { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
              "message": "Deployment has minimum availability.", "lastUpdateTime": ago(50), "lastTransitionTime": ago(50) },
            { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
              "message": "ReplicaSet \"web-h2\" has successfully progressed.",
              "lastUpdateTime": ago(50), "lastTransitionTime": ago(90) },
        ] } })
}

#[test]
fn nothing_is_written_when_all_is_done() {
    let plan = plan(&deployment(10, complete()), &[set(1, "v1", 0, 0), set(2, "v2", 10, 10)]);
    assert!(plan.is_quiet(), "{plan:?}");
    assert_eq!(plan.requeue_after, None);
}

#[test]
fn old_sets_beyond_the_limit_are_forgotten_when_all_is_done() {
    let mut limited = complete();
    limited["spec"] = json!({ "revisionHistoryLimit": 1 });
    let sets = [set(1, "v0", 0, 0), set(2, "v2", 10, 10), set(-1, "v-1", 0, 0), set(-2, "v-2", 1, 0)];
    let mut deployment = deployment(10, limited);
    deployment["status"]["updatedReplicas"] = json!(10);
    let plan = plan(&deployment, &sets);
    let deleted: Vec<String> =
        writes(&plan).into_iter().filter(|write| write.starts_with("delete")).collect();
    assert_eq!(deleted, ["delete replicasets shop/web-h-1"], "-2 is the oldest but has a pod");
}

#[test]
fn progress_is_told_and_the_deadline_kept() {
    let since = |secs| {
        json!({ "status": { "conditions": [
        { "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "m",
          "lastUpdateTime": ago(secs), "lastTransitionTime": ago(900) }] } })
    };
    let sets = [set(1, "v1", 8, 8), set(2, "v2", 5, 0)];
    let mut seen = since(100);
    merge(
        &mut seen,
        json!({ "status": { "replicas": 13, "updatedReplicas": 5, "readyReplicas": 8, "availableReplicas": 8,
        "unavailableReplicas": 5, "terminatingReplicas": 0 } }),
    );
    let waiting = plan(&deployment(10, seen.clone()), &sets);
    assert_eq!(condition(&status(&waiting), "Progressing")["reason"], "ReplicaSetUpdated");
    let mut late = seen.clone();
    merge(&mut late, since(700));
    let timed_out = status(&plan(&deployment(10, late), &sets));
    let progress = condition(&timed_out, "Progressing");
    assert_eq!(
        (&progress["status"], &progress["reason"]),
        (&json!("False"), &json!("ProgressDeadlineExceeded"))
    );
    assert_eq!(progress["message"], "ReplicaSet \"web-h2\" has timed out progressing.");
    let progressed = status(&plan(&deployment(10, since(700)), &sets));
    let progress = condition(&progressed, "Progressing");
    assert_eq!(progress["message"], "ReplicaSet \"web-h2\" is progressing.");
    assert_eq!(progress["lastTransitionTime"], ago(900));
}

#[test]
fn a_waiting_deployment_is_looked_at_when_its_deadline_passes() {
    let mut said = json!({ "status": { "replicas": 13, "updatedReplicas": 5, "readyReplicas": 8, "availableReplicas": 8,
        "unavailableReplicas": 5, "terminatingReplicas": 0,
        "conditions": [
            { "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "m",
              "lastUpdateTime": ago(100), "lastTransitionTime": ago(900) },
            { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
              "message": "Deployment has minimum availability.", "lastUpdateTime": ago(50), "lastTransitionTime": ago(50) }] } });
    said["metadata"] = json!({ "generation": 3 });
    let plan = plan(&deployment(10, said), &[set(1, "v1", 8, 8), set(2, "v2", 5, 0)]);
    assert!(plan.is_quiet(), "{plan:?}");
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 501);
}

#[test]
fn failures_of_sets_are_passed_on() {
    let mut failing = set(2, "v2", 10, 0);
    failing["status"]["conditions"] = json!([{ "type": "ReplicaFailure", "status": "True",
        "reason": "FailedCreate", "message": "quota" }]);
    let status = status(&plan(&deployment(10, json!({})), &[failing]));
    assert_eq!(condition(&status, "ReplicaFailure")["message"], "quota");
}

#[test]
fn one_that_selects_everything_is_refused() {
    let everything =
        json!({ "spec": { "selector": { "matchLabels": null } }, "status": { "observedGeneration": 1 } });
    let plan = plan(&deployment(1, everything), &[]);
    assert_eq!(plan.notes[0].reason, "SelectingAll");
    assert_eq!(plan.ops().count(), 0);
    assert_eq!(status(&plan)["observedGeneration"], 3);
}

#[test]
fn one_that_is_deleted_only_tells() {
    let deleted = json!({ "metadata": { "deletionTimestamp": ago(1) } });
    let plan = plan(&deployment(3, deleted), &[set(1, "v1", 2, 2)]);
    assert_eq!(plan.ops().count(), 0);
    assert_eq!(status(&plan)["replicas"], 2);
}
