//! Roles and bindings in tables, kept up to date from the cache's events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machinery::field::go_quote;
use machinery::selector::LabelSelector;
use machinery::{Object, Value};

use crate::authz::rules::Rule;
use crate::cache::{Collection, Cursor};
use crate::identity::Identity;

/// How many events are taken from the cache at a time.
const EVENTS_AT_A_TIME: usize = 256;

/// What users of service accounts are called.
const ACCOUNT: &str = "system:serviceaccount:";

/// The rules of one role, shared with whoever looks.
type Rules = Arc<[Rule]>;

/// Where a part of the policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    ClusterRoles,
    Roles,
    ClusterBindings,
    Bindings,
}

impl Source {
    pub(super) fn collection(self) -> &'static str {
        match self {
            Source::ClusterRoles => "rbac.authorization.k8s.io/clusterroles",
            Source::Roles => "rbac.authorization.k8s.io/roles",
            Source::ClusterBindings => "rbac.authorization.k8s.io/clusterrolebindings",
            Source::Bindings => "rbac.authorization.k8s.io/rolebindings",
        }
    }
}

/// A role, with what others aggregate it by.
#[derive(Debug)]
struct Role {
    rules: Rules,
    labels: Value,
    /// Selects the cluster roles whose rules this one has too.
    aggregates: Vec<LabelSelector>,
}

/// A binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) role_kind: String,
    pub(super) role: String,
    /// As they are looked up, and as they are shown.
    subjects: Vec<(String, String)>,
}

/// Roles and bindings.
#[derive(Debug, Default)]
pub(super) struct Policy {
    cluster_roles: BTreeMap<String, Role>,
    roles: BTreeMap<String, Role>,
    /// By key: `namespace/name`, or the name.
    bindings: BTreeMap<String, Arc<Binding>>,
    /// Keys of bindings by namespace and subject.
    by_subject: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Policy {
    /// Shows every binding that concerns somebody in a namespace, those of the cluster first, until `look` says that
    /// it has seen enough. It is told how the subject is called.
    pub(super) fn visit(
        &self,
        identity: &Identity,
        namespace: &str,
        mut look: impl FnMut(&Binding, &str) -> bool,
    ) {
        let scopes: &[&str] = if namespace.is_empty() { &[""] } else { &["", namespace] };
        let user = format!("user {}", identity.name);
        let groups = identity.groups.iter().map(|group| format!("group {group}"));
        let subjects: Vec<String> = std::iter::once(user).chain(groups).collect();
        for scope in scopes {
            let mut concerned: BTreeMap<&String, &String> = BTreeMap::new();
            for subject in &subjects {
                for key in self.by_subject.get(&((*scope).to_owned(), subject.clone())).into_iter().flatten()
                {
                    concerned.entry(key).or_insert(subject);
                }
            }
            for (key, subject) in concerned {
                let Some(binding) = self.bindings.get(key) else { continue };
                let shown = binding.subjects.iter().find(|(lookup, _)| lookup == subject);
                if look(binding, shown.map_or("", |(_, shown)| shown)) {
                    return;
                }
            }
        }
    }

    /// The rules a binding gives.
    pub(super) fn rules(&self, binding: &Binding) -> Result<Vec<Rules>, String> {
        self.role(&binding.role_kind, &binding.role, &binding.namespace)
    }

    /// The rules of a role; an error if there is none.
    pub(super) fn role(&self, kind: &str, name: &str, namespace: &str) -> Result<Vec<Rules>, String> {
        let role = if kind == "ClusterRole" {
            self.cluster_roles.get(name)
        } else {
            self.roles.get(&format!("{namespace}/{name}"))
        };
        let Some(role) = role else {
            return Err(format!(
                "{}.rbac.authorization.k8s.io {} not found",
                kind.to_lowercase(),
                go_quote(name)
            ));
        };
        let mut rules = vec![role.rules.clone()];
        if !role.aggregates.is_empty() {
            self.aggregate(role, &mut rules, &mut BTreeSet::from([name]));
        }
        Ok(rules)
    }

    /// Adds the rules of all roles that a role aggregates; those may aggregate others.
    fn aggregate<'a>(&'a self, role: &Role, rules: &mut Vec<Rules>, seen: &mut BTreeSet<&'a str>) {
        for (name, other) in &self.cluster_roles {
            let selected = role.aggregates.iter().any(|selector| selector.matches_map(&other.labels));
            if selected && seen.insert(name) {
                rules.push(other.rules.clone());
                self.aggregate(other, rules, seen);
            }
        }
    }

    fn put(&mut self, source: Source, key: &str, object: &Object) {
        let document = match object.to_value() {
            Ok(document) => document,
            Err(status) => {
                tracing::error!(key, error = %status.message, "a stored role or binding cannot be read");
                return;
            }
        };
        match source {
            Source::ClusterRoles => drop(self.cluster_roles.insert(key.to_owned(), read_role(&document))),
            Source::Roles => drop(self.roles.insert(key.to_owned(), read_role(&document))),
            Source::ClusterBindings | Source::Bindings => self.bind(key, read_binding(&document)),
        }
    }

