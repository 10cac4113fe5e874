mod storage;
mod updates;

use client::plan::Plan;
use client::resources;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::identity;
use super::model;
use super::plan::View;
use crate::history::{self, Revision};
use crate::tests::fixtures::{NOW, ago, body, merge, object, pod, status, writes};
use crate::tests::world::World;

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "image": image }] },
    })
}

fn set(replicas: i64, changes: Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "web", "namespace": "shop", "uid": "set-1", "generation": 1,
            "annotations": { "note": "n" } },
        "spec": {
            "replicas": replicas, "serviceName": "peers", "podManagementPolicy": "OrderedReady",
            "selector": { "matchLabels": { "app": "web" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
            "revisionHistoryLimit": 10,
            "template": template("v1"),
        },
    });
    merge(&mut set, changes);
    set
}

fn parallel() -> Value {
    json!({ "spec": { "podManagementPolicy": "Parallel" } })
}

/// A world with a set in it.
fn world(set: Value) -> World {
    let mut world = World::default();
    world.put(resources::STATEFUL_SETS, set);
    world
}

fn view(world: &World) -> View {
    let object = object(world.get(resources::STATEFUL_SETS, "shop", "web").unwrap());
    let set = object.view::<StatefulSet>().unwrap();
    let data = history::data_of(&object).unwrap();
    let taken = world.names(resources::CONTROLLER_REVISIONS);
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let claims = world.objects(resources::PERSISTENT_VOLUME_CLAIMS).into_iter();
    View {
        next: history::next_name("web", &data, collisions, |name| taken.iter().any(|own| own == name)),
        set,
        pods: world.pods(),
        revisions: world
            .objects(resources::CONTROLLER_REVISIONS)
            .iter()
            .map(|revision| Revision::read(revision).unwrap())
            .collect(),
        data,
        claims: claims.map(|claim| (claim.header().name.clone(), claim)).collect(),
        object,
    }
}

fn plan(world: &World) -> Plan {
    super::plan::plan(&view(world), NOW)
}

