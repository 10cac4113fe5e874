//! What is served: each resource with its schema, its rules and its collection.

mod views;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use api::{Table, Verb};
use kinds::Kind;
use machinery::json::TypeMeta;
use machinery::schema::Schema;
use machinery::status::GroupName;
use machinery::{Reason, Status, Value};
use smol_str::SmolStr;
use store::StoreError;

use crate::cache::{Caches, Collection};
use crate::convert::{self, Conversion};
use crate::custom::Custom;
use crate::definitions::precedence;
use crate::metrics::Counters;

/// Resources that are answered and never stored.
const VIRTUAL: &[(&str, &str)] = &[("", "bindings")];

/// How long events are kept: upstream's hour.
const EVENT_TTL_SECS: u32 = 3_600;

/// Resources that are stored among those of another group.
const STORED_ELSEWHERE: &[(&str, &str, &str)] = &[("events.k8s.io", "events", "core/events")];

/// A resource in one version.
pub struct Served {
    /// The API group; empty for the core group.
    pub group: SmolStr,
    /// The version.
    pub version: SmolStr,
    /// `v1`, `apps/v1`
    pub api_version: SmolStr,
    /// As it stands in paths.
    pub plural: SmolStr,
    /// As `kubectl` shows it.
    pub singular: SmolStr,
    /// The kind of its objects.
    pub kind: SmolStr,
    /// The kind of lists of them.
    pub list_kind: SmolStr,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<Verb>,
    /// Short names for the command line.
    pub short_names: Vec<SmolStr>,
    /// Groups of resources for the command line.
    pub categories: Vec<SmolStr>,
    /// Tells clients whether the stored version changed; empty for what is not stored.
    pub storage_hash: SmolStr,
    /// What hangs below its objects.
    pub subresources: Vec<Sub>,
    /// What its objects look like.
    pub schema: Schema,
    /// What its objects must be like.
    pub rules: Rules,
    /// `{"kind":"Pod","apiVersion":"v1",`: what the JSON of every object begins with, and an item of a list leaves out;
    /// empty where items say what they are.
    pub type_prefix: String,
    /// Requests about its objects.
    pub counters: Counters,
    empty: OnceLock<Value>,
    collection: Option<Arc<Collection>>,
    conversion: Option<Conversion>,
    /// Tells what this server showed of an object from what one with another definition did.
    number: u64,
    /// What only custom resources have.
    pub custom: Option<Custom>,
}

/// What a custom resource is put together from; the members are those of [`Served`].
pub struct Parts {
    pub group: SmolStr,
    pub version: SmolStr,
    pub plural: SmolStr,
    pub singular: SmolStr,
    pub kind: SmolStr,
    pub list_kind: SmolStr,
    pub namespaced: bool,
    pub verbs: Vec<Verb>,
    pub short_names: Vec<SmolStr>,
    pub categories: Vec<SmolStr>,
    pub storage_hash: SmolStr,
    pub subresources: Vec<Sub>,
    pub schema: Schema,
    pub collection: Arc<Collection>,
    pub number: u64,
    pub custom: Custom,
}

/// What hangs below objects of a resource.
#[derive(Debug)]
pub struct Sub {
    /// As it stands in paths.
    pub name: SmolStr,
    /// Group of the kind it reads and writes.
    pub group: SmolStr,
    /// Version of that kind.
    pub version: SmolStr,
    /// The kind it reads and writes.
    pub kind: SmolStr,
    /// What can be done with it.
    pub verbs: Vec<Verb>,
    /// Requests about it.
    pub counters: Counters,
}

/// The rules of a kind.
#[derive(Clone)]
pub enum Rules {
    /// Those of a built-in kind.
    BuiltIn(&'static dyn Kind),
    /// Those that a definition makes.
    Custom(Arc<kinds::custom::Custom>),
}

impl Deref for Rules {
    type Target = dyn Kind;

