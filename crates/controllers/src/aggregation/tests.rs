use k8s_openapi::api::rbac::v1::ClusterRole;
use machinery::Object;
use serde_json::{Value, json};

use super::plan::{View, is_aggregated, plan};
use crate::tests::fixtures::{body, object};

fn rule(resource: &str) -> Value {
    json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] })
}

fn part(name: &str, label: &str, rules: Value) -> Object {
    object(&json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name, "uid": name, "labels": { "to": label } }, "rules": rules }))
}

fn whole(rules: Value) -> Object {
    object(&json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "edit", "uid": "edit", "labels": { "to": "edit" } },
        "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "to": "edit" } }, { "matchLabels": { "to": "more" } }] },
        "rules": rules }))
}

fn rules(has: Value, others: Vec<Object>) -> Option<Value> {
    let object = whole(has);
    let role = object.view::<ClusterRole>().unwrap();
    let mut all = others;
    all.push(object.clone());
    let plan = plan(&View { object, role, others: all }).unwrap();
    plan.ops().next().map(|op| body(op)["rules"].clone())
}

#[test]
fn its_rules_are_those_of_its_parts_each_once() {
    let parts = || {
        vec![
            part("a", "edit", json!([rule("pods"), rule("services")])),
            part("b", "edit", json!([rule("pods")])),
            part("c", "more", json!([rule("nodes")])),
            part("d", "other", json!([rule("secrets")])),
        ]
    };
    let expected = json!([rule("pods"), rule("services"), rule("nodes")]);
    assert_eq!(rules(json!([]), parts()), Some(expected.clone()));
    assert_eq!(rules(expected, parts()), None, "what is so is not written");
    assert_eq!(rules(json!([rule("pods")]), Vec::new()), Some(json!([])), "it is no part of itself");
}

#[test]
fn only_roles_that_say_so_are_put_together() {
    assert!(is_aggregated(&whole(json!([]))));
    assert!(!is_aggregated(&part("a", "edit", json!([]))));
}
