use serde_json::json;

use super::plan::{View, plan};
use crate::tests::fixtures::{NOW, ago, body, pod, running_pod, writes};

#[test]
fn only_pods_nobody_else_removes_are_removed() {
    let gone = json!({ "metadata": { "deletionTimestamp": ago(1) } });
    let unplaced = json!({ "spec": { "nodeName": "" } });
    let both = json!({ "metadata": { "deletionTimestamp": ago(1) }, "spec": { "nodeName": "" } });
    let over = json!({ "status": { "phase": "Succeeded" } });
    let cases: [(_, bool, &[&str]); 6] = [
        (json!({}), true, &[]),
        (gone.clone(), true, &[]),
        (unplaced, false, &[]),
        (both, false, &["delete pods shop/p"]),
        (gone, false, &["patch pods/status shop/p", "delete pods shop/p"]),
        (over, false, &["delete pods shop/p"]),
    ];
    for (changes, has_node, expected) in cases {
        let view = View::One { pod: pod(&running_pod("p", changes.clone())), has_node };
        assert_eq!(writes(&plan(view, NOW)), expected, "{changes}");
    }
}

#[test]
fn a_lost_pod_says_why_it_failed() {
    let plan = plan(View::One { pod: pod(&running_pod("p", json!({}))), has_node: false }, NOW);
    let status = body(plan.ops().next().unwrap())["status"].clone();
    assert_eq!(
        (&status["phase"], &status["conditions"][0]["reason"]),
        (&json!("Failed"), &json!("DeletionByPodGC"))
    );
    let told = plan.ops().next().unwrap();
    assert!(!told.tolerated.contains(&409), "after a conflict it is told again");
}

#[test]
fn of_too_many_the_oldest_go() {
    let over = |name: &str, age| {
        pod(&running_pod(
            name,
            json!({ "metadata": { "creationTimestamp": ago(age) }, "status": { "phase": "Failed" } }),
        ))
    };
    let view = |kept| View::TooMany { over: vec![over("a", 1), over("b", 3), over("c", 2)], kept };
    assert_eq!(writes(&plan(view(1), NOW)), ["delete pods shop/b", "delete pods shop/c"]);
    assert!(plan(view(3), NOW).is_quiet());
}
