use serde_json::json;

use super::plan::{View, may_change_all, plan};
use crate::tests::fixtures::{body, object};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

fn told(nodes: usize, before: Option<&str>) -> Option<String> {
    let mut node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n", "uid": "u" } });
    if let Some(before) = before {
        node["metadata"]["annotations"] = json!({ ANNOTATION: before });
    }
    let plan = plan(&View { node: object(&node), nodes });
    let written = plan.ops().next().map(body)?;
    Some(written["metadata"]["annotations"][ANNOTATION].as_str().unwrap().to_owned())
}

/// How many nodes there are, what the node was told, and what it is told now.
#[test]
fn the_more_nodes_the_longer() {
    let cases = [
        (1, None, Some("0")),
        (1, Some("0"), None),
        (1, Some("300"), Some("0")),
        (1, Some("soon"), Some("0")),
        (100, Some("0"), None),
        (101, Some("0"), Some("15")),
        (95, Some("15"), None),
        (95, None, Some("0")),
        (89, Some("15"), Some("0")),
        (501, Some("15"), Some("30")),
        (1_001, Some("0"), Some("60")),
        (2_001, Some("60"), Some("300")),
        (1_799, Some("300"), Some("60")),
    ];
    for (nodes, before, expected) in cases {
        assert_eq!(told(nodes, before).as_deref(), expected, "{nodes} nodes, told {before:?}");
    }
}

#[test]
fn all_are_looked_at_only_where_a_step_is_taken() {
    let taken: Vec<usize> = (0..3_000).filter(|nodes| may_change_all(*nodes)).collect();
    assert_eq!(taken, [89, 101, 449, 501, 899, 1_001, 1_799, 2_001]);
}
