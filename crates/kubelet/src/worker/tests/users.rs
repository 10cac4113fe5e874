//! Pods that want user ids of their own.

use serde_json::json;

use super::{one, phase};
use crate::tests::World;

#[tokio::test(start_paused = true)]
async fn a_pod_that_wants_users_of_its_own_is_not_run_without_them() {
    let world = World::start("users").await;
    let mut spec = one(&["run"], "Always");
    spec["hostUsers"] = json!(false);
    world.create("web", spec);
    world.pass(3).await;
    assert!(world.runtime.sandboxes().is_empty());
    let told = world.api.events();
    let why = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
    assert!(
        told.iter().any(|line| line.contains("FailedCreatePodSandBox") && line.contains(why)),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_pod_that_wants_users_of_its_own_has_others() {
    let world = World::start("own-users").await;
    world.api.put("runtimeclasses", json!({"metadata": {"name": "able"}, "handler": "users"}));
    let create = |pod: &str, container: &str, own: bool| {
        let mut spec = one(&["run"], "Always");
        spec["runtimeClassName"] = json!("able");
        spec["hostUsers"] = json!(!own);
        spec["containers"][0]["name"] = json!(container);
        world.create(pod, spec);
    };
    let users = |container: &str| world.runtime.config(container).security.namespaces.user;
    let first = |number: u32| Some(cri::UserNamespace { host_id: number * 65_536, length: 65_536 });
    for (pod, own) in [("a", true), ("b", true), ("c", false)] {
        create(pod, &format!("in-{pod}"), own);
        world.until(pod, phase("Running")).await;
    }
    assert_eq!(["in-a", "in-b", "in-c"].map(users), [first(1), first(2), None]);
    world.api.delete_pod("a", 1);
    world.until("a", serde_json::Value::is_null).await;
    create("d", "in-d", true);
    world.until("d", phase("Running")).await;
    assert_eq!(users("in-d"), first(1), "the ids of a pod that is gone are free");
}
