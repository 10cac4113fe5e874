use machinery::status::GroupName;

use super::*;
use crate::authz::rbac::Rbac;
use crate::authz::tests::World;
use crate::authz::{Attributes, Authorizer, Decision};

fn find<'a>(all: &'a [Wanted], plural: &str, name: &str) -> &'a Wanted {
    all.iter().find(|wanted| wanted.plural == plural && wanted.name == name).unwrap()
}

#[test]
fn the_policy_is_read_whole() {
    let all = read();
    let count = |plural| all.iter().filter(|wanted| wanted.plural == plural).count();
    assert_eq!(["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map(count), [70, 51, 7, 7]);
    let admin = find(&all, "clusterroles", "cluster-admin");
    let rules = Rule::all_of(admin.document.get("rules"));
    assert_eq!(
        rules.iter().map(rules::describe).collect::<Vec<_>>(),
        [r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#, r#"{NonResourceURLs:["*"], Verbs:["*"]}"#]
    );
    // Every binding leads to a role of the same policy.
    for wanted in &all {
        let role = wanted.document.at(&["roleRef", "name"]).str_or_empty();
        if !role.is_empty() {
            assert!(
                all.iter().any(|other| other.name == role && !other.plural.ends_with("bindings")),
                "{role}"
            );
            // Nodes have an authorizer of their own; the binding is there for those who look for it.
            let bound = !wanted.document.get("subjects").items().is_empty();
            assert_eq!(bound, wanted.name != "system:node", "{}", wanted.name);
        }
    }
}

#[test]
fn what_is_missing_is_added_and_what_users_added_stays() {
    let all = read();
    let wanted = &find(&all, "clusterroles", "system:basic-user").document;
    assert_eq!(complete(wanted.clone(), wanted), None);
    let own = Rule { verbs: vec!["get".into()], paths: vec!["/mine".into()], ..Rule::default() };
    let mut there = wanted.clone();
    there.set("rules", vec![own.to_value()]);
    let completed = complete(there.clone(), wanted).unwrap();
    let rules = Rule::all_of(completed.get("rules"));
    assert_eq!(rules[0], own);
    assert!(rules::missing(&rules, &Rule::all_of(wanted.get("rules"))).is_empty());
    *there.at_mut(&["metadata", "annotations", AUTOUPDATE]) = Value::from("false");
    assert_eq!(complete(there, wanted), None);
    let wanted = &find(&all, "clusterrolebindings", "system:basic-user").document;
    let mut there = wanted.clone();
    there.set("subjects", vec![subject("user", "me")]);
    let completed = complete(there, wanted).unwrap();
    assert_eq!(
        completed.get("subjects").items(),
        [subject("user", "me"), subject("group", "system:authenticated")]
    );
}

/// Upstream's decisions: for each role a mask of the paths it may get, and of each resource a mask of the verbs.
const DECISIONS: &str = include_str!("decisions.txt");

#[tokio::test]
async fn every_role_allows_what_upstreams_allows_and_nothing_else() {
    let world = World::new().await;
    for wanted in read().into_iter().filter(|wanted| wanted.plural == "clusterroles") {
        let mut document = wanted.document;
        document.entry("metadata").set("name", wanted.name);
        document.set("kind", "ClusterRole");
        document.set("apiVersion", "rbac.authorization.k8s.io/v1");
        let json = String::from_utf8(machinery::json::to_vec(&document)).unwrap();
        world.put("rbac.authorization.k8s.io/clusterroles", wanted.name, &json).await;
        let binding = format!(
            r#"{{"kind":"ClusterRoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{{"name":"{name}"}},
            "subjects":[{{"kind":"User","name":"{name}"}}],"roleRef":{{"kind":"ClusterRole","name":"{name}"}}}}"#,
            name = wanted.name
        );
        world.put("rbac.authorization.k8s.io/clusterrolebindings", wanted.name, &binding).await;
    }
    let rbac = Rbac::new(&world.caches);
    let mut lines = DECISIONS.lines();
    let mut axis = || lines.next().unwrap().split(' ').skip(1).collect::<Vec<_>>();
    let (verbs, resources, paths) = (axis(), axis(), axis());
    let mask = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut asked_for = 0;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let user = Identity { name: words[0].to_owned(), ..Identity::default() };
        let allowed = |asked: &Attributes<'_>| matches!(rbac.authorize(asked), Decision::Allow(_));
        let mut found = 0;
        for (bit, path) in paths.iter().enumerate() {
            let nothing = GroupName { group: "", name: "" };
            let asked =
                Attributes { is_resource: false, path, ..Attributes::of_resource(&user, "get", nothing) };
            found |= u64::from(allowed(&asked)) << bit;
        }
        assert_eq!(found, mask(words[1]), "paths of {}", words[0]);
        let granted = words[2].split(',').filter_map(|entry| entry.split_once(':'));
        let granted: std::collections::HashMap<usize, u64> =
            granted.map(|(resource, verbs)| (resource.parse().unwrap(), mask(verbs))).collect();
        for (at, resource) in resources.iter().enumerate() {
            let (group, name) = resource.split_once('|').unwrap();
            let (name, subresource) = name.split_once('/').unwrap_or((name, ""));
            let mut found = 0;
            for (bit, verb) in verbs.iter().enumerate() {
                let asked = Attributes {
                    subresource,
                    namespace: "n",
                    ..Attributes::of_resource(&user, verb, GroupName { group, name })
                };
                found |= u64::from(allowed(&asked)) << bit;
                asked_for += 1;
            }
            assert_eq!(found, granted.get(&at).copied().unwrap_or(0), "{} on {resource}", words[0]);
        }
    }
    assert!(asked_for > 100_000, "{asked_for}");
}
