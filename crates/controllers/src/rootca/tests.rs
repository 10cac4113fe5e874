use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{ago, body, object, writes};

fn view(map: Option<Value>, deleting: bool) -> View {
    let mut namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop", "uid": "n" } });
    if deleting {
        namespace["metadata"]["deletionTimestamp"] = json!(ago(1));
    }
    View { namespace: object(&namespace), map: map.map(|map| object(&map)), certificate: "PEM".to_owned() }
}

fn made() -> Value {
    let mut map = body(plan(&view(None, false)).ops().next().unwrap());
    map["metadata"]["resourceVersion"] = json!("4");
    map
}

#[test]
fn the_map_is_made_once() {
    assert_eq!(made()["data"]["ca.crt"], "PEM");
    assert!(plan(&view(Some(made()), false)).is_quiet());
    assert!(plan(&view(None, true)).is_quiet());
}

#[test]
fn a_spoiled_map_is_put_right() {
    let mut cases = vec![made(), made(), made(), made()];
    cases[0]["data"]["ca.crt"] = json!("other");
    cases[1]["data"]["more"] = json!("x");
    cases[2].as_object_mut().unwrap().remove("data");
    cases[3]["metadata"].as_object_mut().unwrap().remove("annotations");
    for spoiled in cases {
        let plan = plan(&view(Some(spoiled), false));
        assert_eq!(writes(&plan), ["update configmaps shop/kube-root-ca.crt"]);
        let written = body(plan.ops().next().unwrap());
        assert_eq!(written["data"], json!({ "ca.crt": "PEM" }));
        assert_eq!(written["metadata"]["resourceVersion"], "4");
    }
}
