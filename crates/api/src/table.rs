//! The table and how to look things up in it.

use std::collections::HashMap;
use std::sync::Arc;

use machinery::schema::{Schema, TypeId, TypeRef, Types};

use crate::reader;

/// All kinds of this version of Kubernetes, those that are not served by default included.
#[derive(Debug)]
pub struct Table {
    pub(crate) types: Arc<Types>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) by_name: HashMap<(&'static str, &'static str, &'static str), usize>,
    pub(crate) group_versions: Vec<GroupVersion>,
}

/// A kind: what a document that calls itself so looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Its type in the table's arena.
    pub type_id: TypeId,
    /// Whether its group and version are served by default.
    pub served: bool,
}

/// A group and version that is served by default.
#[derive(Clone, Debug)]
pub struct GroupVersion {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The group's place among groups: higher comes first.
    pub group_priority: u32,
    /// The version's place within the group: higher comes first.
    pub version_priority: u32,
    /// Its resources, by plural.
    pub resources: Vec<Resource>,
}

/// A resource: objects of a kind at a path.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// As it stands in paths: `pods`.
    pub plural: &'static str,
    /// As `kubectl` shows it: `pod`.
    pub singular: &'static str,
    /// The kind of its objects.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done.
    pub verbs: Vec<Verb>,
    /// Short names for the command line.
    pub short_names: Vec<&'static str>,
    /// Groups of resources for the command line: `all`.
    pub categories: Vec<&'static str>,
    /// The hash that tells clients whether the stored version changed; empty for what is not stored.
    pub storage_hash: &'static str,
    /// What hangs below its objects, by name.
    pub subresources: Vec<Subresource>,
}

/// What hangs below objects of a resource: `status`, `scale`, `log`.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// As it stands in paths.
    pub name: &'static str,
    /// Group of its kind, if that is not the resource's: discovery shows it then.
    pub group: Option<&'static str>,
    /// Version of its kind, if that is not the resource's.
    pub version: Option<&'static str>,
    /// The kind it reads and writes.
    pub kind: &'static str,
    /// What can be done.
    pub verbs: Vec<Verb>,
}

/// What can be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    /// All verbs, in the order discovery shows them.
    pub const ALL: [Verb; 8] = [
        Verb::Create,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ];

    /// As discovery and authorization write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Patch => "patch",
            Verb::Update => "update",
            Verb::Watch => "watch",
        }
    }
}

/// The group of the kinds that every group has: options, `WatchEvent`; and of `Table` and `PartialObjectMetadata`.
const META: (&str, &str) = ("meta.k8s.io", "v1");

/// Kinds that are documents of every group and version.
const EVERYWHERE: [&str; 7] = [
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "UpdateOptions",
    "WatchEvent",
];

/// Kinds of no group that call themselves `v1`.
const UNVERSIONED: [&str; 5] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"];

impl Table {
    /// Reads the table. This takes about a millisecond; do it once and share it.
    pub fn load() -> Arc<Table> {
        Arc::new(reader::read(include_str!("table.txt")))
    }

    /// The arena of all types.
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// All kinds.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// A kind by name. Options and events are found in every group and version.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        let find = |group: &str, version: &str| self.find(group, version, kind);
        let shared = EVERYWHERE.contains(&kind)
            || (group.is_empty() && version == "v1" && UNVERSIONED.contains(&kind));
        find(group, version).or_else(|| if shared { find(META.0, META.1) } else { None })
    }

    /// A kind by the `apiVersion` and `kind` of a document.
    pub fn kind_of(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.kind(group, version, kind)
    }

    fn find(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        let position = self.by_name.get(&(group, version, kind))?;
        self.kinds.get(*position)
    }

    /// The type of a kind.
    pub fn type_of(&self, kind: &Kind) -> TypeRef<'_> {
        self.types.get(kind.type_id)
    }

    /// The type of a kind, with the arena it is in, to be kept.
    pub fn schema_of(&self, kind: &Kind) -> Schema {
        Schema::new(self.types.clone(), kind.type_id)
    }

    /// The groups and versions that are served by default, in the order of discovery.
    pub fn group_versions(&self) -> &[GroupVersion] {
        &self.group_versions
    }

    /// The resources that are served by default, in the order of discovery.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.group_versions.iter().flat_map(|group_version| &group_version.resources)
    }

    /// A resource that is served by default.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        let group_version = self
            .group_versions
            .iter()
            .find(|candidate| candidate.group == group && candidate.version == version)?;
        group_version.resource(plural)
    }

    /// The resource of a kind that is served by default.
    pub fn resource_of_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Resource> {
        self.resources()
            .find(|resource| resource.kind == kind && resource.group == group && resource.version == version)
    }
}

impl Kind {
    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }
}

impl GroupVersion {
    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// A resource by plural.
    pub fn resource(&self, plural: &str) -> Option<&Resource> {
        let position = self.resources.binary_search_by(|candidate| candidate.plural.cmp(plural)).ok()?;
        self.resources.get(position)
    }
}

impl Resource {
    /// A subresource by name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|candidate| candidate.name == name)
    }

    /// Whether it can be done.
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Group and version of the kind that a subresource reads and writes.
    pub fn group_version_of(&self, subresource: &Subresource) -> (&'static str, &'static str) {
        (subresource.group.unwrap_or(self.group), subresource.version.unwrap_or(self.version))
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

#[cfg(test)]
mod tests;
