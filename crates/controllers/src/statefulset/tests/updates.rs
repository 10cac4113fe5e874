//! How pods of older templates are replaced, in order.

use super::*;

fn strategy(kind: &str, rolling: Value) -> Value {
    json!({ "spec": { "updateStrategy": { "type": kind, "rollingUpdate": rolling } } })
}

fn of(world: &World, image: &str) -> Vec<String> {
    images(world).into_iter().filter(|(_, own)| own == image).map(|(name, _)| name).collect()
}

#[test]
fn a_new_template_replaces_pods_from_the_highest_on_one_by_one() {
    let mut world = settled(set(3, json!({})));
    set_image(&mut world, "v2");
    let mut order = Vec::new();
    for _ in 0..30 {
        let plan = plan(&world);
        let removed: Vec<String> =
            pod_writes(&plan).into_iter().filter(|w| w.starts_with("delete")).collect();
        assert!(removed.len() <= 1, "{removed:?}");
        order.extend(removed);
        world.carry_out(&plan, usize::MAX);
        world.run_pods();
    }
    assert_eq!(order, ["delete pods shop/web-2", "delete pods shop/web-1", "delete pods shop/web-0"]);
    assert_eq!(of(&world, "v2").len(), 3);
    let status = &world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"];
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(3), &json!(3)));
}

#[test]
fn while_an_update_is_under_way_both_revisions_are_told() {
    let mut world = settled(set(3, json!({})));
    let old =
        world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"]["currentRevision"].clone();
    set_image(&mut world, "v2");
    let first = plan(&world);
    let status = status(&first);
    assert_eq!(status["currentRevision"], old);
    assert_ne!(status["updateRevision"], old);
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(2), &json!(0)));
}

/// Replicas, partition; then the pods that have the new template.
#[test]
fn those_below_the_partition_keep_their_template() {
    let cases: [(i64, i64, &[&str]); 6] = [
        (3, 0, &["web-0", "web-1", "web-2"]),
        (3, 1, &["web-1", "web-2"]),
        (3, 2, &["web-2"]),
        (3, 3, &[]),
        (3, 7, &[]),
        (4, 2, &["web-2", "web-3"]),
    ];
    for (replicas, partition, updated) in cases {
        let strategy = strategy("RollingUpdate", json!({ "partition": partition }));
        let mut world = settled(set(replicas, strategy));
        set_image(&mut world, "v2");
        settle(&mut world);
        assert_eq!(of(&world, "v2"), updated, "{replicas} from {partition} on");
        // Also one that is lost comes back as it was.
        world.remove(resources::PODS, "shop", "web-0");
        settle(&mut world);
        assert_eq!(of(&world, "v2"), updated, "{replicas} from {partition} on, after a loss");
    }
}

#[test]
fn a_partition_counts_from_the_first_ordinal() {
    let changes = json!({ "spec": { "ordinals": { "start": 10 },
        "updateStrategy": { "rollingUpdate": { "partition": 2 } } } });
    let mut world = settled(set(3, changes));
    set_image(&mut world, "v2");
    settle(&mut world);
    assert_eq!(of(&world, "v2"), ["web-12"]);
}

#[test]
fn moving_the_partition_goes_on_with_the_update() {
    let mut world = settled(set(3, strategy("RollingUpdate", json!({ "partition": 2 }))));
    set_image(&mut world, "v2");
    for (partition, updated) in [(2, 1), (1, 2), (0, 3)] {
        change_set(&mut world, strategy("RollingUpdate", json!({ "partition": partition })));
        settle(&mut world);
        assert_eq!(of(&world, "v2").len(), updated);
    }
}

#[test]
fn on_delete_pods_are_replaced_only_when_somebody_removes_them() {
    let mut world = settled(set(3, strategy("OnDelete", Value::Null)));
    set_image(&mut world, "v2");
    settle(&mut world);
    assert_eq!(of(&world, "v2"), Vec::<String>::new());
    world.remove(resources::PODS, "shop", "web-1");
    settle(&mut world);
    assert_eq!(of(&world, "v2"), ["web-1"]);
}

/// Replicas and how many may be unavailable; then how many go at first.
#[test]
fn as_many_go_at_once_as_may_be_unavailable() {
    let cases = [
        (json!(null), 10, 1),
        (json!(1), 10, 1),
        (json!(3), 10, 3),
        (json!("25%"), 10, 2),
        (json!("1%"), 10, 1),
        (json!("100%"), 4, 4),
        (json!(0), 4, 1),
        (json!(30), 4, 4),
    ];
    for (max, replicas, expected) in cases {
        for policy in ["OrderedReady", "Parallel"] {
            let mut changes = strategy("RollingUpdate", json!({ "partition": 0, "maxUnavailable": max }));
            changes["spec"]["podManagementPolicy"] = json!(policy);
            let mut world = settled(set(replicas, changes));
            set_image(&mut world, "v2");
            let plan = plan(&world);
            let removed = pod_writes(&plan);
            assert_eq!(removed.len(), expected, "{max} of {replicas}: {removed:?}");
            assert_eq!(removed[0], format!("delete pods shop/web-{}", replicas - 1));
            settle(&mut world);
            assert_eq!(of(&world, "v2").len(), usize::try_from(replicas).unwrap());
        }
    }
}

