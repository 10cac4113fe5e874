use serde_json::{Value, json};

use super::plan::{FINALIZER, View, plan};
use crate::tests::fixtures::{NOW, ago, body, merge, object, writes};

fn range(name: &str, cidrs: &[&str], changes: Value) -> Value {
    let mut range = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": { "name": name, "uid": name, "resourceVersion": "2", "finalizers": [FINALIZER] },
        "spec": { "cidrs": cidrs } });
    merge(&mut range, changes);
    range
}

fn view(range: &Value, others: &[Value], addresses: &[&str]) -> View {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    View { object: object(range), others: others.iter().map(object).collect(), addresses }
}

#[test]
fn a_new_range_is_held_and_ready() {
    let new = range("a", &["10.0.0.0/24"], json!({ "metadata": { "finalizers": null } }));
    let plan = plan(&view(&new, &[], &[]), NOW);
    assert_eq!(writes(&plan), ["patch servicecidrs a"]);
    let told = body(plan.status.as_ref().unwrap());
    assert_eq!(told["status"]["conditions"][0]["type"], "Ready");
    assert_eq!(told["status"]["conditions"][0]["status"], "True");
    let mut known = range("a", &["10.0.0.0/24"], json!({}));
    known["status"] = told["status"].clone();
    assert!(super::plan::plan(&view(&known, &[], &[]), NOW).is_quiet());
}

/// The range that goes, others, addresses that are taken, and whether it may go.
#[test]
fn a_range_goes_when_no_address_needs_it() {
    let cases: [(&[&str], &[&[&str]], &[&str], bool); 10] = [
        (&["10.0.0.0/24"], &[], &[], true),
        (&["10.0.0.0/24"], &[], &["10.0.0.7"], false),
        (&["10.0.0.0/24"], &[], &["10.0.1.7"], true),
        (&["10.0.0.0/24"], &[&["10.0.0.0/16"]], &["10.0.0.7"], true),
        (&["10.0.0.0/24"], &[&["10.0.0.0/24"]], &["10.0.0.7"], true),
        (&["10.0.0.0/24"], &[&["10.0.0.0/25"]], &["10.0.0.7"], true),
        (&["10.0.0.0/24"], &[&["10.0.0.0/25"]], &["10.0.0.200"], false),
        (&["10.0.0.0/24", "fd00::/64"], &[&["10.0.0.0/16"]], &["fd00::9"], false),
        (&["10.0.0.0/24", "fd00::/64"], &[&["10.0.0.0/16"]], &["10.0.0.9"], true),
        (&["fd00::/64"], &[&["::/0"]], &["fd00::9"], true),
    ];
    for (cidrs, others, addresses, goes) in cases {
        let others: Vec<Value> = others.iter().map(|cidrs| range("b", cidrs, json!({}))).collect();
        let going = range("a", cidrs, json!({ "metadata": { "deletionTimestamp": ago(60) } }));
        let plan = plan(&view(&going, &others, addresses), NOW);
        assert_eq!(plan.ops().count() == 1, goes, "{cidrs:?} {addresses:?}");
        if !goes {
            let told = body(plan.status.as_ref().unwrap());
            assert_eq!(told["status"]["conditions"][0]["reason"], "Terminating");
        }
    }
}

#[test]
fn it_waits_until_everybody_has_heard() {
    let going = range("a", &["10.0.0.0/24"], json!({ "metadata": { "deletionTimestamp": ago(4) } }));
    let plan = plan(&view(&going, &[], &[]), NOW);
    assert_eq!((plan.ops().count(), plan.requeue_after.map(|after| after.as_secs())), (0, Some(6)));
}
