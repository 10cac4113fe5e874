//! OpenAPI documents against those of upstream: each type, path and document against the digest that upstream's has
//! (`openapi/expected.txt`), and member by member where upstream's are found (`REFERENCE_OPENAPI`, or beside the working
//! tree).
//!
//! What may differ is what is said in prose, nothing else:
//! * descriptions of types, fields and parameters, which come from the published types of Kubernetes;
//! * the marks at the end of the names of shared parameters in version 2, which are made from those descriptions.

#[path = "openapi/digest.rs"]
mod digest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use api::Table;
use api::openapi;
use machinery::{Value, json};

fn reference() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("REFERENCE_OPENAPI") {
        return Some(PathBuf::from(folder));
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().map(|folder| folder.join("shared/reference/openapi")).find(|folder| folder.is_dir())
}

fn read(path: &Path) -> Value {
    let output = Command::new("xz").arg("-dc").arg(path).output().expect("xz is installed");
    assert!(output.status.success(), "{}", path.display());
    json::parse(&output.stdout).expect("the document is JSON")
}

/// Removes descriptions, but for those of operations and answers. Beside a description, references stand in `allOf`.
fn without_prose(value: &mut Value) {
    let unwrapped = match value.get("allOf").items() {
        [only] if value.as_object().is_some_and(|map| map.len() == 1) => Some(only.clone()),
        _ => None,
    };
    if let Some(only) = unwrapped {
        *value = only;
    }
    match value {
        Value::Object(map) => {
            let is_operation = map.contains_key("operationId") || map.contains_key("content");
            if !is_operation && map.get("description").is_some_and(|text| text.as_str().is_some()) {
                map.remove("description");
                return without_prose(value);
            }
            for (_, member) in map.iter_mut() {
                without_prose(member);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_prose),
        _ => {}
    }
}

/// Where two documents differ first, and how.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, member) in a.iter() {
                match b.get(name) {
                    Some(other) => differences(&format!("{path}/{name}"), member, other, found),
                    None => found.push(format!("{path}/{name} is only ours")),
                }
            }
            for name in b.keys().filter(|name| !a.contains_key(name)) {
                found.push(format!("{path}/{name} is missing"));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (position, (one, other)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{position}"), one, other, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {} is not {}", json::to_string(ours), json::to_string(theirs))),
    }
}

/// All documents of version 3 by the names of the reference's files, without prose.
fn version_3() -> Vec<(String, Value)> {
    let table = Table::load();
    let mut documents = vec![
        ("api".to_owned(), openapi::v3_group(&table, "")),
        ("apis".to_owned(), openapi::v3_groups(&table)),
    ];
    for version in table.group_versions() {
        let name = match version.group {
            "" => "api__v1".to_owned(),
            group => {
                documents.push((format!("apis__{group}"), openapi::v3_group(&table, group)));
                format!("apis__{group}__{}", version.version)
            }
        };
        documents.push((name, openapi::v3(&table, version)));
    }
    for path in ["version", "openid/v1/jwks", ".well-known/openid-configuration"] {
        let document = openapi::v3_extra(&table, path).expect("the path is known");
        documents.push((path.replace('/', "__"), document));
    }
    documents.iter_mut().for_each(|(_, document)| without_prose(document));
    documents
}

/// The document of version 2, without prose.
fn version_2(document: &Value) -> Value {
    let mut document = with_parameters(document);
    without_prose(&mut document);
    document
}

/// A line for each document of version 3, and for each type and path of version 2: what it is, and its digest.
fn digests(version_2: &Value, version_3: &[(String, Value)]) -> BTreeMap<String, String> {
    let documents = version_3.iter().map(|(name, document)| (format!("v3 {name}"), document));
    let parts = ["definitions", "paths"].into_iter().flat_map(|part| {
        version_2.get(part).members().map(move |(name, member)| (format!("v2 {part} {name}"), member))
    });
    documents.chain(parts).map(|(name, value)| (name, digest::of(value))).collect()
}

