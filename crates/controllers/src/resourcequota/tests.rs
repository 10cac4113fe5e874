use serde_json::{Value, json};

use super::plan::{Listed, View, plan};
use crate::tests::fixtures::{NOW, merge, object, running_pod, status};
use kinds::quota::Tracked;

fn quota(changes: Value) -> Value {
    let mut quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "q", "namespace": "shop", "uid": "q-1", "resourceVersion": "4" }, "spec": {} });
    merge(&mut quota, changes);
    quota
}

fn view(quota: &Value, listed: &[(&str, &[Value])]) -> View {
    let listed = listed.iter().map(|(plural, objects)| Listed {
        tracked: Tracked::new("", plural),
        objects: objects.iter().map(object).collect(),
    });
    View { object: object(quota), listed: listed.collect() }
}

fn asking(name: &str, cpu: &str, phase: &str) -> Value {
    let resources = json!({ "requests": { "cpu": cpu } });
    running_pod(
        name,
        json!({ "spec": { "containers": [{ "name": "c", "image": "i", "resources": resources }] },
        "status": { "phase": phase } }),
    )
}

/// The limits, the pods, and what is used.
#[test]
fn what_is_there_is_counted() {
    let pods = [asking("a", "1", "Running"), asking("b", "500m", "Pending"), asking("c", "9", "Succeeded")];
    let cases = [
        (json!({ "pods": "5" }), json!({ "pods": "2" })),
        (json!({ "count/pods": "5" }), json!({ "count/pods": "3" })),
        (json!({ "cpu": "4", "limits.cpu": "4" }), json!({ "cpu": "1500m", "limits.cpu": "0" })),
        (json!({ "services": "4" }), json!({ "services": "0" })),
        (json!({ "count/widgets.example.com": "4" }), json!({ "count/widgets.example.com": "0" })),
    ];
    for (hard, used) in cases {
        let document = quota(json!({ "spec": { "hard": hard } }));
        let plan = plan(&view(&document, &[("pods", &pods)]), NOW);
        assert_eq!(status(&plan), json!({ "hard": hard, "used": used }));
        assert!(plan.requeue_after.is_some(), "what was written meanwhile is counted too");
    }
}

#[test]
fn nothing_is_written_when_the_count_is_right() {
    let told = json!({ "spec": { "hard": { "cpu": "1" } }, "status": { "hard": { "cpu": "1000m" }, "used": { "cpu": "1500m" } } });
    let pods = [asking("a", "1", "Running"), asking("b", "0.5", "Pending")];
    assert!(plan(&view(&quota(told.clone()), &[("pods", &pods)]), NOW).is_quiet());
    let fewer = plan(&view(&quota(told), &[("pods", &pods[..1])]), NOW);
    assert_eq!(status(&fewer)["used"], json!({ "cpu": "1" }));
    assert_eq!(fewer.requeue_after, None);
}

#[test]
fn only_what_is_in_its_scopes_is_counted() {
    let document = quota(json!({ "spec": { "hard": { "pods": "5" }, "scopes": ["Terminating"] } }));
    let ends = running_pod("a", json!({ "spec": { "activeDeadlineSeconds": 5 } }));
    let plan = plan(&view(&document, &[("pods", &[ends, running_pod("b", json!({}))])]), NOW);
    assert_eq!(status(&plan)["used"], json!({ "pods": "1" }));
}

#[test]
fn what_cannot_be_listed_stays_as_it_was_charged() {
    let document = quota(json!({ "spec": { "hard": { "count/widgets.example.com": "4", "pods": "1" } },
        "status": { "hard": { "count/widgets.example.com": "4" }, "used": { "count/widgets.example.com": "3" } } }));
    let plan = plan(&view(&document, &[("pods", &[])]), NOW);
    assert_eq!(status(&plan)["used"], json!({ "count/widgets.example.com": "3", "pods": "0" }));
}
