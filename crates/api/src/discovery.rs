//! Discovery documents as pure functions of what is served: the lists of groups, of resources, and the aggregated
//! document. Built-in versions come from the table (`Version::from`); versions of custom resources and of aggregated
//! servers are described by their owners in the same way.

use machinery::Value;

use crate::table::{GroupVersion, Verb};

/// A group and version, and what it serves.
#[derive(Clone, Debug, Default)]
pub struct Version<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// Its resources, by plural.
    pub resources: Vec<Entry<'a>>,
}

/// A resource as discovery shows it.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// As it stands in paths.
    pub plural: &'a str,
    /// As `kubectl` shows it.
    pub singular: &'a str,
    /// The kind of its objects.
    pub kind: &'a str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done, sorted.
    pub verbs: Vec<&'a str>,
    /// Short names for the command line.
    pub short_names: Vec<&'a str>,
    /// Groups of resources for the command line.
    pub categories: Vec<&'a str>,
    /// The hash of the stored version; empty for what is not stored.
    pub storage_hash: &'a str,
    /// What hangs below its objects, by name.
    pub subresources: Vec<SubEntry<'a>>,
}

/// A subresource as discovery shows it.
#[derive(Clone, Debug, Default)]
pub struct SubEntry<'a> {
    /// As it stands in paths.
    pub name: &'a str,
    /// Group and version of its kind, if they are not the resource's.
    pub group_version: Option<(&'a str, &'a str)>,
    /// Its kind.
    pub kind: &'a str,
    /// What can be done, sorted.
    pub verbs: Vec<&'a str>,
}

impl<'a> From<&'a GroupVersion> for Version<'a> {
    fn from(group_version: &'a GroupVersion) -> Version<'a> {
        let names = |verbs: &[Verb]| verbs.iter().map(|verb| verb.as_str()).collect();
        let resources = group_version.resources.iter().map(|resource| Entry {
            plural: resource.plural,
            singular: resource.singular,
            kind: resource.kind,
            namespaced: resource.namespaced,
            verbs: names(&resource.verbs),
            short_names: resource.short_names.clone(),
            categories: resource.categories.clone(),
            storage_hash: resource.storage_hash,
            subresources: resource
                .subresources
                .iter()
                .map(|subresource| SubEntry {
                    name: subresource.name,
                    group_version: subresource.group.zip(subresource.version),
                    kind: subresource.kind,
                    verbs: names(&subresource.verbs),
                })
                .collect(),
        });
        Version { group: group_version.group, version: group_version.version, resources: resources.collect() }
    }
}

impl Version<'_> {
    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// `/api`: the versions of the core group, and where the server is reached.
pub fn api_versions(server_address: &str) -> Value {
    let address = Value::from([("clientCIDR", "0.0.0.0/0".into()), ("serverAddress", server_address.into())]);
    Value::from([
        ("kind", "APIVersions".into()),
        ("versions", vec![Value::from("v1")].into()),
        ("serverAddressByClientCIDRs", vec![address].into()),
    ])
}

/// `/apis`: all groups but the core group. The versions come in the order groups, and versions within groups, are
/// preferred; those of a group stand together.
pub fn group_list(versions: &[Version<'_>]) -> Value {
    let groups: Vec<Value> = by_group(versions).into_iter().map(group_members).collect();
    Value::from([("kind", "APIGroupList".into()), ("apiVersion", "v1".into()), ("groups", groups.into())])
}

/// `/apis/GROUP`: one group, by its versions in the order of preference. `Null` if there are none.
pub fn group(versions: &[Version<'_>]) -> Value {
    if versions.is_empty() {
        return Value::Null;
    }
    let mut document = Value::from([("kind", "APIGroup".into()), ("apiVersion", "v1".into())]);
    for (name, member) in group_members(versions).members() {
        document.set(name, member.clone());
    }
    document
}

fn group_members(versions: &[Version<'_>]) -> Value {
    let shown = |version: &Version<'_>| {
        Value::from([("groupVersion", version.api_version().into()), ("version", version.version.into())])
    };
    Value::from([
        ("name", versions[0].group.into()),
        ("versions", versions.iter().map(shown).collect::<Vec<_>>().into()),
        ("preferredVersion", shown(&versions[0])),
    ])
}

/// The versions of each group but the core group.
fn by_group<'v, 'a>(versions: &'v [Version<'a>]) -> Vec<&'v [Version<'a>]> {
    versions.chunk_by(|a, b| a.group == b.group).filter(|group| !group[0].group.is_empty()).collect()
}

