//! How pods of older templates are replaced, on nodes.

use super::*;

fn rolling(unavailable: Value, surge: Value) -> Value {
    json!({ "spec": { "updateStrategy": { "type": "RollingUpdate",
        "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } } } })
}

fn serving(world: &World) -> usize {
    let pods = world.pods();
    let nodes: std::collections::BTreeSet<_> = pods
        .iter()
        .filter(|pod| pod.facts.is_ready && pod.facts.is_active())
        .map(|pod| pod.facts.node.clone())
        .collect();
    nodes.len()
}

/// Nodes and how many may be unavailable; then how many pods go at first.
#[test]
fn as_many_go_at_once_as_may_be_unavailable() {
    let cases = [
        (json!(1), 5, 1),
        (json!(2), 5, 2),
        (json!(9), 5, 5),
        (json!("10%"), 5, 1),
        (json!("50%"), 5, 3),
        (json!("100%"), 5, 5),
        (json!("30%"), 10, 3),
        (json!("31%"), 10, 4),
        (json!(0), 5, 1),
    ];
    for (unavailable, nodes, expected) in cases {
        let mut world = settled(set(rolling(unavailable.clone(), json!(0))), nodes);
        set_image(&mut world, "v2");
        assert_eq!(pod_writes(&plan(&world)).len(), expected, "{unavailable} of {nodes}");
        settle(&mut world);
        assert_eq!(nodes_with(&world, "v2").len(), nodes);
    }
}

#[test]
fn old_pods_that_serve_nobody_go_first_and_count() {
    for (unready_nodes, expected) in [(0, 2), (1, 2), (2, 2), (3, 3)] {
        let mut world = settled(set(rolling(json!(2), json!(0))), 6);
        for number in 0..unready_nodes {
            edit_on(&mut world, &format!("n{}", 5 - number), unready());
        }
        let useless: Vec<String> =
            (0..unready_nodes).map(|number| pod_on(&world, &format!("n{}", 5 - number))).collect();
        set_image(&mut world, "v2");
        let removed = pod_writes(&plan(&world));
        assert_eq!(removed.len(), expected, "{unready_nodes} serve nobody");
        for name in useless {
            assert!(removed.contains(&format!("delete pods shop/{name}")), "{removed:?}");
        }
    }
}

#[test]
fn at_no_time_do_fewer_nodes_serve_than_may() {
    for (unavailable, surge) in [(1, 0), (3, 0), (0, 1), (0, 3)] {
        let mut world = settled(set(rolling(json!(unavailable), json!(surge))), 7);
        set_image(&mut world, "v2");
        for round in 0..80 {
            let plan = plan(&world);
            world.carry_out(&plan, usize::MAX);
            let least = 7 - unavailable;
            assert!(serving(&world) >= least, "{unavailable}/{surge}: {} serve", serving(&world));
            let pods = world.pods().len();
            assert!(pods <= 7 * 2, "{pods}");
            bind(&mut world);
            if round % 2 == 0 {
                world.end_pods();
            } else {
                world.start_pods(|_| true);
            }
        }
        assert_eq!(nodes_with(&world, "v2").len(), 7, "{unavailable}/{surge}");
        assert_eq!(nodes_with(&world, "v1").len(), 0, "{unavailable}/{surge}");
    }
}

#[test]
fn new_pods_come_first_where_surging_is_allowed() {
    for (surge, expected) in [(json!(1), 1), (json!(3), 3), (json!("50%"), 3), (json!("100%"), 5)] {
        let mut world = settled(set(rolling(json!(0), surge.clone())), 5);
        set_image(&mut world, "v2");
        let first = plan(&world);
        let made = pod_writes(&first);
        assert_eq!(made, vec!["create pods shop/?"; expected], "{surge}");
        world.carry_out(&first, usize::MAX);
        bind(&mut world);
        // Until the new ones serve, nothing more happens.
        assert_eq!(pod_writes(&plan(&world)), Vec::<String>::new(), "{surge}");
        world.run_pods();
        let next = pod_writes(&plan(&world));
        assert_eq!(next.len(), expected, "{surge}");
        assert!(next.iter().all(|write| write.starts_with("delete")), "{next:?}");
        settle(&mut world);
        assert_eq!(nodes_with(&world, "v2").len(), 5);
    }
}

#[test]
fn an_old_pod_that_serves_nobody_is_replaced_beyond_the_surge() {
    let mut world = settled(set(rolling(json!(0), json!(1))), 4);
    for node in ["n1", "n2", "n3"] {
        edit_on(&mut world, node, unready());
    }
    set_image(&mut world, "v2");
    assert_eq!(pod_writes(&plan(&world)).len(), 4);
}

#[test]
fn where_no_pod_is_wanted_any_more_it_goes_when_another_serves_in_its_stead() {
    let mut world = settled(set(rolling(json!(0), json!(1))), 2);
    let taint = json!([{ "key": "k", "effect": "NoSchedule" }]);
    world.edit(resources::NODES, "", "n1", json!({ "spec": { "taints": taint } }));
    set_image(&mut world, "v2");
    // Two serve, one is wanted: the one too many may go.
    let name = pod_on(&world, "n1");
    let writes = pod_writes(&plan(&world));
    assert!(writes.contains(&format!("delete pods shop/{name}")), "{writes:?}");
    edit_on(&mut world, "n0", unready());
    let writes = pod_writes(&plan(&world));
    assert!(!writes.contains(&format!("delete pods shop/{name}")), "{writes:?}");
}

#[test]
fn on_delete_pods_are_replaced_only_when_somebody_removes_them() {
    let mut world = settled(
        set(json!({ "spec": { "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } } })),
        3,
    );
    set_image(&mut world, "v2");
    settle(&mut world);
    assert_eq!(nodes_with(&world, "v2"), Vec::<String>::new());
    let name = pod_on(&world, "n1");
    world.remove(resources::PODS, "shop", &name);
    settle(&mut world);
    assert_eq!(nodes_with(&world, "v2"), ["n1"]);
}

#[test]
fn going_back_leaves_alone_the_pods_that_are_as_they_should_be() {
    let mut world = settled(set(json!({})), 4);
    set_image(&mut world, "broken");
    for _ in 0..6 {
        let plan = plan(&world);
        world.carry_out(&plan, usize::MAX);
        bind(&mut world);
        world.end_pods();
        world.start_pods(|pod| pod["spec"]["containers"][0]["image"] != "broken");
    }
    assert_eq!(nodes_with(&world, "broken").len(), 1);
    let uids = |world: &World| -> std::collections::BTreeSet<SmolStr> {
        let pods = world.pods();
        let good = pods.iter().filter(|pod| pod.facts.is_ready);
        good.map(|pod| pod.object.header().uid.clone()).collect()
    };
    let before = uids(&world);
    assert_eq!(before.len(), 3);
    set_image(&mut world, "v1");
    settle(&mut world);
    assert_eq!(nodes_with(&world, "v1").len(), 4);
    assert!(uids(&world).is_superset(&before), "good pods were restarted");
    let revisions = world.list(resources::CONTROLLER_REVISIONS);
    let mut numbers: Vec<i64> = revisions.iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn old_revisions_are_forgotten_beyond_the_limit() {
    let mut world = settled(set(json!({ "spec": { "revisionHistoryLimit": 2 } })), 1);
    for image in ["v2", "v3", "v4", "v5"] {
        set_image(&mut world, image);
        settle(&mut world);
    }
    let revisions = world.list(resources::CONTROLLER_REVISIONS);
    let mut numbers: Vec<i64> = revisions.iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4, 5]);
}

#[test]
fn a_revision_that_pods_are_of_is_not_forgotten() {
    let changes = json!({ "spec": { "revisionHistoryLimit": 0,
        "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } } });
    let mut world = settled(set(changes), 1);
    for image in ["v2", "v3"] {
        set_image(&mut world, image);
        settle(&mut world);
    }
    let revisions = world.list(resources::CONTROLLER_REVISIONS);
    let mut numbers: Vec<i64> = revisions.iter().map(|one| one["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 3]);
}

#[test]
fn of_two_revisions_that_say_the_same_one_stays_with_the_pods_of_both() {
    let mut world = settled(set(json!({})), 2);
    let mut double = world.list(resources::CONTROLLER_REVISIONS)[0].clone();
    merge(
        &mut double,
        json!({ "metadata": { "name": "agent-double", "uid": "r-2", "labels": {
        "controller-revision-hash": "double" } }, "revision": 5 }),
    );
    world.put(resources::CONTROLLER_REVISIONS, double);
    let plan = plan(&world);
    let kinds: Vec<String> = writes(&plan).iter().map(|w| w.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["patch pods shop", "patch pods shop", "delete controllerrevisions shop"]);
    settle(&mut world);
    assert_eq!(world.names(resources::CONTROLLER_REVISIONS), ["agent-double"]);
    let hashes: Vec<Value> = world
        .list(resources::PODS)
        .iter()
        .map(|pod| pod["metadata"]["labels"]["controller-revision-hash"].clone())
        .collect();
    assert_eq!(hashes, ["double", "double"]);
}
