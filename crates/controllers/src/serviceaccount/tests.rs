use serde_json::json;

use super::plan::{View, plan};
use crate::tests::fixtures::{ago, body, object, writes};

fn view(deleting: bool, has_default: bool) -> View {
    let mut namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop", "uid": "n" } });
    if deleting {
        namespace["metadata"]["deletionTimestamp"] = json!(ago(1));
    }
    View { namespace: object(&namespace), has_default }
}

#[test]
fn a_namespace_gets_its_account_unless_it_is_going() {
    let made = plan(&view(false, false));
    assert_eq!(writes(&made), ["create serviceaccounts shop/?"]);
    assert_eq!(body(made.ops().next().unwrap())["metadata"]["name"], "default");
    for (deleting, has_default) in [(true, false), (false, true), (true, true)] {
        assert!(plan(&view(deleting, has_default)).is_quiet());
    }
}
