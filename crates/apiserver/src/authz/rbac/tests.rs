use super::*;
use crate::authz::tests::World;

async fn world() -> World {
    let world = World::new().await;
    let role = |name: &str, resource: &str| {
        format!(
            r#"{{"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{{"name":"{name}","namespace":"n"}},
            "rules":[{{"verbs":["get"],"apiGroups":[""],"resources":["{resource}"]}}]}}"#
        )
    };
    world.put("rbac.authorization.k8s.io/roles", "n/r", &role("r", "configmaps")).await;
    world.put("rbac.authorization.k8s.io/rolebindings", "n/b", &binding("Role", "r")).await;
    world
}

fn binding(kind: &str, role: &str) -> String {
    format!(
        r#"{{"kind":"RoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{{"name":"b","namespace":"n"}},
        "subjects":[{{"kind":"User","name":"alice"}},{{"kind":"ServiceAccount","name":"robot"}}],
        "roleRef":{{"kind":"{kind}","name":"{role}"}}}}"#
    )
}

fn get<'a>(identity: &'a Identity, namespace: &'a str, resource: &'a str) -> Attributes<'a> {
    Attributes {
        identity,
        verb: "get",
        is_resource: true,
        path: "",
        group: "",
        resource,
        subresource: "",
        namespace,
        name: "x",
        selectors: None,
    }
}

fn allowed(reason: &str) -> Decision {
    Decision::Allow(reason.to_owned())
}

fn refused(reason: &str) -> Decision {
    Decision::NoOpinion(reason.to_owned())
}

#[tokio::test]
async fn bindings_give_the_rules_of_roles_in_their_namespace() {
    let world = world().await;
    let rbac = Rbac::new(&world.caches);
    let alice = Identity::new("alice", &[]);
    let reason = "RBAC: allowed by RoleBinding \"b/n\" of Role \"r\" to User \"alice\"";
    assert_eq!(rbac.authorize(&get(&alice, "n", "configmaps")), allowed(reason));
    assert_eq!(rbac.authorize(&get(&alice, "m", "configmaps")), refused(""));
    assert_eq!(rbac.authorize(&get(&alice, "", "configmaps")), refused(""));
    assert_eq!(rbac.authorize(&get(&alice, "n", "secrets")), refused(""));
    let robot = Identity::new("system:serviceaccount:n:robot", &[]);
    let reason = "RBAC: allowed by RoleBinding \"b/n\" of Role \"r\" to ServiceAccount \"robot/n\"";
    assert_eq!(rbac.authorize(&get(&robot, "n", "configmaps")), allowed(reason));
    let bob = Identity::new("bob", &["alice"]);
    assert_eq!(rbac.authorize(&get(&bob, "n", "configmaps")), refused(""));
}

#[tokio::test]
async fn changes_count_at_once_and_a_missing_role_is_named() {
    let world = world().await;
    let rbac = Rbac::new(&world.caches);
    let alice = Identity::new("alice", &[]);
    assert!(matches!(rbac.authorize(&get(&alice, "n", "configmaps")), Decision::Allow(_)));
    world.put("rbac.authorization.k8s.io/rolebindings", "n/b", &binding("ClusterRole", "gone")).await;
    let missing = "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    assert_eq!(rbac.authorize(&get(&alice, "n", "configmaps")), refused(missing));
    world.delete("rbac.authorization.k8s.io/rolebindings", "n/b").await;
    assert_eq!(rbac.authorize(&get(&alice, "n", "configmaps")), refused(""));
}

#[tokio::test]
async fn aggregated_roles_have_the_rules_of_those_they_select() {
    let world = world().await;
    let role = |name: &str, more: &str| {
        format!(
            r#"{{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{{"name":"{name}"{more}}}"#
        )
    };
    let all = role("all", r#","labels":{"to-all":"no"}"#)
        + r#","aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"to-all":"yes"}}]}}"#;
    let some = role("some", r#","labels":{"to-all":"yes"}"#)
        + r#","rules":[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}]}"#;
    world.put("rbac.authorization.k8s.io/clusterroles", "all", &all).await;
    world.put("rbac.authorization.k8s.io/clusterroles", "some", &some).await;
    world.put("rbac.authorization.k8s.io/rolebindings", "n/b", &binding("ClusterRole", "all")).await;
    let rbac = Rbac::new(&world.caches);
    let alice = Identity::new("alice", &[]);
    assert!(matches!(rbac.authorize(&get(&alice, "n", "secrets")), Decision::Allow(_)));
    assert_eq!(rbac.granted(&alice, "n").rules.len(), 1);
    assert_eq!(rbac.rules_of("ClusterRole", "all", "").map(|rules| rules.len()), Ok(1));
}
