//! What the table says about a few kinds that everybody knows.

use machinery::json;
use machinery::schema::{ListKind, Omission, Shape};

use super::*;

#[test]
fn the_table_knows_what_is_served() {
    let table = Table::load();
    let served: Vec<String> = table.group_versions().iter().map(GroupVersion::api_version).collect();
    assert_eq!(served.len(), 22);
    assert_eq!(served[0], "v1");
    assert_eq!(table.resources().count(), 68);
    assert_eq!(table.resources().map(|resource| resource.subresources.len()).sum::<usize>(), 45);
    let pods = table.resource("", "v1", "pods").expect("pods are served");
    assert_eq!((pods.singular, pods.kind, pods.namespaced), ("pod", "Pod", true));
    assert_eq!((pods.short_names.as_slice(), pods.categories.as_slice()), (&["po"][..], &["all"][..]));
    assert_eq!(pods.verbs, Verb::ALL);
    let eviction = pods.subresource("eviction").expect("pods can be evicted");
    assert_eq!((pods.group_version_of(eviction), eviction.kind), (("policy", "v1"), "Eviction"));
    assert!(!table.resource("", "v1", "namespaces").is_some_and(|ns| ns.allows(Verb::DeleteCollection)));
}

#[test]
fn every_resource_and_subresource_has_a_type() {
    let table = Table::load();
    for resource in table.resources() {
        assert!(table.kind(resource.group, resource.version, resource.kind).is_some(), "{}", resource.plural);
        for subresource in &resource.subresources {
            let (group, version) = resource.group_version_of(subresource);
            assert!(
                table.kind(group, version, subresource.kind).is_some(),
                "{}/{}",
                resource.plural,
                subresource.name
            );
        }
    }
}

#[test]
fn fields_carry_all_that_engines_need() {
    let table = Table::load();
    let pod = table.type_of(table.kind("", "v1", "Pod").expect("pods exist"));
    let spec = pod.field("spec").expect("pods have a spec").ty();
    let containers = spec.field("containers").expect("specs have containers");
    assert_eq!((containers.number, containers.omission, containers.required), (2, Omission::Never, true));
    assert_eq!((containers.patch.merge, containers.patch.key.as_str()), (true, "name"));
    let Shape::List(list) = containers.ty().shape() else { panic!("containers are a list") };
    assert_eq!(list.kind, ListKind::Map(Box::new(["name".into()])));
    let port =
        containers.ty().item().and_then(|item| item.field("ports")).and_then(|ports| ports.ty().item());
    let protocol = port.and_then(|port| port.field("protocol")).expect("ports have a protocol");
    assert_eq!(protocol.key_default(), Some("TCP".into()));
    assert_eq!(protocol.ty().enumeration.len(), 3);
    assert_eq!(protocol.ty().go_type(), "v1.Protocol");
    let volume = spec.field("volumes").and_then(|volumes| volumes.ty().item()).expect("specs have volumes");
    let secret = volume.field("secret").expect("volumes may be secrets");
    let inner = volume.as_struct().expect("a volume is a structure");
    assert_eq!((inner.inlines()[usize::from(secret.inline) - 1].number, secret.number), (2, 6));
}

#[test]
fn kinds_of_every_group_are_found_in_each() {
    let table = Table::load();
    assert_eq!(table.kind("apps", "v1", "DeleteOptions"), table.kind("", "v1", "DeleteOptions"));
    assert!(table.kind("apps", "v1", "Status").is_none());
    assert!(table.kind_of("v1", "Status").is_some());
    assert!(table.kind_of("meta.k8s.io/v1", "PartialObjectMetadata").is_some());
    assert!(!table.kind("apps", "v1beta1", "Deployment").expect("golden objects have it").served);
}

#[test]
fn what_must_not_be_left_out_is_there() {
    let table = Table::load();
    let role = table.type_of(table.kind("rbac.authorization.k8s.io", "v1", "Role").expect("roles exist"));
    let mut report = json::Report::new();
    let body = br#"{"apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"r"},"kind":"Role"}"#;
    let value = json::decode(body, role, &mut report).expect("this is a role");
    assert_eq!(
        json::to_string(&value),
        r#"{"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"r"},"rules":null}"#
    );
}
