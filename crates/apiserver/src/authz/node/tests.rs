use std::sync::Arc;

use machinery::Value;

use super::graph::used_by;
use super::*;
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
            identity,
            verb,
            is_resource: true,
            path: "",
            group: "",
            resource,
            subresource,
            namespace,
            name,
        };
        let decision = nodes.authorize(&attributes);
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{verb} {resource} {name}: {decision:?}");
    }
    world.delete("core/pods", "default/web").await;
    let attributes = Attributes {
        identity: &one,
        verb: "get",
        is_resource: true,
        path: "",
        group: "",
        resource: "secrets",
        subresource: "",
        namespace: "default",
        name: "password",
    };
    let gone = Decision::NoOpinion("no relationship found between node 'one' and this object".to_owned());
    assert_eq!(nodes.authorize(&attributes), gone);
    drop(Arc::new(nodes));
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
