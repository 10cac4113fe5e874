//! What a foreign server serves, as the aggregated discovery document has it: asked for in that form, or made of the older
//! one where a server does not know it.

use std::collections::BTreeMap;

use machinery::Value;

use super::foreign::Foreign;
use crate::core::Core;

/// The newer form, in which servers of both ages may answer.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// Asks a server for the resources of its group and version.
pub(super) async fn resources(core: &Core, foreign: &Foreign) -> Result<Value, String> {
    let (group, version) = (foreign.group.as_str(), foreign.version.as_str());
    if let Ok(Some((document, _))) = foreign.document(core, "/apis", AGGREGATED, None).await
        && document.get("kind").str_or_empty() == "APIGroupDiscoveryList"
    {
        return Ok(of_version(&document, group, version));
    }
    let list = foreign.document(core, &foreign.path(), "application/json", None).await?;
    Ok(list.map_or(Value::from(Vec::new()), |(list, _)| from_list(&list, group, version)))
}

fn of_version(document: &Value, group: &str, version: &str) -> Value {
    let is_named = |own: &&Value| own.at(&["metadata", "name"]).str_or_empty() == group;
    let groups = document.get("items").items().iter().filter(is_named);
    let mut versions = groups.flat_map(|own| own.get("versions").items());
    let own = versions.find(|own| own.get("version").str_or_empty() == version);
    let mut resources = own.map_or(Value::from(Vec::new()), |own| own.get("resources").clone());
    // Some clients fail where an answer has no kind at all.
    for resource in resources.items_mut() {
        name_kind(resource);
        if let Some(subresources) = resource.get_mut("subresources") {
            subresources.items_mut().iter_mut().for_each(name_kind);
        }
    }
    resources
}

fn name_kind(resource: &mut Value) {
    if resource.get("responseKind").is_null() {
        let none = ["group", "version", "kind"].map(|name| (name, Value::from("")));
        resource.set("responseKind", Value::from(none));
    }
}

/// The resources of an `APIResourceList`, each with what hangs below it.
fn from_list(list: &Value, group: &str, version: &str) -> Value {
    let mut found: Vec<Value> = Vec::new();
    let mut below: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for resource in list.get("resources").items() {
        match resource.get("name").str_or_empty().split_once('/') {
            None => found.push(entry(resource, group, version)),
            Some((parent, name)) => {
                let sub = Value::from([
                    ("subresource", Value::from(name)),
                    ("responseKind", kind(resource, group, version)),
                    ("verbs", resource.get("verbs").clone()),
                ]);
                below.entry(parent.to_owned()).or_default().push(sub);
            }
        }
    }
    for resource in &mut found {
        if let Some(subresources) = below.remove(resource.get("resource").str_or_empty()) {
            resource.set("subresources", subresources);
        }
    }
    Value::from(found)
}

fn kind(resource: &Value, group: &str, version: &str) -> Value {
    let or = |name: &str, otherwise: &str| match resource.get(name).str_or_empty() {
        "" => Value::from(otherwise),
        own => Value::from(own),
    };
    Value::from([
        ("group", or("group", group)),
        ("version", or("version", version)),
        ("kind", resource.get("kind").clone()),
    ])
}

fn entry(resource: &Value, group: &str, version: &str) -> Value {
    let scope = if resource.get("namespaced").is_true() { "Namespaced" } else { "Cluster" };
    let mut entry = Value::from([
        ("resource", resource.get("name").clone()),
        ("responseKind", kind(resource, group, version)),
        ("scope", Value::from(scope)),
        ("singularResource", resource.get("singularName").clone()),
        ("verbs", resource.get("verbs").clone()),
    ]);
    for name in ["shortNames", "categories"] {
        if !resource.get(name).items().is_empty() {
            entry.set(name, resource.get(name).clone());
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn both_forms_tell_the_same() {
        let old = parse(
            r#"{"kind":"APIResourceList","resources":[
                {"name":"flunders","singularName":"flunder","namespaced":true,"kind":"Flunder","verbs":["get","list"],
                 "shortNames":["fl"]},
                {"name":"flunders/status","singularName":"","namespaced":true,"kind":"Flunder","verbs":["get"]},
                {"name":"flunders/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1",
                 "kind":"Scale","verbs":["update"]}]}"#,
        );
        let expected = parse(
            r#"[{"resource":"flunders","responseKind":{"group":"w","version":"v1","kind":"Flunder"},
                "scope":"Namespaced","singularResource":"flunder","verbs":["get","list"],"shortNames":["fl"],
                "subresources":[
                {"subresource":"status","responseKind":{"group":"w","version":"v1","kind":"Flunder"},"verbs":["get"]},
                {"subresource":"scale","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},
                 "verbs":["update"]}]}]"#,
        );
        assert_eq!(from_list(&old, "w", "v1"), expected);
        let new = Value::from([(
            "items",
            Value::from(vec![Value::from([
                ("metadata", parse(r#"{"name":"w"}"#)),
                (
                    "versions",
                    Value::from(vec![
                        parse(r#"{"version":"v2","resources":[]}"#),
                        Value::from([("version", Value::from("v1")), ("resources", expected.clone())]),
                    ]),
                ),
            ])]),
        )]);
        assert_eq!(of_version(&new, "w", "v1"), expected);
        assert!(of_version(&new, "other", "v1").items().is_empty());
    }

    #[test]
    fn what_has_no_kind_gets_an_empty_one() {
        let document = parse(
            r#"{"items":[{"metadata":{"name":"w"},"versions":[{"version":"v1","resources":[
                {"resource":"a","subresources":[{"subresource":"b"}]}]}]}]}"#,
        );
        let resources = of_version(&document, "w", "v1");
        let first = &resources.items()[0];
        assert_eq!(first.at(&["responseKind", "kind"]).as_str(), Some(""));
        assert_eq!(first.get("subresources").items()[0].at(&["responseKind", "group"]).as_str(), Some(""));
    }
}
