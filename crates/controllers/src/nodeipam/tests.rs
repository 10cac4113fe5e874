use serde_json::{Value, json};

use super::plan::{View, plan};
use crate::tests::fixtures::{body, object};

fn given(whole: &[&str], nodes: &[&[&str]]) -> Vec<Value> {
    let nodes = nodes.iter().enumerate().map(|(number, ranges)| {
        let name = format!("n{number}");
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "uid": name } });
        (object(&node), ranges.iter().map(|range| (*range).to_owned()).collect())
    });
    let view = View { nodes: nodes.collect(), whole: whole.iter().map(|cidr| (*cidr).to_owned()).collect() };
    plan(&view).ops().map(|op| body(op)["spec"]["podCIDRs"].clone()).collect()
}

#[test]
fn each_node_gets_the_first_free_range() {
    type Case<'a> = (&'a [&'a str], &'a [&'a [&'a str]], Vec<Value>);
    let cases: [Case<'_>; 6] = [
        (&["10.244.0.0/16"], &[&[]], vec![json!(["10.244.0.0/24"])]),
        (
            &["10.244.0.0/16"],
            &[&["10.244.0.0/24"], &[], &[]],
            vec![json!(["10.244.1.0/24"]), json!(["10.244.2.0/24"])],
        ),
        (&["10.244.0.0/16"], &[&["10.244.1.0/24"], &[]], vec![json!(["10.244.0.0/24"])]),
        (&["10.244.0.0/24"], &[&["10.244.0.0/24"], &[]], vec![]),
        (&["10.0.0.0/26"], &[&[]], vec![json!(["10.0.0.0/26"])]),
        (&["10.244.0.0/16", "fd00::/56"], &[&[]], vec![json!(["10.244.0.0/24", "fd00::/64"])]),
    ];
    for (whole, nodes, expected) in cases {
        assert_eq!(given(whole, nodes), expected, "{whole:?} {nodes:?}");
    }
}

#[test]
fn a_range_that_could_not_be_given_is_given_again() {
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n", "uid": "n" } });
    let view = View { nodes: vec![(object(&node), Vec::new())], whole: vec!["10.244.0.0/16".to_owned()] };
    assert!(plan(&view).ops().all(|op| !op.tolerated.contains(&409)), "nothing else would try again");
}