    fn deref(&self) -> &(dyn Kind + 'static) {
        match self {
            Rules::BuiltIn(rules) => *rules,
            Rules::Custom(rules) => rules.as_ref(),
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Served({} {})", self.api_version, self.plural)
    }
}

/// The rules of kinds that are never stored: none but those of every kind.
struct Virtual;

impl Kind for Virtual {
    fn policy(&self) -> kinds::Policy {
        kinds::Policy::namespaced(kinds::NameRule::Subdomain)
    }
}

impl Served {
    fn new(
        table: &Table,
        resource: &api::Resource,
        rules: Rules,
        collection: Option<Arc<Collection>>,
    ) -> Served {
        let kind = table
            .kind(resource.group, resource.version, resource.kind)
            .unwrap_or_else(|| unreachable!("the table has the kind of each of its resources"));
        let subresources = resource.subresources.iter().map(|sub| {
            let (group, version) = resource.group_version_of(sub);
            Sub {
                name: sub.name.into(),
                group: group.into(),
                version: version.into(),
                kind: sub.kind.into(),
                verbs: sub.verbs.clone(),
                counters: Counters::default(),
            }
        });
        let api_version = resource.api_version();
        Served {
            group: resource.group.into(),
            version: resource.version.into(),
            plural: resource.plural.into(),
            singular: resource.singular.into(),
            kind: resource.kind.into(),
            list_kind: format!("{}List", resource.kind).into(),
            namespaced: resource.namespaced,
            verbs: resource.verbs.clone(),
            short_names: resource.short_names.iter().map(SmolStr::new).collect(),
            categories: resource.categories.iter().map(SmolStr::new).collect(),
            storage_hash: resource.storage_hash.into(),
            subresources: subresources.collect(),
            schema: table.schema_of(kind),
            rules,
            type_prefix: format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",", resource.kind),
            conversion: convert::of(table, &api_version, resource.kind),
            api_version: api_version.into(),
            counters: Counters::default(),
            empty: OnceLock::new(),
            collection,
            number: 0,
            custom: None,
        }
    }

    /// A custom resource in one version.
    pub fn custom(parts: Parts) -> Served {
        let api_version = format!("{}/{}", parts.group, parts.version);
        Served {
            api_version: api_version.into(),
            rules: Rules::Custom(parts.custom.kind.clone()),
            group: parts.group,
            version: parts.version,
            plural: parts.plural,
            singular: parts.singular,
            kind: parts.kind,
            list_kind: parts.list_kind,
            namespaced: parts.namespaced,
            verbs: parts.verbs,
            short_names: parts.short_names,
            categories: parts.categories,
            storage_hash: parts.storage_hash,
            subresources: parts.subresources,
            schema: parts.schema,
            type_prefix: String::new(),
            counters: Counters::default(),
            empty: OnceLock::new(),
            collection: Some(parts.collection),
            conversion: None,
            number: parts.number,
            custom: Some(parts.custom),
        }
    }

    /// Whether this is the same as another, made of the same definition.
    pub fn is_same(&self, other: &Served) -> bool {
        self.number == other.number && self.api_version == other.api_version && self.plural == other.plural
    }

    /// What its objects say they are.
    pub fn type_meta(&self) -> TypeMeta {
        TypeMeta { api_version: self.api_version.clone(), kind: self.kind.clone() }
    }

    /// The objects.
    pub fn collection(&self) -> Result<Arc<Collection>, Status> {
        let collection = self.collection.clone().ok_or_else(method_not_allowed)?;
        collection.opened()?;
        Ok(collection)
    }

    /// The object that a created one is compared with.
    pub fn empty(&self) -> &Value {
        self.empty.get_or_init(|| machinery::apply::empty(self.schema.root(), &self.api_version, &self.kind))
    }

    /// Whether its objects are those of another resource too, which counts them.
    pub fn is_alias(&self) -> bool {
        self.conversion.is_some()
    }

