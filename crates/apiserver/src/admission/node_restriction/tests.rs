use super::*;
use crate::admission::tests::{Reviewed, refusal};
use crate::authz::tests::{World, masters};
use crate::identity::Identity;

fn plugin() -> NodeRestriction {
    NodeRestriction { authorizer: Arc::new(masters()) }
}

fn one() -> Identity {
    Identity::new("system:node:one", &["system:nodes"])
}

#[test]
fn labels_that_nodes_may_set() {
    for (label, forbidden) in [
        ("mine", false),
        ("example.com/x", false),
        ("kubernetes.io/hostname", false),
        ("kubernetes.io/role", true),
        ("node-role.kubernetes.io/master", true),
        ("node.kubernetes.io/x", false),
        ("a.kubelet.kubernetes.io/x", false),
        ("x.k8s.io/y", true),
        ("node-restriction.kubernetes.io/x", true),
        ("a.node-restriction.kubernetes.io/x", true),
        ("topology.kubernetes.io/zone", false),
    ] {
        assert_eq!(is_forbidden(label), forbidden, "{label}");
    }
}

#[tokio::test]
async fn nodes_change_themselves_and_their_pods() {
    let world = World::new().await;
    let node = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"one","uid":"u1"}}"#;
    world.put("core/nodes", "one", node).await;
    for (name, node) in [("mine", "one"), ("theirs", "two")] {
        let pod = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"n","uid":"{name}"}},
            "spec":{{"nodeName":"{node}","volumes":[{{"projected":{{"sources":[{{"serviceAccountToken":{{"audience":"vault"}}}}]}}}}]}}}}"#
        );
        world.put("core/pods", &format!("n/{name}"), &pod).await;
    }
    let mirror = |more: &str, spec: &str| {
        format!(
            r#"{{"metadata":{{"name":"m","annotations":{{"kubernetes.io/config.mirror":"x"}},"ownerReferences":[{{"apiVersion":"v1",
            "kind":"Node","name":"one","uid":"u1","controller":true{more}}}]}},"spec":{{"nodeName":"one"{spec}}}}}"#
        )
    };
    let token = |pod: &str, audience: &str| {
        format!(
            r#"{{"spec":{{"audiences":["{audience}"],"boundObjectRef":{{"apiVersion":"v1","kind":"Pod","name":"{pod}","uid":"{pod}"}}}}}}"#
        )
    };
    let cases = [
        ("create pods m", mirror("", ""), "{}", ""),
        ("create pods m", mirror("", r#","serviceAccountName":"a""#), "{}", "reference a service account"),
        ("create pods m", mirror("", r#","imagePullSecrets":[{"name":"s"}]"#), "{}", "reference secrets"),
        (
            "create pods m",
            mirror(r#","blockOwnerDeletion":true"#, ""),
            "{}",
            "must not set blockOwnerDeletion",
        ),
        ("create pods m", r#"{"spec":{"nodeName":"one"}}"#.to_owned(), "{}", "can only create mirror pods"),
        (
            "update pods mine",
            "{}".to_owned(),
            "{}",
            "unexpected operation \"UPDATE\", node \"one\" can only create",
        ),
        ("delete pods mine", "null".to_owned(), r#"{"spec":{"nodeName":"one"}}"#, ""),
        (
            "delete pods theirs",
            "null".to_owned(),
            r#"{"spec":{"nodeName":"two"}}"#,
            "can only delete pods with",
        ),
        ("update pods/status mine", "{}".to_owned(), r#"{"spec":{"nodeName":"one"}}"#, ""),
        (
            "update pods/status theirs",
            "{}".to_owned(),
            r#"{"spec":{"nodeName":"two"}}"#,
            "can only update pod status",
        ),
        (
            "update pods/status mine",
            r#"{"metadata":{"labels":{"a":"b"}}}"#.to_owned(),
            r#"{"spec":{"nodeName":"one"}}"#,
            "cannot update labels through pod status",
        ),
        ("create pods/eviction mine", "{}".to_owned(), "{}", ""),
        ("create pods/eviction theirs", "{}".to_owned(), "{}", "node one can only evict pods"),
        ("create pods/exec mine", "{}".to_owned(), "{}", "unexpected pod subresource \"exec\""),
        ("create nodes one", "{}".to_owned(), "{}", ""),
        ("create nodes two", "{}".to_owned(), "{}", "node \"one\" is not allowed to modify node \"two\""),
        (
            "create nodes one",
            r#"{"metadata":{"labels":{"kubernetes.io/x":"","y":""}}}"#.to_owned(),
            "{}",
            "is not allowed to set the following labels: kubernetes.io/x",
        ),
        (
            "update nodes one",
            "{}".to_owned(),
            r#"{"metadata":{"labels":{"x.k8s.io/b":"","x.k8s.io/a":""}}}"#,
            "is not allowed to modify labels: x.k8s.io/a, x.k8s.io/b",
        ),
        (
            "update nodes one",
            "{}".to_owned(),
            r#"{"spec":{"taints":[{"key":"a"}]}}"#,
            "is not allowed to modify taints",
        ),
        ("create serviceaccounts/token s", token("mine", "vault"), "{}", ""),
        (
            "create serviceaccounts/token s",
            token("mine", "bank"),
            "{}",
            "audience \"bank\" not found in pod spec volume",
        ),
        (
            "create serviceaccounts/token s",
            token("theirs", "vault"),
            "{}",
            "bound to a pod scheduled on a different node",
        ),
        (
            "create serviceaccounts/token s",
            r#"{"spec":{}}"#.to_owned(),
            "{}",
            "node requested token not bound to a pod",
        ),
        ("create configmaps c", "{}".to_owned(), "{}", ""),
    ];
    for (what, object, old, expected) in cases {
        let reviewed = Reviewed::new(&world, what, "n", (&object, old));
        let why = refusal(&plugin(), &reviewed, &one(), &world).await;
        assert_eq!(why.is_empty(), expected.is_empty(), "{what} {object}: {why}");
        assert!(why.contains(expected), "{what} {object}: {why}");
    }
    let user = Identity::new("alice", &[]);
    assert!(!plugin().wants(&Reviewed::new(&world, "create nodes two", "", ("{}", "{}")).review(&user)));
}
