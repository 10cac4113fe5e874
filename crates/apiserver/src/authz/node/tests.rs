use std::sync::Arc;

use machinery::Value;
use machinery::status::GroupName;

use super::graph::used_by;
use super::*;
use crate::authz::Selectors;
use crate::authz::tests::World;

#[tokio::test]
async fn a_node_reads_what_its_pods_use_and_nothing_else() {
    let world = World::new().await;
    world
        .put(
            "core/pods",
            "default/web",
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default"},
                "spec":{"nodeName":"one","serviceAccountName":"app","containers":[{"name":"c",
                "env":[{"name":"a","valueFrom":{"secretKeyRef":{"name":"password","key":"k"}}}]}],
                "volumes":[{"name":"v","configMap":{"name":"settings"}}]}}"#,
        )
        .await;
    let nodes = Nodes::new(&world.caches);
    let one = Identity::new("system:node:one", &[NODES]);
    let two = Identity::new("system:node:two", &[NODES]);
    let user = Identity::new("system:node:one", &[]);
    let cases = [
        (&one, "get", "secrets", "default", "password", true),
        (&one, "list", "secrets", "default", "password", true),
        (&one, "list", "secrets", "default", "", false),
        (&one, "update", "secrets", "default", "password", false),
        (&one, "get", "secrets", "other", "password", false),
        (&one, "get", "secrets", "default", "other", false),
        (&one, "get", "configmaps", "default", "settings", true),
        (&one, "create", "serviceaccounts/token", "default", "app", true),
        (&one, "create", "serviceaccounts/token", "default", "admin", false),
        (&one, "get", "pods", "default", "web", true),
        (&one, "patch", "pods/status", "default", "web", true),
        (&one, "create", "deployments", "default", "", false),
        (&two, "get", "secrets", "default", "password", false),
        (&user, "get", "secrets", "default", "password", false),
    ];
    for (identity, verb, resource, namespace, name, allowed) in cases {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = Attributes {
            subresource,
            namespace,
            name,
            ..Attributes::of_resource(identity, verb, GroupName { group: "", name: resource })
        };
        let decision = nodes.authorize(&attributes);
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{verb} {resource} {name}: {decision:?}");
    }
    world.delete("core/pods", "default/web").await;
    let attributes = Attributes {
        namespace: "default",
        name: "password",
        ..Attributes::of_resource(&one, "get", GroupName { group: "", name: "secrets" })
    };
    let gone = Decision::NoOpinion("no relationship found between node 'one' and this object".to_owned());
    assert_eq!(nodes.authorize(&attributes), gone);
    drop(Arc::new(nodes));
}

#[tokio::test]
async fn a_node_sees_itself_its_pods_and_its_devices() {
    let world = World::new().await;
    for (name, node) in [("mine", "one"), ("theirs", "two")] {
        let pod = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"default"}},"spec":{{"nodeName":"{node}"}}}}"#
        );
        world.put("core/pods", &format!("default/{name}"), &pod).await;
        let slice = format!(
            r#"{{"kind":"ResourceSlice","apiVersion":"resource.k8s.io/v1","metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}"}}}}"#
        );
        world.put("resource.k8s.io/resourceslices", name, &slice).await;
    }
    let nodes = Nodes::new(&world.caches);
    let one = Identity::new("system:node:one", &[NODES]);
    let cases = [
        ("get", "nodes", "one", "", Ok(())),
        ("get", "nodes", "two", "", Err("node 'one' cannot read 'two', only its own Node object")),
        ("list", "nodes", "", "", Err("node 'one' cannot read all nodes, only its own Node object")),
        ("watch", "nodes", "", "metadata.name=one", Ok(())),
        ("update", "nodes", "one", "", Ok(())),
        ("get", "pods", "mine", "", Ok(())),
        ("get", "pods", "theirs", "", Err("no relationship found between node 'one' and this object")),
        ("list", "pods", "", "", Err("can only list/watch pods with spec.nodeName field selector")),
        (
            "list",
            "pods",
            "",
            "spec.nodeName=two",
            Err("can only list/watch pods with spec.nodeName field selector"),
        ),
        ("watch", "pods", "", "spec.nodeName=one", Ok(())),
        ("get", "resourceslices", "mine", "", Ok(())),
        (
            "delete",
            "resourceslices",
            "theirs",
            "",
            Err("no relationship found between node 'one' and this object"),
        ),
        ("list", "resourceslices", "", "spec.nodeName=one", Ok(())),
    ];
    for (verb, resource, name, fields, expected) in cases {
        let selectors = Selectors::read(fields, "");
        let group = if resource == "resourceslices" { "resource.k8s.io" } else { "" };
        let asked = Attributes {
            namespace: if resource == "pods" { "default" } else { "" },
            name,
            selectors: selectors.as_ref(),
            ..Attributes::of_resource(&one, verb, GroupName { group, name: resource })
        };
        let expected = match expected {
            Ok(()) => Decision::Allow(String::new()),
            Err(why) => Decision::NoOpinion(why.to_owned()),
        };
        assert_eq!(nodes.authorize(&asked), expected, "{verb} {resource} {name} {fields}");
    }
}

#[test]
fn everything_a_pod_refers_to_is_found() {
    let pod = machinery::json::parse(
        br#"{"metadata":{"name":"p"},"spec":{"imagePullSecrets":[{"name":"pull"}],
        "initContainers":[{"envFrom":[{"secretRef":{"name":"s1"}},{"configMapRef":{"name":"c1"}}]}],
        "volumes":[{"name":"a","secret":{"secretName":"s2"}},{"name":"b","ephemeral":{}},
        {"name":"c","projected":{"sources":[{"secret":{"name":"s3"}},{"configMap":{"name":"c2"}}]}},
        {"name":"d","persistentVolumeClaim":{"claimName":"v"}}],
        "resourceClaims":[{"name":"r","resourceClaimName":"claim"}]}}"#,
    )
    .unwrap();
    let used: Vec<String> =
        used_by(&pod).into_iter().map(|(resource, name)| format!("{resource} {name}")).collect();
    assert_eq!(
        used,
        [
            "configmaps c1",
            "configmaps c2",
            "persistentvolumeclaims p-b",
            "persistentvolumeclaims v",
            "resourceclaims claim",
            "secrets pull",
            "secrets s1",
            "secrets s2",
            "secrets s3",
        ]
    );
    assert!(used_by(&Value::object()).is_empty());
}