#[test]
fn every_document_has_the_digest_of_upstreams() {
    let ours = digests(&version_2(&openapi::v2(&Table::load(), &[])), &version_3());
    digest::compare(&ours, include_str!("openapi/expected.txt"));
}

#[test]
fn version_3_equals_the_reference() {
    let Some(folder) = reference() else {
        println!("no reference documents here");
        return;
    };
    let mut found = Vec::new();
    let mut reference = Vec::new();
    for (name, ours) in version_3() {
        let mut theirs = read(&folder.join(format!("v3/{name}.json.xz")));
        without_prose(&mut theirs);
        differences(&name, &ours, &theirs, &mut found);
        reference.push((name, theirs));
    }
    let version_2 = version_2(&read(&folder.join("v2.json.xz")));
    digest::compare(&digests(&version_2, &reference), include_str!("openapi/expected.txt"));
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found[..found.len().min(60)].join("\n"));
}

#[test]
fn a_version_tells_clients_that_fields_are_validated() {
    let table = Table::load();
    let apps = table.group_versions().iter().find(|version| version.group == "apps").expect("apps is served");
    let document = openapi::v3(&table, apps);
    let patch = document.at(&["paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"]);
    let names: Vec<&str> = patch
        .get("parameters")
        .items()
        .iter()
        .map(|parameter| parameter.get("name").str_or_empty())
        .collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(patch.at(&["x-kubernetes-group-version-kind", "kind"]).as_str(), Some("Deployment"));
    let force = patch.get("parameters").items()[3].get("description").str_or_empty();
    assert!(force.contains("apply"), "{force}");
    let schemas = document.at(&["components", "schemas"]);
    let policy =
        schemas.at(&["io.k8s.api.core.v1.Container", "properties", "imagePullPolicy", "description"]);
    let choices = "\n\nPossible enum values:\n - `\"Always\"`\n - `\"IfNotPresent\"`\n - `\"Never\"`";
    assert!(policy.str_or_empty().ends_with(choices), "{policy:?}");
    let container = schemas.at(&["io.k8s.api.core.v1.Container", "properties", "ports"]);
    assert_eq!(container.get("x-kubernetes-list-map-keys").items().len(), 2);
}

/// Puts shared parameters where they are referred to: their names carry a mark that depends on descriptions.
fn with_parameters(document: &Value) -> Value {
    fn resolve(value: &mut Value, parameters: &Value) {
        let name = value.get("$ref").str_or_empty().strip_prefix("#/parameters/").map(str::to_owned);
        if let Some(name) = name {
            *value = parameters.get(&name).clone();
            return;
        }
        match value {
            Value::Object(map) => map.iter_mut().for_each(|(_, member)| resolve(member, parameters)),
            Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, parameters)),
            _ => {}
        }
    }
    let mut resolved = document.clone();
    resolve(resolved.entry("paths"), document.get("parameters"));
    resolved.remove("parameters");
    resolved
}

#[test]
fn version_2_equals_the_reference() {
    let Some(folder) = reference() else {
        println!("no reference documents here");
        return;
    };
    let ours = version_2(&openapi::v2(&Table::load(), &[]));
    let theirs = version_2(&read(&folder.join("v2.json.xz")));
    let mut found = Vec::new();
    differences("v2", &ours, &theirs, &mut found);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found[..found.len().min(60)].join("\n"));
}

#[test]
fn version_2_has_everything_in_one_document_that_is_whole() {
    fn check(value: &Value, document: &Value) {
        if let Some(path) = value.get("$ref").str_or_empty().strip_prefix("#/") {
            let (folder, name) = path.split_once('/').expect("a folder and a name");
            assert!(!document.at(&[folder, name]).is_null(), "{path} leads nowhere");
        }
        value.members().for_each(|(_, member)| check(member, document));
        value.items().iter().for_each(|item| check(item, document));
    }
    let document = openapi::v2(&Table::load(), &[]);
    check(&document, &document);
    assert!(document.get("paths").members().count() > 400);
    let message = openapi::encode_v2(&document);
    assert!(message.len() > 500_000, "{} bytes", message.len());
}