/// `/api/v1`, `/apis/GROUP/VERSION`: the resources of one version.
pub fn resource_list(version: &Version<'_>) -> Value {
    let mut resources = Vec::new();
    for entry in &version.resources {
        let mut shown = Value::from([
            ("name", entry.plural.into()),
            ("singularName", entry.singular.into()),
            ("namespaced", entry.namespaced.into()),
            ("kind", entry.kind.into()),
            ("verbs", texts(&entry.verbs)),
        ]);
        set_texts(&mut shown, "shortNames", &entry.short_names);
        set_texts(&mut shown, "categories", &entry.categories);
        if !entry.storage_hash.is_empty() {
            shown.set("storageVersionHash", entry.storage_hash);
        }
        resources.push(shown);
        for subresource in &entry.subresources {
            let mut shown = Value::from([
                ("name", format!("{}/{}", entry.plural, subresource.name).into()),
                ("singularName", "".into()),
                ("namespaced", entry.namespaced.into()),
            ]);
            if let Some((group, version)) = subresource.group_version {
                shown.set("group", group);
                shown.set("version", version);
            }
            shown.set("kind", subresource.kind);
            shown.set("verbs", texts(&subresource.verbs));
            resources.push(shown);
        }
    }
    let mut document = Value::from([("kind", "APIResourceList".into())]);
    if !version.group.is_empty() {
        document.set("apiVersion", "v1");
    }
    document.set("groupVersion", version.api_version());
    document.set("resources", resources);
    document
}

/// The aggregated document: of the core group at `/api`, of all others at `/apis`. `stale` tells for a group and version
/// that its server does not answer and what is shown is what it said last.
pub fn aggregated(versions: &[Version<'_>], core: bool, stale: impl Fn(&Version<'_>) -> bool) -> Value {
    let groups: Vec<&[Version<'_>]> = if core {
        versions.chunk_by(|a, b| a.group == b.group).filter(|group| group[0].group.is_empty()).collect()
    } else {
        by_group(versions)
    };
    let items = groups.into_iter().map(|group| {
        let mut metadata = Value::object();
        if !core {
            metadata.set("name", group[0].group);
            metadata.set("creationTimestamp", Value::Null);
        }
        let shown = |version: &Version<'_>| {
            Value::from([
                ("version", version.version.into()),
                ("resources", version.resources.iter().map(aggregated_resource).collect::<Vec<_>>().into()),
                ("freshness", if stale(version) { "Stale" } else { "Current" }.into()),
            ])
        };
        Value::from([
            ("metadata", metadata),
            ("versions", group.iter().map(shown).collect::<Vec<_>>().into()),
        ])
    });
    Value::from([
        ("kind", "APIGroupDiscoveryList".into()),
        ("apiVersion", "apidiscovery.k8s.io/v2".into()),
        ("metadata", Value::object()),
        ("items", items.collect::<Vec<_>>().into()),
    ])
}

fn aggregated_resource(entry: &Entry<'_>) -> Value {
    let mut shown = Value::from([
        ("resource", entry.plural.into()),
        ("responseKind", response_kind(None, entry.kind)),
        ("scope", if entry.namespaced { "Namespaced" } else { "Cluster" }.into()),
        ("singularResource", entry.singular.into()),
        ("verbs", texts(&entry.verbs)),
    ]);
    set_texts(&mut shown, "shortNames", &entry.short_names);
    set_texts(&mut shown, "categories", &entry.categories);
    let subresources: Vec<Value> = entry
        .subresources
        .iter()
        .map(|subresource| {
            Value::from([
                ("subresource", subresource.name.into()),
                ("responseKind", response_kind(subresource.group_version, subresource.kind)),
                ("verbs", texts(&subresource.verbs)),
            ])
        })
        .collect();
    if !subresources.is_empty() {
        shown.set("subresources", subresources);
    }
    shown
}

fn response_kind(group_version: Option<(&str, &str)>, kind: &str) -> Value {
    let (group, version) = group_version.unwrap_or_default();
    Value::from([("group", group.into()), ("version", version.into()), ("kind", kind.into())])
}

fn texts(words: &[&str]) -> Value {
    words.iter().map(|word| Value::from(*word)).collect::<Vec<_>>().into()
}

fn set_texts(document: &mut Value, name: &str, words: &[&str]) {
    if !words.is_empty() {
        document.set(name, texts(words));
    }
}