    /// Where an object stands in its collection.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// `deployments.apps`, as failures name it.
    pub fn resource(&self) -> GroupName<'_> {
        GroupName { group: &self.group, name: &self.plural }
    }

    /// `Deployment.apps`, as some failures name it.
    pub fn group_kind(&self) -> GroupName<'_> {
        // Upstream's rules of events know them by their first group only.
        let group = if self.group == "events.k8s.io" { "" } else { &self.group };
        GroupName { group, name: &self.kind }
    }

    /// A subresource by name.
    pub fn sub(&self, name: &str) -> Option<&Sub> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// What users of a resource that is on its way out are told.
    pub fn deprecation(&self) -> Option<&str> {
        if let Some(custom) = &self.custom {
            return custom.deprecation.as_deref();
        }
        match (self.group.as_str(), self.plural.as_str()) {
            ("", "endpoints") => {
                Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
            }
            ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
            _ => None,
        }
    }

    /// Seconds after which the store removes its objects by itself.
    pub fn ttl_secs(&self) -> Option<u32> {
        (self.plural == "events").then_some(EVENT_TTL_SECS)
    }

    /// Whether a group and plural are this resource's.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// 400 for a field that cannot be selected on.
    pub fn check_field_label(&self, label: &str) -> Result<(), Status> {
        let custom = self.custom.as_ref();
        if let Some(custom) = custom.filter(|custom| !custom.selectable.is_empty()) {
            let is_known = custom.selectable.iter().any(|(name, _)| name == label);
            if is_known || matches!(label, "metadata.name" | "metadata.namespace") {
                return Ok(());
            }
            return Err(Status::bad_request(format!("field label not supported: {label}")));
        }
        let known = self.rules.selectable_names();
        if matches!(label, "metadata.name" | "metadata.namespace") || known.contains(&label) {
            return Ok(());
        }
        let message = if known.is_empty() {
            let label = machinery::field::go_quote(label);
            format!("{label} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        } else if self.group == "resource.k8s.io" {
            format!("field label not supported for {}, Kind={}: {label}", self.api_version, self.kind)
        } else {
            format!("field label not supported: {label}")
        };
        Err(Status::bad_request(message))
    }
}

/// 405.
pub fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource";
    let mut status = Status::new(405, Reason::MethodNotAllowed, message);
    status.details = Some(Box::default());
    status
}

/// 404 for a path that leads nowhere.
pub fn no_such_resource() -> Status {
    let message = "the server could not find the requested resource";
    let mut status = Status::new(404, Reason::NotFound, message);
    status.details = Some(Box::default());
    status
}

/// Everything that is served.
#[derive(Debug)]
pub struct Registry {
    table: Arc<Table>,
    /// In the order of discovery.
    all: Vec<Arc<Served>>,
    by_path: HashMap<String, usize>,
    /// How many of them are built in; they come first, but for those that extend a built-in group.
    built_in: Vec<Arc<Served>>,
    /// Counts what came to be served and went.
    generation: u64,
}

/// The name of a resource's collection: `core/pods`.
pub fn collection_name(group: &str, plural: &str) -> String {
    let elsewhere = STORED_ELSEWHERE.iter().find(|(of, name, _)| *of == group && *name == plural);
    match elsewhere {
        Some((_, _, name)) => (*name).to_owned(),
        None => format!("{}/{plural}", if group.is_empty() { "core" } else { group }),
    }
}

/// The collections of all built-in kinds that have rules.
pub fn built_in_collections(table: &Table) -> Vec<String> {
    let mut names: Vec<String> = table
        .resources()
        .filter(|resource| kinds::rules(resource.group, resource.version, resource.kind).is_some())
        .map(|resource| collection_name(resource.group, resource.plural))
        .collect();
    names.push(crate::services::NODE_PORTS.to_owned());
    names.push(crate::services::ADDRESSES.to_owned());
    names.sort();
    names.dedup();
    names
}