    fn remove(&mut self, source: Source, key: &str) {
        match source {
            Source::ClusterRoles => drop(self.cluster_roles.remove(key)),
            Source::Roles => drop(self.roles.remove(key)),
            Source::ClusterBindings | Source::Bindings => self.unbind(key),
        }
    }

    fn clear(&mut self, source: Source) {
        match source {
            Source::ClusterRoles => self.cluster_roles.clear(),
            Source::Roles => self.roles.clear(),
            Source::ClusterBindings | Source::Bindings => {
                let of_cluster = source == Source::ClusterBindings;
                let keys: Vec<String> =
                    self.bindings.keys().filter(|key| key.contains('/') != of_cluster).cloned().collect();
                for key in keys {
                    self.unbind(&key);
                }
            }
        }
    }

    fn bind(&mut self, key: &str, binding: Binding) {
        self.unbind(key);
        for (subject, _) in &binding.subjects {
            let place = (binding.namespace.clone(), subject.clone());
            self.by_subject.entry(place).or_default().insert(key.to_owned());
        }
        self.bindings.insert(key.to_owned(), Arc::new(binding));
    }

    fn unbind(&mut self, key: &str) {
        let Some(binding) = self.bindings.remove(key) else { return };
        for (subject, _) in &binding.subjects {
            let place = (binding.namespace.clone(), subject.clone());
            if let Some(keys) = self.by_subject.get_mut(&place) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_subject.remove(&place);
                }
            }
        }
    }
}

fn read_role(document: &Value) -> Role {
    let selectors = document.at(&["aggregationRule", "clusterRoleSelectors"]).items();
    Role {
        rules: Rule::all_of(document.get("rules")).into(),
        labels: document.at(&["metadata", "labels"]).clone(),
        // What is no selector selects nothing.
        aggregates: selectors
            .iter()
            .filter_map(|selector| LabelSelector::from_document(selector).ok())
            .collect(),
    }
}

fn read_binding(document: &Value) -> Binding {
    let namespace = document.at(&["metadata", "namespace"]).str_or_empty();
    let text = |path: &[&str]| document.at(path).str_or_empty().to_owned();
    let subjects = document.get("subjects").items();
    Binding {
        namespace: namespace.to_owned(),
        name: text(&["metadata", "name"]),
        role_kind: text(&["roleRef", "kind"]),
        role: text(&["roleRef", "name"]),
        subjects: subjects.iter().filter_map(|subject| read_subject(subject, namespace)).collect(),
    }
}

fn read_subject(subject: &Value, namespace: &str) -> Option<(String, String)> {
    let name = subject.get("name").str_or_empty();
    match subject.get("kind").str_or_empty() {
        "User" => Some((format!("user {name}"), format!("User {}", go_quote(name)))),
        "Group" => Some((format!("group {name}"), format!("Group {}", go_quote(name)))),
        "ServiceAccount" => {
            let own = subject.get("namespace").str_or_empty();
            let of = if own.is_empty() { namespace } else { own };
            let shown = format!("ServiceAccount {}", go_quote(&format!("{name}/{of}")));
            (!of.is_empty()).then(|| (format!("user {ACCOUNT}{of}:{name}"), shown))
        }
        _ => None,
    }
}

/// A collection that the policy follows.
#[derive(Debug)]
pub(super) struct Followed {
    source: Source,
    collection: Arc<Collection>,
    /// `None` until it was loaded.
    cursor: Option<Cursor>,
    seen: u64,
}

impl Followed {
    pub(super) fn new(source: Source, collection: Arc<Collection>) -> Followed {
        Followed { source, collection, cursor: None, seen: 0 }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.cursor.is_none() || self.collection.newest() != self.seen
    }

    pub(super) fn catch_up(&mut self, policy: &mut Policy) {
        let newest = self.collection.newest();
        while let Some(cursor) = &mut self.cursor {
            match cursor.take(EVENTS_AT_A_TIME) {
                Ok(events) if events.is_empty() => {
                    self.seen = newest;
                    return;
                }
                Ok(events) => {
                    for event in events {
                        match event.change {
                            crate::cache::entry::Change::Deleted => {
                                policy.remove(self.source, event.entry.key())
                            }
                            _ => policy.put(self.source, event.entry.key(), event.entry.object()),
                        }
                    }
                }
                // More has changed than the cache remembers: read all of it again.
                Err(_) => self.cursor = None,
            }
        }
        policy.clear(self.source);
        let (snapshot, cursor) = self.collection.follow();
        for entry in snapshot.starting_at("") {
            policy.put(self.source, entry.key(), entry.object());
        }
        self.cursor = Some(cursor);
        self.seen = newest;
    }
}
