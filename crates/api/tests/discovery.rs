//! Discovery documents against those of upstream: each against the digest that upstream's has
//! (`discovery/expected.txt`), and byte for byte where upstream's are found (`REFERENCE_DISCOVERY`, or beside the working
//! tree). Nothing may differ.

#[path = "openapi/digest.rs"]
mod digest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::Table;
use api::discovery::{self, Version};
use machinery::{Value, json};

fn reference() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("REFERENCE_DISCOVERY") {
        return Some(PathBuf::from(folder));
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .map(|folder| folder.join("shared/reference/discovery"))
        .find(|folder| folder.is_dir())
}

/// All documents by the names of the reference's files.
fn documents() -> Vec<(String, Value)> {
    let table = Table::load();
    let versions: Vec<Version<'_>> = table.group_versions().iter().map(Version::from).collect();
    let mut documents = vec![
        ("api.json".to_owned(), discovery::api_versions("127.0.0.1:6443")),
        ("apis.json".to_owned(), discovery::group_list(&versions)),
        ("aggregated-api.json".to_owned(), discovery::aggregated(&versions, true, |_| false)),
        ("aggregated-apis.json".to_owned(), discovery::aggregated(&versions, false, |_| false)),
    ];
    documents.extend(versions.iter().map(|version| {
        let file = match version.group {
            "" => "api__v1.json".to_owned(),
            group => format!("apis__{group}__{}.json", version.version),
        };
        (file, discovery::resource_list(version))
    }));
    documents
}

fn digests(documents: &[(String, Value)]) -> BTreeMap<String, String> {
    documents.iter().map(|(name, document)| (name.clone(), digest::of(document))).collect()
}

#[test]
fn every_document_has_the_digest_of_upstreams() {
    digest::compare(&digests(&documents()), include_str!("discovery/expected.txt"));
}

#[test]
fn documents_equal_those_of_the_reference() {
    let Some(folder) = reference() else {
        println!("no reference documents here");
        return;
    };
    let mut reference = Vec::new();
    for (file, ours) in documents() {
        let text = std::fs::read(folder.join(&file)).expect("the document is there");
        let theirs = json::parse(&text).expect("the document is JSON");
        assert_eq!(json::to_string(&ours), json::to_string(&theirs), "{file}");
        reference.push((file, theirs));
    }
    digest::compare(&digests(&reference), include_str!("discovery/expected.txt"));
}

#[test]
fn a_group_names_its_preferred_version_first() {
    let table = Table::load();
    let versions: Vec<Version<'_>> = table
        .group_versions()
        .iter()
        .filter(|version| version.group == "autoscaling")
        .map(Version::from)
        .collect();
    assert_eq!(
        json::to_string(&discovery::group(&versions)),
        concat!(
            r#"{"kind":"APIGroup","apiVersion":"v1","name":"autoscaling","versions":["#,
            r#"{"groupVersion":"autoscaling/v2","version":"v2"},{"groupVersion":"autoscaling/v1","version":"v1"}],"#,
            r#""preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}}"#
        )
    );
    assert!(discovery::group(&[]).is_null());
}

#[test]
fn a_custom_resource_is_shown_like_any_other() {
    let version = Version {
        group: "example.com",
        version: "v1",
        resources: vec![discovery::Entry {
            plural: "things",
            singular: "thing",
            kind: "Thing",
            verbs: vec!["get"],
            subresources: vec![discovery::SubEntry {
                name: "scale",
                group_version: Some(("autoscaling", "v1")),
                kind: "Scale",
                verbs: vec!["get"],
            }],
            ..discovery::Entry::default()
        }],
    };
    let document = discovery::aggregated(std::slice::from_ref(&version), false, |_| true);
    let item = &document.get("items").items()[0];
    assert_eq!(item.at(&["metadata", "name"]).as_str(), Some("example.com"));
    let shown = &item.get("versions").items()[0];
    assert_eq!(shown.get("freshness").as_str(), Some("Stale"));
    let list = discovery::resource_list(&version);
    let scale = &list.get("resources").items()[1];
    assert_eq!(scale.get("name").as_str(), Some("things/scale"));
    assert_eq!(scale.get("group").as_str(), Some("autoscaling"));
}
