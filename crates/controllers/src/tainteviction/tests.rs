use k8s_openapi::api::core::v1::{Pod, Taint};
use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{NOW, ago, object, running_pod, writes};

fn taint(key: &str, added_secs_ago: Option<i64>) -> Taint {
    let mut taint = json!({ "key": key, "effect": "NoExecute" });
    if let Some(secs) = added_secs_ago {
        taint["timeAdded"] = json!(ago(secs));
    }
    serde_json::from_value(taint).unwrap()
}

fn view(tolerations: Value, taints: Vec<Taint>) -> View {
    let object = object(&running_pod("p", json!({ "spec": { "tolerations": tolerations } })));
    let pod = object.view::<Pod>().unwrap();
    View { object, pod, taints }
}

fn bears(key: &str, seconds: Option<i64>) -> Value {
    let mut toleration = json!({ "key": key, "operator": "Exists", "effect": "NoExecute" });
    if let Some(seconds) = seconds {
        toleration["tolerationSeconds"] = json!(seconds);
    }
    toleration
}

/// What a pod bears, what its node has, and when it leaves: `None` never, zero at once.
#[test]
fn a_pod_leaves_when_it_bears_no_longer() {
    let cases = [
        (json!([]), vec![], None),
        (json!([]), vec![taint("a", None)], Some(0)),
        (json!([bears("a", None)]), vec![taint("a", None)], None),
        (json!([bears("", None)]), vec![taint("a", None), taint("b", None)], None),
        (json!([bears("a", None)]), vec![taint("a", None), taint("b", None)], Some(0)),
        (json!([bears("a", Some(300))]), vec![taint("a", Some(100))], Some(200)),
        (json!([bears("a", Some(300))]), vec![taint("a", None)], Some(300)),
        (json!([bears("a", Some(300))]), vec![taint("a", Some(301))], Some(0)),
        (json!([bears("a", Some(0))]), vec![taint("a", Some(0))], Some(0)),
        (json!([bears("a", Some(-5))]), vec![taint("a", Some(0))], Some(0)),
        (
            json!([bears("a", Some(300)), bears("b", Some(60))]),
            vec![taint("a", Some(0)), taint("b", Some(0))],
            Some(60),
        ),
        (json!([bears("a", Some(300)), bears("a", None)]), vec![taint("a", Some(0))], Some(300)),
        (json!([{ "key": "a", "value": "x", "effect": "NoExecute" }]), vec![taint("a", None)], Some(0)),
        (
            json!([{ "key": "a", "operator": "Exists", "effect": "NoSchedule" }]),
            vec![taint("a", None)],
            Some(0),
        ),
    ];
    for (tolerations, taints, expected) in cases {
        let plan = plan(&view(tolerations.clone(), taints.clone()), NOW);
        let leaves_now = ["patch pods/status shop/p", "delete pods shop/p"];
        match expected {
            Some(0) => assert_eq!(writes(&plan), leaves_now, "{tolerations} {taints:?}"),
            other => {
                assert!(plan.is_quiet(), "{tolerations} {taints:?}");
                assert_eq!(
                    plan.requeue_after.map(|after| after.as_secs()),
                    other,
                    "{tolerations} {taints:?}"
                );
            }
        }
    }
}

#[test]
fn no_pod_leaves_before_it_was_told_why() {
    let plan = plan(&view(json!([]), vec![taint("a", None)]), NOW);
    let told = plan.ops().next().unwrap();
    assert!(!told.tolerated.contains(&409), "after a conflict it is told again");
}