/// Plans and acts until nothing is left to do, with nodes that run pods between.
fn settle(world: &mut World) {
    for _ in 0..200 {
        let plan = plan(world);
        let done = world.carry_out(&plan, usize::MAX);
        world.run_pods();
        if done == 0 && world.pods().iter().all(|pod| pod.facts.is_ready) {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", world.log);
}

fn settled(set: Value) -> World {
    let mut world = world(set);
    settle(&mut world);
    world.log.clear();
    world
}

/// Pods with the image each has.
fn images(world: &World) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    world
        .list(resources::PODS)
        .iter()
        .map(|pod| (text(&pod["metadata"]["name"]), text(&pod["spec"]["containers"][0]["image"])))
        .collect()
}

fn change_set(world: &mut World, patch: Value) {
    let generation =
        world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["metadata"]["generation"].clone();
    world.edit(resources::STATEFUL_SETS, "shop", "web", patch);
    let next = json!({ "metadata": { "generation": generation.as_i64().unwrap() + 1 } });
    world.edit(resources::STATEFUL_SETS, "shop", "web", next);
}

fn set_image(world: &mut World, image: &str) {
    change_set(world, json!({ "spec": { "template": template(image) } }));
}

/// Makes a pod something else than running and ready.
fn make_pod(world: &mut World, name: &str, state: &str) {
    let conditions =
        |ready: &str| json!([{ "type": "Ready", "status": ready, "lastTransitionTime": ago(1_000) }]);
    let patch = match state {
        "unready" => json!({ "status": { "conditions": conditions("False") } }),
        "going" => json!({ "metadata": { "deletionTimestamp": ago(1) } }),
        "pending" => json!({ "status": { "phase": "Pending", "conditions": null } }),
        phase => json!({ "status": { "phase": phase, "conditions": conditions("False") } }),
    };
    world.edit(resources::PODS, "shop", name, patch);
}

fn pod_writes(plan: &Plan) -> Vec<String> {
    writes(plan).into_iter().filter(|write| write.contains(" pods ")).collect()
}

fn names_made(plan: &Plan) -> Vec<String> {
    plan.ops()
        .filter(|op| op.resource == resources::PODS && op.to_string().starts_with("create"))
        .map(|op| body(op)["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ordinals_are_read_from_names() {
    let cases = [
        ("web-0", Some(0)),
        ("web-17", Some(17)),
        ("web-007", None),
        ("web-+1", None),
        ("web-", None),
        ("web", None),
        ("web-a-1", None),
        ("other-1", None),
        ("web--1", None),
        ("web-2147483647", Some(i32::MAX)),
        ("web-2147483648", None),
    ];
    for (name, expected) in cases {
        assert_eq!(identity::ordinal("web", name), expected, "{name}");
    }
}

#[test]
fn a_set_of_two_thousand_million_is_not_walked_through() {
    let set = object(&set(2_147_483_647, parallel())).view::<StatefulSet>().unwrap();
    let ordinals = model::ordinals("web", set.spec.as_ref().unwrap(), &[]);
    assert_eq!(ordinals.len(), model::BURST);
    let world = world(super::tests::set(2_147_483_647, parallel()));
    assert_eq!(names_made(&plan(&world)).len(), model::BURST);
}

#[test]
fn the_first_sync_keeps_the_template_and_makes_the_first_pod() {
    let plan = plan(&world(set(3, json!({}))));
    let ops: Vec<Value> = plan.ops().map(body).collect();
    assert_eq!(ops.len(), 2);
    let (revision, pod) = (&ops[0], &ops[1]);
    assert_eq!(revision["kind"], "ControllerRevision");
    assert_eq!(revision["revision"], 1);
    assert_eq!(revision["metadata"]["annotations"], json!({ "note": "n" }));
    assert_eq!(revision["metadata"]["labels"]["app"], "web");
    let name = revision["metadata"]["name"].as_str().unwrap();
    let hash = revision["metadata"]["labels"]["controller.kubernetes.io/hash"].as_str().unwrap();
    assert_eq!(name, format!("web-{hash}"));
    assert_eq!(pod["metadata"]["name"], "web-0");
    assert_eq!(pod["metadata"]["generateName"], "web-");
    assert_eq!(
        pod["metadata"]["labels"],
        json!({ "app": "web", "controller-revision-hash": name, "statefulset.kubernetes.io/pod-name": "web-0",
            "apps.kubernetes.io/pod-index": "0" })
    );
    assert_eq!(pod["spec"]["hostname"], "web-0");
    assert_eq!(pod["spec"]["subdomain"], "peers");
    let op = plan.ops().nth(1).unwrap();
    let success = op.success.as_ref().unwrap();
    assert_eq!(
        (success.reason, success.message.as_str()),
        ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful")
    );
    let failure = op.failure.as_ref().unwrap();
    assert_eq!(failure.message, "create Pod web-0 in StatefulSet web failed error: {error}");
    let status = status(&plan);
    assert_eq!((&status["currentRevision"], &status["updateRevision"]), (&json!(name), &json!(name)));
    assert_eq!((&status["replicas"], &status["observedGeneration"]), (&json!(0), &json!(1)));
    assert_eq!(status["collisionCount"], 0);
}

#[test]
fn pods_come_one_after_another_or_at_once() {
    let first = plan(&world(set(4, json!({}))));
    assert_eq!(names_made(&first), ["web-0"]);
    let all = plan(&world(set(4, parallel())));
    assert_eq!(names_made(&all), ["web-0", "web-1", "web-2", "web-3"]);
    let sizes: Vec<usize> = all
        .steps
        .iter()
        .skip(1)
        .map(|step| match step {
            client::Step::Together(ops) => ops.len(),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(sizes, [1, 2, 1]);
}

#[test]
fn ordinals_may_start_elsewhere() {
    let world = settled(set(3, json!({ "spec": { "ordinals": { "start": 5 } } })));
    assert_eq!(world.names(resources::PODS), ["web-5", "web-6", "web-7"]);
}

/// What the second pod of three is, which one is missing, and what is done then.
#[test]
fn those_after_a_pod_that_is_not_well_wait() {
    let cases: [(&str, &[&str], &str); 7] = [
        ("unready", &[], "waits for web-1 to run and be ready"),
        ("pending", &[], "waits for web-1 to run and be ready"),
        ("Unknown", &[], "waits for web-1 to run and be ready"),
        ("going", &[], "waits for web-1 to end"),
        ("Failed", &["delete pods shop/web-1"], "replaces web-1, which has ended"),
        ("Succeeded", &["delete pods shop/web-1"], "replaces web-1, which has ended"),
        ("Running", &[], "waits for web-1 to run and be ready"),
    ];
    for (state, expected, why) in cases {
        let mut world = settled(set(3, json!({})));
        world.remove(resources::PODS, "shop", "web-2");
        make_pod(&mut world, "web-1", state);
        let plan = plan(&world);
        assert_eq!(pod_writes(&plan), expected, "{state}");
        assert!(plan.reasons.iter().any(|reason| reason == why), "{state}: {:?}", plan.reasons);
    }
}

#[test]
fn pods_that_come_at_once_do_not_wait() {
    for state in ["unready", "pending", "going", "Unknown"] {
        let mut world = settled(set(3, parallel()));
        world.remove(resources::PODS, "shop", "web-2");
        make_pod(&mut world, "web-1", state);
        assert_eq!(names_made(&plan(&world)), ["web-2"], "{state}");
    }
    let mut world = settled(set(3, parallel()));
    make_pod(&mut world, "web-0", "Failed");
    world.remove(resources::PODS, "shop", "web-2");
    assert_eq!(pod_writes(&plan(&world)), ["delete pods shop/web-0", "create pods shop/?"]);
}

#[test]
fn a_failed_pod_is_not_deleted_twice_and_comes_back_under_its_name() {
    let mut world = settled(set(2, json!({})));
    let before = world.get(resources::PODS, "shop", "web-0").unwrap()["metadata"]["uid"].clone();
    make_pod(&mut world, "web-0", "Failed");
    make_pod(&mut world, "web-0", "going");
    assert_eq!(pod_writes(&plan(&world)), Vec::<String>::new());
    settle(&mut world);
    let after = world.get(resources::PODS, "shop", "web-0").unwrap()["metadata"]["uid"].clone();
    assert_ne!(before, after);
}

#[test]
fn a_pod_must_have_been_ready_for_long_enough() {
    let mut world = settled(set(3, json!({ "spec": { "minReadySeconds": 0 } })));
    change_set(&mut world, json!({ "spec": { "minReadySeconds": 30 } }));
    let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": ago(10) }]);
    for name in ["web-0", "web-1", "web-2"] {
        world.edit(resources::PODS, "shop", name, json!({ "status": { "conditions": ready } }));
    }
    world.remove(resources::PODS, "shop", "web-2");
    let plan = plan(&world);
    assert_eq!(pod_writes(&plan), Vec::<String>::new());
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 20);
    let status = status(&plan);
    assert_eq!((&status["readyReplicas"], &status["availableReplicas"]), (&json!(2), &json!(0)));
}

/// States of web-2 and web-1 when one pod remains wanted, and what is removed.
#[test]
fn the_highest_go_first_and_only_while_the_others_are_well() {
    let cases: [(&str, &str, &[&str]); 8] = [
        ("", "", &["delete pods shop/web-2"]),
        ("going", "", &[]),
        ("unready", "", &["delete pods shop/web-2"]),
        ("unready", "unready", &[]),
        ("", "unready", &["delete pods shop/web-2"]),
        ("", "going", &["delete pods shop/web-2"]),
        ("pending", "pending", &[]),
        ("Failed", "", &["delete pods shop/web-2"]),
    ];
    for (highest, next, expected) in cases {
        let mut world = settled(set(3, json!({})));
        change_set(&mut world, json!({ "spec": { "replicas": 1 } }));
        for (name, state) in [("web-2", highest), ("web-1", next)] {
            if !state.is_empty() {
                make_pod(&mut world, name, state);
            }
        }
        assert_eq!(pod_writes(&plan(&world)), expected, "{highest:?} and {next:?}");
    }
}

#[test]
fn no_pod_goes_while_one_that_stays_is_not_well() {
    for state in ["unready", "pending", "going"] {
        let mut world = settled(set(3, json!({})));
        change_set(&mut world, json!({ "spec": { "replicas": 1 } }));
        make_pod(&mut world, "web-0", state);
        assert_eq!(pod_writes(&plan(&world)), Vec::<String>::new(), "{state}");
    }
    let mut world = settled(set(3, parallel()));
    change_set(&mut world, json!({ "spec": { "replicas": 1 } }));
    make_pod(&mut world, "web-0", "unready");
    assert_eq!(pod_writes(&plan(&world)), ["delete pods shop/web-2", "delete pods shop/web-1"]);
}

#[test]
fn a_set_that_is_deleted_makes_nothing_but_counts() {
    let mut world = settled(set(2, json!({})));
    world.remove(resources::PODS, "shop", "web-1");
    change_set(&mut world, json!({ "metadata": { "deletionTimestamp": ago(1) } }));
    let plan = plan(&world);
    assert_eq!(writes(&plan), Vec::<String>::new());
    assert_eq!(status(&plan)["replicas"], 1);
    let never = self::plan(&self::world(set(2, json!({ "metadata": { "deletionTimestamp": ago(1) } }))));
    assert!(never.is_quiet(), "{never:?}");
}

#[test]
fn orphans_of_its_names_are_taken_in_and_given_their_label() {
    let mut world = settled(set(1, json!({})));
    let nobody = json!({ "metadata": { "ownerReferences": null, "labels": { "statefulset.kubernetes.io/pod-name": null } } });
    world.edit(resources::PODS, "shop", "web-0", nobody);
    let mut stranger = world.get(resources::PODS, "shop", "web-0").unwrap().clone();
    merge(&mut stranger, json!({ "metadata": { "name": "stranger", "uid": "s-1" } }));
    world.put(resources::PODS, stranger);
    let plan = plan(&world);
    assert_eq!(writes(&plan), ["patch pods shop/web-0", "patch pods shop/web-0"]);
    assert!(matches!(&plan.steps[0], client::Step::Confirm { uid, .. } if uid == "set-1"));
    let update = plan.ops().nth(1).unwrap();
    assert_eq!(body(update)["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "web-0");
    assert_eq!(update.success.as_ref().unwrap().message, "update Pod web-0 in StatefulSet web successful");
}

#[test]
fn a_pod_of_its_own_under_a_name_it_does_not_give_is_let_go() {
    let mut world = settled(set(1, json!({})));
    let mut odd = world.get(resources::PODS, "shop", "web-0").unwrap().clone();
    merge(&mut odd, json!({ "metadata": { "name": "odd", "uid": "o-1" } }));
    world.put(resources::PODS, odd);
    assert_eq!(writes(&plan(&world)), ["patch pods shop/odd"]);
}

#[test]
fn conditions_of_others_stay_in_the_status() {
    let mut world = settled(set(1, json!({})));
    let conditions = json!([{ "type": "Mine", "status": "True" }]);
    world.edit(resources::STATEFUL_SETS, "shop", "web", json!({ "status": { "conditions": conditions } }));
    world.remove(resources::PODS, "shop", "web-0");
    assert_eq!(status(&plan(&world))["conditions"][0]["type"], "Mine");
}

#[test]
fn a_failure_does_not_hide_how_many_pods_there_are() {
    let mut world = settled(set(3, json!({})));
    world.remove(resources::PODS, "shop", "web-2");
    let mut failing = plan(&world);
    let decide = failing.after_failure.take().unwrap();
    let op = decide(&machinery::Status::bad_request("quota exceeded")).unwrap();
    assert_eq!(body(&op)["status"]["replicas"], 2);
    let mut first = plan(&self::world(set(3, json!({}))));
    assert!(first.after_failure.take().is_none(), "its revision might not exist");
}

#[test]
fn whatever_is_cut_off_is_made_good() {
    let changes = [
        json!({}),
        parallel(),
        json!({ "spec": { "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] } }),
    ];
    let acts: [fn(&mut World); 4] = [
        |_| {},
        |world| set_image(world, "v2"),
        |world| change_set(world, json!({ "spec": { "replicas": 1 } })),
        |world| {
            set_image(world, "v2");
            change_set(world, json!({ "spec": { "replicas": 4 } }));
        },
    ];
    for changes in &changes {
        for act in acts {
            for limit in 0..3 {
                let mut world = world(set(3, changes.clone()));
                crash_often(&mut world, limit);
                act(&mut world);
                crash_often(&mut world, limit);
                settle(&mut world);
                let spec = world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["spec"].clone();
                let wanted = spec["replicas"].as_u64().unwrap() as usize;
                let image = spec["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
                let images = images(&world);
                assert_eq!(images.len(), wanted, "{limit}: {:?}", world.log);
                assert!(images.iter().all(|(_, own)| own == image), "{limit}: {images:?}");
                let status = &world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"];
                assert_eq!(status["currentRevision"], status["updateRevision"]);
                assert_eq!(status["updatedReplicas"], wanted);
            }
        }
    }
}

/// Plans are cut off after `limit` writes, ten times.
fn crash_often(world: &mut World, limit: usize) {
    for _ in 0..10 {
        let plan = plan(world);
        world.carry_out(&plan, limit);
        world.run_pods();
    }
}

#[test]
fn a_pod_decodes_as_it_is_made() {
    let plan = plan(&world(set(1, json!({}))));
    let document = body(plan.ops().nth(1).unwrap());
    assert_eq!(pod(&document).object.header().name, "web-0");
}