#[test]
fn at_no_time_are_more_unavailable_than_may_be() {
    for max in 1..4 {
        for policy in ["OrderedReady", "Parallel"] {
            let mut changes = strategy("RollingUpdate", json!({ "partition": 0, "maxUnavailable": max }));
            changes["spec"]["podManagementPolicy"] = json!(policy);
            let mut world = settled(set(7, changes));
            set_image(&mut world, "v2");
            for round in 0..60 {
                let plan = plan(&world);
                world.carry_out(&plan, usize::MAX);
                let serving =
                    world.pods().iter().filter(|pod| pod.facts.is_ready && pod.facts.is_active()).count();
                assert!(serving >= 7 - max, "{policy}, {max}: {serving} serve");
                // Nodes are now slow, now quick.
                if round % 2 == 0 {
                    world.end_pods();
                } else {
                    world.start_pods(|_| true);
                }
            }
            assert_eq!(of(&world, "v2").len(), 7);
        }
    }
}

#[test]
fn an_update_stops_at_a_pod_that_does_not_become_ready() {
    let mut world = settled(set(3, json!({})));
    set_image(&mut world, "broken");
    for _ in 0..20 {
        let plan = plan(&world);
        world.carry_out(&plan, usize::MAX);
        world.end_pods();
        world.start_pods(|pod| pod["spec"]["containers"][0]["image"] != "broken");
    }
    assert_eq!(of(&world, "broken"), ["web-2"]);
    // Going back does not mend it by itself: it is not ready, so nothing moves until somebody removes it.
    set_image(&mut world, "v1");
    let stuck = plan(&world);
    assert_eq!(pod_writes(&stuck), Vec::<String>::new());
    world.remove(resources::PODS, "shop", "web-2");
    settle(&mut world);
    assert_eq!(of(&world, "v1").len(), 3);
}

#[test]
fn pods_that_come_at_once_leave_a_broken_template_by_themselves() {
    let mut world = settled(set(3, parallel()));
    set_image(&mut world, "broken");
    for _ in 0..20 {
        let plan = plan(&world);
        world.carry_out(&plan, usize::MAX);
        world.end_pods();
        world.start_pods(|pod| pod["spec"]["containers"][0]["image"] != "broken");
    }
    assert_eq!(of(&world, "broken"), ["web-2"]);
    set_image(&mut world, "v1");
    settle(&mut world);
    assert_eq!(of(&world, "v1").len(), 3);
}

#[test]
fn going_back_uses_the_old_revision_again() {
    let mut world = settled(set(2, json!({})));
    let first =
        world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"]["currentRevision"].clone();
    set_image(&mut world, "v2");
    settle(&mut world);
    set_image(&mut world, "v1");
    settle(&mut world);
    let status = &world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"];
    assert_eq!(status["currentRevision"], first);
    let revisions = world.list(resources::CONTROLLER_REVISIONS);
    let mut numbers: Vec<i64> = revisions.iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn old_revisions_are_forgotten_beyond_the_limit() {
    let mut world = settled(set(1, json!({ "spec": { "revisionHistoryLimit": 2 } })));
    for image in ["v2", "v3", "v4", "v5", "v6"] {
        set_image(&mut world, image);
        settle(&mut world);
    }
    let revisions = world.list(resources::CONTROLLER_REVISIONS);
    let mut numbers: Vec<i64> = revisions.iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [4, 5, 6]);
}

#[test]
fn a_name_taken_by_another_template_is_counted_as_a_collision() {
    let first = plan(&world(set(1, json!({}))));
    let taken = body(first.ops().next().unwrap())["metadata"]["name"].clone();
    let mut world = world(set(1, json!({})));
    world.put(resources::CONTROLLER_REVISIONS, json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": { "name": taken, "namespace": "shop", "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other", "uid": "other", "controller": true }] },
        "data": {}, "revision": 1,
    }));
    settle(&mut world);
    let status = &world.get(resources::STATEFUL_SETS, "shop", "web").unwrap()["status"];
    assert_eq!(status["collisionCount"], 1);
    assert_ne!(status["currentRevision"], taken);
}
