use client::{Write, resources};
use serde_json::{Value, json};

use super::plan::{Remaining, View, plan};
use crate::tests::fixtures::{NOW, ago, body, merge, object, status, writes};

fn namespace(changes: Value) -> Value {
    let mut namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": "shop", "uid": "n-1", "resourceVersion": "3", "deletionTimestamp": ago(5) },
        "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Terminating" } });
    merge(&mut namespace, changes);
    namespace
}

fn pod(name: &str, changes: Value) -> machinery::Object {
    object(&crate::tests::fixtures::running_pod(name, changes))
}

fn view(namespace: &Value, pods: Vec<machinery::Object>) -> View {
    let remaining = Remaining { resource: resources::PODS, objects: pods };
    let remaining = if remaining.objects.is_empty() { Vec::new() } else { vec![remaining] };
    View { namespace: object(namespace), remaining }
}

#[test]
fn an_empty_namespace_is_let_go() {
    let plan =
        plan(&view(&namespace(json!({ "spec": { "finalizers": ["x/y", "kubernetes"] } })), Vec::new()), NOW);
    let op = plan.ops().next().unwrap();
    assert_eq!(op.to_string(), "update namespaces/finalize shop");
    let body = body(op);
    assert_eq!(
        (&body["spec"]["finalizers"], &body["metadata"]["resourceVersion"]),
        (&json!(["x/y"]), &json!("3"))
    );
}

#[test]
fn one_that_was_let_go_is_left_alone() {
    assert!(
        plan(&view(&namespace(json!({ "spec": { "finalizers": ["x/y"] } })), Vec::new()), NOW).is_quiet()
    );
}

#[test]
fn what_is_left_is_removed_once() {
    let pods = vec![pod("a", json!({})), pod("b", json!({ "metadata": { "deletionTimestamp": ago(1) } }))];
    let plan = plan(&view(&namespace(json!({})), pods), NOW);
    assert_eq!(writes(&plan), ["delete pods shop/a"]);
    assert!(
        matches!(&plan.ops().next().unwrap().write, Write::Delete(how) if how.uid == "uid-a" && how.grace_secs.is_none())
    );
    assert!(plan.requeue_after.is_some());
}

#[test]
fn it_says_what_it_waits_for_and_says_it_once() {
    let held =
        vec![pod("a", json!({ "metadata": { "deletionTimestamp": ago(1), "finalizers": ["x/hold"] } }))];
    let first = plan(&view(&namespace(json!({})), held.clone()), NOW);
    let told = status(&first);
    let condition = |kind: &str| {
        let conditions = told["conditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["type"] == kind).unwrap().clone()
    };
    assert_eq!(
        condition("NamespaceContentRemaining")["message"],
        "Some resources are remaining: pods. has 1 resource instances"
    );
    assert_eq!(
        condition("NamespaceFinalizersRemaining")["message"],
        "Some content in the namespace has finalizers remaining: x/hold in 1 resource instances"
    );
    assert_eq!(told["conditions"].as_array().unwrap().len(), 5);
    let again = plan(&view(&namespace(json!({ "status": told })), held), NOW);
    assert!(again.is_quiet(), "{again:?}");
}
