//! Claims: made, kept, and given away.

use super::*;

fn with_claims(changes: Value) -> Value {
    let mut set = json!({ "spec": { "volumeClaimTemplates": [
        { "metadata": { "name": "data", "labels": { "tier": "disk" }, "annotations": { "a": "b" } },
          "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } },
        { "metadata": { "name": "log" }, "spec": { "accessModes": ["ReadWriteOnce"] } },
    ] } });
    merge(&mut set, changes);
    set
}

fn policy(deleted: &str, scaled: &str) -> Value {
    json!({ "spec": { "persistentVolumeClaimRetentionPolicy": { "whenDeleted": deleted, "whenScaled": scaled } } })
}

fn owners(world: &World, claim: &str) -> Vec<String> {
    let claim = world.get(resources::PERSISTENT_VOLUME_CLAIMS, "shop", claim).unwrap();
    let owners = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    owners
        .iter()
        .map(|owner| format!("{} {}", owner["kind"].as_str().unwrap(), owner["name"].as_str().unwrap()))
        .collect()
}

#[test]
fn claims_are_made_before_the_pod_that_uses_them() {
    let plan = plan(&world(set(
        1,
        with_claims(json!({ "spec": { "template": { "spec": { "volumes": [
        { "name": "data", "emptyDir": {} }, { "name": "other", "emptyDir": {} }] } } } })),
    )));
    let ops: Vec<Value> = plan.ops().map(body).collect();
    let kinds: Vec<&str> = ops.iter().map(|op| op["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ControllerRevision", "PersistentVolumeClaim", "PersistentVolumeClaim", "Pod"]);
    let claim = &ops[1];
    assert_eq!(claim["metadata"]["name"], "data-web-0");
    assert_eq!(claim["metadata"]["labels"], json!({ "app": "web", "tier": "disk" }));
    assert_eq!(claim["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(claim["metadata"].get("ownerReferences"), None);
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    let volumes = &ops[3]["spec"]["volumes"];
    let expected = json!([
        { "name": "data", "persistentVolumeClaim": { "claimName": "data-web-0" } },
        { "name": "log", "persistentVolumeClaim": { "claimName": "log-web-0" } },
        { "name": "other", "emptyDir": {} },
    ]);
    assert_eq!(*volumes, expected);
    let told = plan.ops().nth(1).unwrap();
    assert_eq!(
        told.success.as_ref().unwrap().message,
        "create Claim data-web-0 Pod web-0 in StatefulSet web success"
    );
    assert_eq!(
        told.failure.as_ref().unwrap().message,
        "create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: {error}"
    );
}

#[test]
fn a_pod_that_waits_gets_a_claim_it_lost_and_one_that_runs_does_not() {
    for (state, expected) in [("pending", 1), ("unready", 0)] {
        let mut world = settled(set(1, with_claims(json!({}))));
        world.remove(resources::PERSISTENT_VOLUME_CLAIMS, "shop", "data-web-0");
        make_pod(&mut world, "web-0", state);
        assert_eq!(plan(&world).ops().count(), expected, "{state}");
    }
}

#[test]
fn claims_outlive_pods_and_are_used_again() {
    let mut world = settled(set(2, with_claims(json!({}))));
    let uid = |world: &World| {
        world.get(resources::PERSISTENT_VOLUME_CLAIMS, "shop", "data-web-1").unwrap()["metadata"]["uid"]
            .clone()
    };
    let before = uid(&world);
    for replicas in [1, 2] {
        change_set(&mut world, json!({ "spec": { "replicas": replicas } }));
        settle(&mut world);
    }
    assert_eq!(uid(&world), before);
}

/// The policy; then who owns the claims of a pod that stays, and of one that is too many.
#[test]
fn claims_belong_to_whoever_takes_them_along() {
    let cases: [(&str, &str, &[&str], &[&str]); 4] = [
        ("Retain", "Retain", &[], &[]),
        ("Delete", "Retain", &["StatefulSet web"], &["StatefulSet web"]),
        ("Retain", "Delete", &[], &["Pod web-1"]),
        ("Delete", "Delete", &["StatefulSet web"], &["Pod web-1"]),
    ];
    for (deleted, scaled, staying, going) in cases {
        // The policy is there from the start, or comes later.
        for late in [false, true] {
            let own = policy(deleted, scaled);
            let start = if late { with_claims(policy("Delete", "Delete")) } else { with_claims(own.clone()) };
            let mut world = settled(set(2, start));
            change_set(&mut world, own);
            settle(&mut world);
            assert_eq!(owners(&world, "data-web-0"), staying, "{deleted} {scaled}");
            assert_eq!(owners(&world, "log-web-1"), staying, "{deleted} {scaled}");
            change_set(&mut world, json!({ "spec": { "replicas": 1 } }));
            settle(&mut world);
            assert_eq!(owners(&world, "data-web-0"), staying, "{deleted} {scaled}");
            assert_eq!(owners(&world, "data-web-1"), going, "{deleted} {scaled}");
        }
    }
}

#[test]
fn no_pod_is_made_with_the_claims_of_one_that_took_them_along() {
    let mut world = settled(set(2, with_claims(policy("Retain", "Delete"))));
    change_set(&mut world, json!({ "spec": { "replicas": 1 } }));
    settle(&mut world);
    change_set(&mut world, json!({ "spec": { "replicas": 2 } }));
    let waiting = plan(&world);
    assert_eq!(pod_writes(&waiting), Vec::<String>::new());
    assert_eq!(
        waiting.retry.as_deref(),
        Some("pvc data-web-1 belongs to a pod that is gone, and goes with it")
    );
    for claim in ["data-web-1", "log-web-1"] {
        world.remove(resources::PERSISTENT_VOLUME_CLAIMS, "shop", claim);
    }
    settle(&mut world);
    assert_eq!(world.names(resources::PODS), ["web-0", "web-1"]);
}

#[test]
fn no_pod_is_made_while_its_claim_is_on_its_way_out() {
    let mut world = settled(set(1, with_claims(json!({}))));
    world.remove(resources::PODS, "shop", "web-0");
    let going = json!({ "metadata": { "deletionTimestamp": ago(1) } });
    world.edit(resources::PERSISTENT_VOLUME_CLAIMS, "shop", "data-web-0", going);
    let waiting = plan(&world);
    assert_eq!(writes(&waiting), Vec::<String>::new());
    assert_eq!(waiting.retry.as_deref(), Some("pvc data-web-0 is being deleted"));
    let text = "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted";
    assert_eq!((waiting.notes[0].reason, waiting.notes[0].message.as_str()), ("FailedCreate", text));
}

#[test]
fn what_somebody_else_manages_is_left_alone() {
    let mut world = settled(set(1, with_claims(policy("Retain", "Retain"))));
    let other =
        json!([{ "apiVersion": "x/v1", "kind": "Keeper", "name": "k", "uid": "k-1", "controller": true }]);
    world.edit(
        resources::PERSISTENT_VOLUME_CLAIMS,
        "shop",
        "data-web-0",
        json!({ "metadata": { "ownerReferences": other } }),
    );
    change_set(&mut world, policy("Delete", "Delete"));
    settle(&mut world);
    assert_eq!(owners(&world, "data-web-0"), ["Keeper k"]);
    assert_eq!(owners(&world, "log-web-0"), ["StatefulSet web"]);
}

#[test]
fn owners_that_manage_nothing_stay_beside_ours() {
    let mut world = settled(set(1, with_claims(policy("Delete", "Retain"))));
    let mut references =
        world.get(resources::PERSISTENT_VOLUME_CLAIMS, "shop", "data-web-0").unwrap()["metadata"]["ownerReferences"].clone();
    references
        .as_array_mut()
        .unwrap()
        .push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": "m-1" }));
    world.edit(
        resources::PERSISTENT_VOLUME_CLAIMS,
        "shop",
        "data-web-0",
        json!({ "metadata": { "ownerReferences": references } }),
    );
    assert!(plan(&world).is_quiet());
    change_set(&mut world, policy("Retain", "Retain"));
    settle(&mut world);
    assert_eq!(owners(&world, "data-web-0"), ["ConfigMap m"]);
}