impl Registry {
    /// All built-in kinds that have rules, and those that are answered without being stored.
    pub fn built_in(table: Arc<Table>, caches: &Caches) -> Registry {
        let mut registry = Registry {
            table: table.clone(),
            all: Vec::new(),
            by_path: HashMap::new(),
            built_in: Vec::new(),
            generation: 0,
        };
        for resource in table.resources() {
            let served = if VIRTUAL.contains(&(resource.group, resource.plural)) {
                Served::new(&table, resource, Rules::BuiltIn(&Virtual), None)
            } else if let Some(rules) = kinds::rules(resource.group, resource.version, resource.kind) {
                let collection = caches.collection(&collection_name(resource.group, resource.plural));
                Served::new(&table, resource, Rules::BuiltIn(rules), collection)
            } else {
                continue;
            };
            registry.add(Arc::new(served));
        }
        registry.built_in = registry.all.clone();
        registry
    }

    /// The built-in resources and these, in the order of discovery: groups that are built in, then others by name.
    pub fn with_custom(&self, custom: Vec<Arc<Served>>) -> Registry {
        let mut registry = Registry {
            table: self.table.clone(),
            all: Vec::new(),
            by_path: HashMap::new(),
            built_in: self.built_in.clone(),
            generation: self.generation + 1,
        };
        let mut position: HashMap<&str, usize> = HashMap::new();
        for served in &self.built_in {
            let next = position.len();
            position.entry(served.group.as_str()).or_insert(next);
        }
        // Whoever extends a built-in group does not replace what is in it.
        let taken = |new: &Served| {
            let same = |old: &&Arc<Served>| old.api_version == new.api_version && old.plural == new.plural;
            self.built_in.iter().any(|old| same(&old))
        };
        let mut all = self.built_in.clone();
        all.extend(custom.into_iter().filter(|served| !taken(served)));
        // The sort is stable: what is built in keeps its order, and comes before what extends its group.
        all.sort_by(|a, b| {
            let place = |served: &Served| position.get(served.group.as_str()).copied().unwrap_or(usize::MAX);
            place(a).cmp(&place(b)).then_with(|| match place(a) {
                usize::MAX => discovery_order(a, b),
                _ => std::cmp::Ordering::Equal,
            })
        });
        for served in all {
            registry.add(served);
        }
        registry
    }

    fn add(&mut self, served: Arc<Served>) {
        let path = format!("{}/{}", served.api_version, served.plural);
        self.by_path.insert(path, self.all.len());
        self.all.push(served);
    }

    /// Counts what came to be served and went.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a group exists because of custom resources alone.
    pub fn is_custom_group(&self, group: &str) -> bool {
        let mut of_group = self.all.iter().filter(|served| served.group == group).peekable();
        of_group.peek().is_some() && of_group.all(|served| served.custom.is_some())
    }

    /// The resource at a path: group and version, and plural.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        let path = if group.is_empty() {
            format!("{version}/{plural}")
        } else {
            format!("{group}/{version}/{plural}")
        };
        self.by_path.get(&path).map(|position| &self.all[*position])
    }

    /// All resources in the order of discovery.
    pub fn all(&self) -> &[Arc<Served>] {
        &self.all
    }

    /// The table of kinds.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }
}

/// Groups by name, the version that is preferred first, resources by plural.
fn discovery_order(a: &Served, b: &Served) -> std::cmp::Ordering {
    a.group
        .cmp(&b.group)
        .then_with(|| precedence(&a.version).cmp(&precedence(&b.version)))
        .then_with(|| a.plural.cmp(&b.plural))
}

/// Opens the caches of everything that is built in.
pub async fn open_caches(
    env: &env::Env,
    store: Arc<dyn store::Store>,
    table: &Table,
) -> Result<Arc<Caches>, StoreError> {
    Caches::open(env, store, &built_in_collections(table)).await
}
