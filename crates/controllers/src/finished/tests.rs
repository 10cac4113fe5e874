use client::Write;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{NOW, ago, object, writes};

fn view(kept: Value, conditions: Value) -> View {
    let object = object(&json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": "sum", "namespace": "shop", "uid": "j-1", "resourceVersion": "9" },
        "spec": { "ttlSecondsAfterFinished": kept, "template": { "spec": { "containers": [] } } },
        "status": { "conditions": conditions },
    }));
    let job = object.view::<Job>().unwrap();
    View { object, job }
}

fn ended(kind: &str, status: &str, secs_ago: i64) -> Value {
    json!([{ "type": kind, "status": status, "lastTransitionTime": ago(secs_ago) }])
}

/// How long it is kept, how it ended, and after how many seconds it goes: `None` never.
#[test]
fn a_job_goes_when_it_was_over_for_long_enough() {
    let cases = [
        (json!(100), ended("Complete", "True", 40), Some(60)),
        (json!(100), ended("Failed", "True", 100), Some(0)),
        (json!(0), ended("Complete", "True", 0), Some(0)),
        (json!(100), ended("Complete", "False", 400), None),
        (json!(100), ended("Suspended", "True", 400), None),
        (json!(100), json!([]), None),
        (json!(null), ended("Complete", "True", 400), None),
    ];
    for (kept, conditions, expected) in cases {
        let plan = plan(&view(kept.clone(), conditions.clone()), NOW);
        let goes =
            if plan.ops().count() > 0 { Some(0) } else { plan.requeue_after.map(|after| after.as_secs()) };
        assert_eq!(goes, expected, "{kept} {conditions}");
    }
}

#[test]
fn it_goes_after_its_pods_and_only_as_it_was_seen() {
    let plan = plan(&view(json!(1), ended("Complete", "True", 5)), NOW);
    assert_eq!(writes(&plan), ["delete jobs shop/sum"]);
    let Write::Delete(how) = &plan.ops().next().unwrap().write else { panic!("expected a deletion") };
    assert_eq!(
        (how.propagation, how.resource_version.as_str(), how.uid.as_str()),
        ("Foreground", "9", "j-1")
    );
}
